package discovery

import (
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/protocol/glue"
)

// accelerators tells what comes with a flavor, by the first of these that says something: the specs of EGI's guide
// (Accelerator:Number …), what the configuration says, and what Nova itself is told: PCI devices, resources, Cyborg's profiles.
// Several only where Nova is told of several.
func (x *renderer) accelerators(f *Flavor) []glue.VirtualAccelerator {
	native := nativeAccelerators(f.ExtraSpecs)
	if a, said := x.guideAccelerator(f, native); said {
		return a
	}
	for _, rule := range x.r.GPU {
		if ok, err := path.Match(rule.Flavor, f.Name); !ok || err != nil {
			continue
		}
		number := rule.Number
		if number == 0 {
			number = firstNumber(native)
		}
		if !countable(number) {
			return nil
		}
		a := glue.VirtualAccelerator{Type: orGPU(rule.Type), Number: &number, Vendor: rule.Vendor, Model: rule.Model}
		if rule.Memory > 0 {
			a.Memory = &rule.Memory
		}
		return []glue.VirtualAccelerator{a}
	}
	return native
}

// firstNumber is how many Nova gives, 1 when it was not told.
func firstNumber(native []glue.VirtualAccelerator) float64 {
	if len(native) > 0 {
		return *native[0].Number
	}
	return 1
}

// countable tells whether there can be so many accelerators.
func countable(n float64) bool { return n > 0 && n <= 1<<20 }

func orGPU(kind string) string {
	if kind == "" {
		return "GPU"
	}
	return kind
}

// guide is where EGI's guide for providers has its extra specs.
const guide = "accelerator:"

// guideAccelerator reads the specs of EGI's guide. said is false when the flavor has none that counts.
func (x *renderer) guideAccelerator(f *Flavor, native []glue.VirtualAccelerator) (all []glue.VirtualAccelerator, said bool) {
	specs := map[string]string{}
	for _, k := range slices.Sorted(maps.Keys(f.ExtraSpecs)) {
		if name := strings.ToLower(k); strings.HasPrefix(name, guide) && specs[name[len(guide):]] == "" {
			specs[name[len(guide):]] = strings.TrimSpace(f.ExtraSpecs[k])
		}
	}
	number := specs["number"]
	n, err := strconv.ParseFloat(number, 64)
	switch {
	case len(specs) == 0:
		return nil, false
	case number == "" && (len(native) == 0 || specs["type"] == "" && specs["model"] == "" && specs["vendor"] == ""):
		return nil, false
	case number == "":
		n = firstNumber(native)
	case err == nil && n == 0:
		return nil, true
	case err != nil || !countable(n):
		x.unreadable(f, "Number", number)
		return nil, false
	}
	a := glue.VirtualAccelerator{Type: orGPU(specs["type"]), Number: &n, Vendor: specs["vendor"], Model: specs["model"],
		VirtualizationType: specs["virtualizationtype"]}
	if specs["version"] != "0" {
		a.Version = specs["version"]
	}
	a.Memory = x.quantity(f, "Memory", specs["memory"], mebibytes)
	a.ClockSpeed = x.quantity(f, "ClockSpeed", specs["clockspeed"], megahertz)
	a.ComputeCapability = strings.FieldsFunc(specs["computecapability"], func(r rune) bool { return r == ',' || r == ';' || r <= ' ' })
	return []glue.VirtualAccelerator{a}, true
}

func (x *renderer) unreadable(f *Flavor, attribute, value string) {
	x.add(glue.Finding{Level: glue.LevelWarning, Class: "CloudComputingVirtualAccelerator", ID: glue.VirtualAcceleratorID(f.ID), Attribute: attribute,
		Reason: fmt.Sprintf("left out: Accelerator:%s %q cannot be read", attribute, run.Line(value, 40))})
}

// quantity reads a number with or without unit; "" and 0 are undefined.
func (x *renderer) quantity(f *Flavor, attribute, value string, convert func(n float64, unit string) (float64, bool)) *int64 {
	if value == "" || value == "0" {
		return nil
	}
	end := strings.IndexFunc(value, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		end = len(value)
	}
	n, err := strconv.ParseFloat(value[:end], 64)
	if err == nil {
		var ok bool
		if n, ok = convert(n, strings.ToLower(strings.TrimSpace(value[end:]))); ok && n >= 1 && n < 1<<53 {
			whole := int64(math.Round(n))
			return &whole
		}
	}
	x.unreadable(f, attribute, value)
	return nil
}

// mebibytes converts memory. EGI's guide has GB and many sites write MB. No accelerator has as much as 1024 GB or as little
// as 1024 MB, so that a bare number below 1024 is GB, from there MB, and from 2^30 on bytes. GB are GiB, as memory is sold.
func mebibytes(n float64, unit string) (float64, bool) {
	switch unit {
	case "":
		switch {
		case n >= 1<<30:
			return n / (1 << 20), true
		case n >= 1024:
			return n, true
		}
		return n * 1024, true
	case "b", "bytes":
		return n / (1 << 20), true
	case "m", "mb", "mib":
		return n, true
	case "g", "gb", "gib":
		return n * 1024, true
	case "t", "tb", "tib":
		return n * 1024 * 1024, true
	}
	return 0, false
}

// megahertz converts clock speeds. A bare number below 10 is GHz: no accelerator is as slow as 10 MHz.
func megahertz(n float64, unit string) (float64, bool) {
	switch unit {
	case "":
		if n < 10 {
			return n * 1000, true
		}
		return n, true
	case "mhz":
		return n, true
	case "ghz":
		return n * 1000, true
	}
	return 0, false
}

// sameAccelerator tells whether two stand for one thing, wherever they are.
func sameAccelerator(a, b *glue.VirtualAccelerator) bool {
	return a.Name == b.Name && slices.Equal(a.InstanceTypes, b.InstanceTypes) && a.Type == b.Type && *a.Number == *b.Number &&
		a.Vendor == b.Vendor && a.Model == b.Model && a.Version == b.Version && equal(a.ClockSpeed, b.ClockSpeed) &&
		equal(a.Memory, b.Memory) && slices.Equal(a.ComputeCapability, b.ComputeCapability) && a.VirtualizationType == b.VirtualizationType
}

func equal(a, b *int64) bool { return a == b || a != nil && b != nil && *a == *b }
