package discovery

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fedsite/fedsite/protocol/glue"
)

// device is a kind of accelerator by the words that people name it by.
type device struct {
	words        *regexp.Regexp // of the name in small letters, its parts separated by single blanks
	kind, vendor string
	model        bool // the word is the model's name
}

// devices are tried in this order. Names are the administrator's: an alias "a100" or a resource "CUSTOM_GPU_A100" leaves no
// doubt, while "fast-nic" is no accelerator.
var devices = []device{
	{regexp.MustCompile(`\b(?:a2|a10|a16|a30|a40|a100|a800|h100|h200|h800|b100|b200|gb200|gh200|l4|l40|l40s|v100s?|p4|p40|p100|t4|k40|k80|m10|m60)\b`), "GPU", "NVIDIA", true},
	{regexp.MustCompile(`\b(?:rtx ?[a-z]?\d{4}[a-z]?|gtx ?\d{3,4}|quadro ?[a-z]*\d*|titan)\b`), "GPU", "NVIDIA", true},
	{regexp.MustCompile(`\bmi ?(?:25|50|60|100|210|250x?|300[ax]?|325x)\b`), "GPU", "AMD", true},
	{regexp.MustCompile(`\b(?:alveo|u50|u55c|u200|u250|u280|vck5000)\b`), "FPGA", "Xilinx", true},
	{regexp.MustCompile(`\b(?:xilinx)\b`), "FPGA", "Xilinx", false},
	{regexp.MustCompile(`\b(?:stratix|agilex|arria)(?: ?\d+)?\b`), "FPGA", "Intel", true},
	{regexp.MustCompile(`\bgaudi ?\d?\b`), "NPU", "Intel", true},
	{regexp.MustCompile(`\bascend ?\d*\b`), "NPU", "Huawei", true},
	{regexp.MustCompile(`\b(?:xeon ?phi|knl|knc)\b`), "MIC", "Intel", true},
	{regexp.MustCompile(`\b(?:nvidia|tesla|geforce)\b`), "GPU", "NVIDIA", false},
	{regexp.MustCompile(`\b(?:radeon|instinct)\b`), "GPU", "AMD", false},
	{regexp.MustCompile(`\bv?gpus?\d*\b|\bpgpu\b`), "GPU", "", false},
	{regexp.MustCompile(`\bfpgas?\b`), "FPGA", "", false},
	{regexp.MustCompile(`\btpus?\b`), "TPU", "", false},
	{regexp.MustCompile(`\bnpus?\b`), "NPU", "", false},
}

var notWord = regexp.MustCompile(`[^a-z0-9]+`)

// recognise tells what a name stands for.
func recognise(name string) (glue.VirtualAccelerator, bool) {
	if len(name) > 255 {
		return glue.VirtualAccelerator{}, false // nobody names a device so
	}
	words := strings.TrimSpace(notWord.ReplaceAllString(strings.ToLower(name), " "))
	for _, d := range devices {
		found := d.words.FindString(words)
		if found == "" {
			continue
		}
		a := glue.VirtualAccelerator{Type: d.kind, Vendor: d.vendor}
		if d.model {
			a.Model = strings.ToUpper(found)
		}
		return a, true
	}
	return glue.VirtualAccelerator{}, false
}

// nativeAccelerators reads what Nova is told: the PCI devices of pci_passthrough:alias ("a100:2,nic:1"), resources:VGPU and
// PGPU, resources:CUSTOM_* and accel:device_profile with a name that stands for an accelerator. Of a VGPU or PGPU, required
// CUSTOM_ traits say what it is.
func nativeAccelerators(specs map[string]string) []glue.VirtualAccelerator {
	var out []glue.VirtualAccelerator
	add := func(a glue.VirtualAccelerator, count string, of string) {
		n, err := strconv.Atoi(strings.TrimSpace(count))
		if err != nil || !countable(float64(n)) {
			return
		}
		number := float64(n)
		a.Number, a.VirtualizationType = &number, of
		out = append(out, a)
	}
	for _, one := range strings.Split(specs["pci_passthrough:alias"], ",") {
		name, count, ok := strings.Cut(strings.TrimSpace(one), ":")
		if !ok {
			count = "1"
		}
		if a, known := recognise(name); known {
			add(a, count, "PCI passthrough")
		}
		if len(out) == maxAccelerators {
			return out
		}
	}
	keys := slices.Sorted(maps.Keys(specs))
	for _, k := range keys {
		group, resource, ok := strings.Cut(k, ":")
		if !ok || strings.TrimRight(group, "0123456789") != "resources" || len(out) == maxAccelerators {
			continue
		}
		switch {
		case resource == "VGPU" || resource == "PGPU":
			a := customTrait(keys, specs)
			kind := "vGPU"
			if resource == "PGPU" {
				kind = "PCI passthrough"
			}
			add(a, specs[k], kind)
		case strings.HasPrefix(resource, "CUSTOM_"):
			if a, known := recognise(strings.TrimPrefix(resource, "CUSTOM_")); known {
				add(a, specs[k], "")
			}
		}
	}
	if a, known := recognise(specs["accel:device_profile"]); known && len(out) == 0 {
		add(a, "1", "")
	}
	return out
}

// maxAccelerators is how many kinds one flavor may have.
const maxAccelerators = 8

// customTrait tells by the required traits what a GPU is, if they do.
func customTrait(keys []string, specs map[string]string) glue.VirtualAccelerator {
	for _, k := range keys {
		name, ok := strings.CutPrefix(trait(k, specs[k]), "CUSTOM_")
		if !ok {
			continue
		}
		if a, known := recognise(name); known && a.Type == "GPU" {
			return a
		}
	}
	return glue.VirtualAccelerator{Type: "GPU"}
}
