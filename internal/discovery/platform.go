package discovery

import (
	"maps"
	"slices"
	"strings"

	"github.com/fedsite/fedsite/internal/run"
)

// platforms are processors as OpenStack and libvirt call them, by GLUE's words; GLUE leaves its list open, and what is not
// here keeps its name.
var platforms = map[string]string{
	"x86_64": "amd64", "amd64": "amd64",
	"i386": "i386", "i486": "i386", "i586": "i386", "i686": "i386", "x86": "i386",
	"aarch64": "aarch64", "arm64": "aarch64",
	"ia64": "itanium", "itanium": "itanium",
	"ppc": "powerpc", "powerpc": "powerpc", "sparc": "sparc",
}

// defaultPlatform is what nearly every cloud has, and what today's tool says of all.
const defaultPlatform = "amd64"

// platform tells the processor that a flavor asks for: a required trait, the word of the scheduler's filter, or a trait of a
// processor's own features; else the one that nearly every cloud has.
func platform(specs map[string]string) string {
	keys := slices.Sorted(maps.Keys(specs))
	for _, prefix := range []string{"HW_ARCH_", "COMPUTE_ARCH_"} {
		for _, k := range keys {
			if name, ok := strings.CutPrefix(trait(k, specs[k]), prefix); ok {
				return platformWord(name)
			}
		}
	}
	for _, k := range []string{"capabilities:cpu_info:arch", "capabilities:cpu_arch", "hw:cpu_arch", "hw:architecture", "cpu_arch", "architecture"} {
		if v := platformWord(operand(specs[k])); v != "" {
			return v
		}
	}
	for _, k := range keys {
		name, ok := strings.CutPrefix(trait(k, specs[k]), "HW_CPU_")
		if !ok {
			continue
		}
		for _, arch := range []string{"X86", "AARCH64", "PPC64LE", "PPC64"} {
			if name == arch || strings.HasPrefix(name, arch+"_") {
				return platformWord(strings.Replace(arch, "X86", "X86_64", 1))
			}
		}
	}
	return defaultPlatform
}

// trait gives the trait that an extra spec requires, "" when it is none: "trait:NAME" or "trait1:NAME", "required".
func trait(key, value string) string {
	group, name, ok := strings.Cut(key, ":")
	if !ok || !strings.HasPrefix(group, "trait") || !strings.EqualFold(strings.TrimSpace(value), "required") {
		return ""
	}
	return name
}

// operand takes the operator of Nova's filters away: "s== aarch64", "<in> aarch64", "<or> x86_64 <or> aarch64" (which leaves
// it open: "").
func operand(value string) string {
	f := strings.Fields(value)
	switch {
	case len(f) == 1:
		return f[0]
	case len(f) == 2 && (f[0] == "s==" || f[0] == "<in>" || f[0] == "<or>" || f[0] == "=" || f[0] == "=="):
		return f[1]
	}
	return ""
}

func platformWord(name string) string {
	name = strings.ToLower(run.Line(name, 64))
	if p, ok := platforms[name]; ok {
		return p
	}
	return name
}
