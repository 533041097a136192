package discovery

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/protocol/glue"
)

func specs(pairs ...string) map[string]string {
	out := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = pairs[i+1]
	}
	return out
}

func TestPlatform(t *testing.T) {
	for _, c := range []struct {
		specs map[string]string
		want  string
	}{
		{nil, "amd64"},
		{specs("trait:HW_ARCH_AARCH64", "required"), "aarch64"},
		{specs("trait:HW_ARCH_X86_64", "required"), "amd64"},
		{specs("trait2:COMPUTE_ARCH_PPC64LE", "required"), "ppc64le"},
		{specs("trait:HW_ARCH_AARCH64", "forbidden"), "amd64"},
		{specs("capabilities:cpu_info:arch", "s== aarch64"), "aarch64"},
		{specs("capabilities:cpu_info:arch", "i686"), "i386"},
		{specs("capabilities:cpu_info:arch", "<or> x86_64 <or> aarch64"), "amd64"},
		{specs("hw:cpu_arch", "s390x", "hw:cpu_policy", "dedicated"), "s390x"},
		{specs("trait:HW_ARCH_AARCH64", "required", "capabilities:cpu_info:arch", "x86_64"), "aarch64"},
		{specs("trait:HW_CPU_AARCH64_SVE", "required"), "aarch64"},
		{specs("trait:HW_CPU_X86_AVX512F", "required"), "amd64"},
		{specs("trait:HW_CPU_HYPERTHREADING", "required"), "amd64"},
		{specs("architecture", "SPARC\n64"), "amd64"},
	} {
		if got := platform(c.specs); got != c.want {
			t.Errorf("%v: %s, want %s", c.specs, got, c.want)
		}
	}
}

func TestInfiniband(t *testing.T) {
	for _, c := range []struct {
		specs map[string]string
		want  bool
	}{
		{nil, false}, {specs("infiniband", "true"), true}, {specs("infiniband", "False"), false}, {specs("aggregate_instance_extra_specs:infiniband", "s== true"), true}, {specs("infiniband", "1"), true},
	} {
		catalog := sample("ops")
		catalog.Regions[0].Shares[0].Offer.Flavors.Value[0].ExtraSpecs = c.specs
		d, _ := render(t, catalog, everything)
		if got := len(d.Shares[0].NetworkInfo) == 1 && len(d.InstanceTypes[0].NetworkInfo) == 1; got != c.want {
			t.Errorf("%v: %v", c.specs, got)
		}
	}
}

func TestAccelerators(t *testing.T) {
	rules := []GPURule{{Flavor: "gpu.*", Type: "GPU", Vendor: "NVIDIA", Model: "T4", Number: 2, Memory: 16384}, {Flavor: "fpga*", Type: "FPGA", Model: "U50"}, {Flavor: "[", Number: 1}, {Flavor: "none", Number: -1}}
	for _, c := range []struct {
		flavor string
		specs  map[string]string
		want   string
		found  int
	}{
		{"a", nil, "", 0},
		{"a", specs("Accelerator:Type", "GPU", "Accelerator:Number", "1.0", "Accelerator:Vendor", "NVIDIA", "Accelerator:Model", "A100", "Accelerator:Version", "0", "Accelerator:Memory", "40",
			"Accelerator:VirtualizationType", "PCI passthrough", "Accelerator:ComputeCapability", "8.0, sm_80", "Accelerator:ClockSpeed", "1410"), "GPU 1 NVIDIA A100 40960MiB 1410MHz [8.0 sm_80] PCI passthrough", 0},
		{"a", specs("Accelerator:Number", "0.5", "Accelerator:Memory", "40960", "Accelerator:Version", "PCIe"), "GPU 0.5 vPCIe 40960MiB", 0},
		{"a", specs("accelerator:number", " 2 ", "Accelerator:Type", "FPGA"), "FPGA 2", 0},
		{"a", specs("Accelerator:Number", "0"), "", 0},
		{"a", specs("Accelerator:Number", "0", "resources:VGPU", "1"), "", 0}, // it says so itself
		{"a", specs("Accelerator:Number", "many"), "", 1},
		{"a", specs("Accelerator:Number", "-1", "resources:VGPU", "1"), "GPU 1 vGPU", 1},
		{"a", specs("Accelerator:Number", "NaN"), "", 1},
		{"a", specs("Accelerator:Number", "1e300"), "", 1},
		{"a", specs("Accelerator:Number", "1", "Accelerator:Memory", "much"), "GPU 1", 1},
		{"a", specs("Accelerator:Model", "A100"), "", 0}, // nobody says how many
		{"a", specs("Accelerator:Model", "A100", "pci_passthrough:alias", "a100:4"), "GPU 4 A100", 0},
		{"gpu.big", nil, "GPU 2 NVIDIA T4 16384MiB", 0},
		{"gpu.big", specs("Accelerator:Number", "1"), "GPU 1", 0},
		{"gpu.big", specs("pci_passthrough:alias", "v100:8"), "GPU 2 NVIDIA T4 16384MiB", 0},
		{"fpga1", nil, "FPGA 1 U50", 0},
		{"fpga1", specs("pci_passthrough:alias", "alveo:3"), "FPGA 3 U50", 0},
		{"none", nil, "", 0},
		{"a", specs("pci_passthrough:alias", "nvidia-a100:2"), "GPU 2 NVIDIA A100 PCI passthrough", 0},
		{"a", specs("pci_passthrough:alias", "T4"), "GPU 1 NVIDIA T4 PCI passthrough", 0},
		{"a", specs("pci_passthrough:alias", "fast-nic:2"), "", 0},
		{"a", specs("pci_passthrough:alias", "mi250x:1,nic:1, xilinx_u280 : 2"), "GPU 1 AMD MI250X PCI passthrough; FPGA 2 Xilinx U280 PCI passthrough", 0},
		{"a", specs("pci_passthrough:alias", "gpu:0"), "", 0},
		{"a", specs("resources:VGPU", "2"), "GPU 2 vGPU", 0},
		{"a", specs("resources:VGPU", "1", "trait:CUSTOM_NVIDIA_A40_8Q", "required"), "GPU 1 NVIDIA A40 vGPU", 0},
		{"a", specs("resources1:PGPU", "1"), "GPU 1 PCI passthrough", 0},
		{"a", specs("resources:CUSTOM_GPU_H100", "1", "resources:CUSTOM_BAREMETAL_GOLD", "1", "resources:VCPU", "0"), "GPU 1 NVIDIA H100", 0},
		{"a", specs("resources:CUSTOM_FPGA", "1"), "FPGA 1", 0},
		{"a", specs("accel:device_profile", "tpu-profile"), "TPU 1", 0},
		{"a", specs("trait:CUSTOM_GPU_FREE", "required"), "", 0}, // a trait alone is no device
		{"a", specs("pci_passthrough:alias", strings.Repeat("gpu:1,", 100)), strings.TrimSuffix(strings.Repeat("GPU 1 PCI passthrough; ", maxAccelerators), "; "), 0},
	} {
		x := &renderer{r: &Rendering{GPU: rules}, found: map[glue.Finding]bool{}}
		var got []string
		for _, a := range x.accelerators(&Flavor{ID: "1", Name: c.flavor, ExtraSpecs: c.specs}) {
			got = append(got, accelerator(a))
		}
		if text := strings.Join(got, "; "); text != c.want || len(x.findings) != c.found {
			t.Errorf("%s %.200v: %q %v, want %q and %d findings", c.flavor, c.specs, text, x.findings, c.want, c.found)
		}
	}
}

func accelerator(a glue.VirtualAccelerator) string {
	out := []string{a.Type, fmt.Sprint(*a.Number)}
	for _, s := range []string{a.Vendor, a.Model} {
		if s != "" {
			out = append(out, s)
		}
	}
	if a.Version != "" {
		out = append(out, "v"+a.Version)
	}
	if a.Memory != nil {
		out = append(out, fmt.Sprint(*a.Memory, "MiB"))
	}
	if a.ClockSpeed != nil {
		out = append(out, fmt.Sprint(*a.ClockSpeed, "MHz"))
	}
	if len(a.ComputeCapability) > 0 {
		out = append(out, fmt.Sprint(a.ComputeCapability))
	}
	if a.VirtualizationType != "" {
		out = append(out, a.VirtualizationType)
	}
	return strings.Join(out, " ")
}

// TestAcceleratorIDs: the first has today's id, others of the flavor a number.
func TestAcceleratorIDs(t *testing.T) {
	c := sample("ops")
	f := &c.Regions[0].Shares[0].Offer.Flavors.Value[0]
	f.Name, f.ExtraSpecs = "", specs("pci_passthrough:alias", "a100:1,alveo:1")
	d, _ := render(t, c, everything)
	var got []string
	for _, a := range d.VirtualAccelerators {
		got = append(got, a.ID, a.Name, fmt.Sprint(a.InstanceTypes))
	}
	if want := "f1_gpu f1_gpu [f1] f1_gpu_2 f1_gpu_2 [f1]"; strings.Join(got, " ") != want || fmt.Sprint(d.InstanceTypes[0].VirtualAccelerators) != "[f1_gpu f1_gpu_2]" {
		t.Errorf("%q %v", got, d.InstanceTypes[0].VirtualAccelerators)
	}
}

func TestUnits(t *testing.T) {
	for _, c := range []struct {
		text string
		of   func(float64, string) (float64, bool)
		want float64 // 0 = it cannot be read
	}{
		{"16", mebibytes, 16384}, {"0.5", mebibytes, 512}, {"1023", mebibytes, 1023 * 1024}, {"1024", mebibytes, 1024}, {"40960", mebibytes, 40960}, {"42949672960", mebibytes, 40960},
		{"16GB", mebibytes, 16384}, {"16 GiB", mebibytes, 16384}, {"16g", mebibytes, 16384}, {"512MB", mebibytes, 512}, {"1 TB", mebibytes, 1 << 20}, {"16 apples", mebibytes, 0},
		{"1.41", megahertz, 1410}, {"1410", megahertz, 1410}, {"1.4GHz", megahertz, 1400}, {"900 mhz", megahertz, 900}, {"9 rpm", megahertz, 0},
		{"-1", mebibytes, 0}, {"1e999", mebibytes, 0}, {"99999999999999999999999999999", mebibytes, 0}, {"0.0001MB", mebibytes, 0}, {"..", mebibytes, 0},
	} {
		x := &renderer{found: map[glue.Finding]bool{}}
		got := x.quantity(&Flavor{ID: "1"}, "Memory", c.text, c.of)
		if got == nil != (c.want == 0) || got != nil && float64(*got) != math.Round(c.want) || (got == nil) != (len(x.findings) == 1) {
			t.Errorf("%q: %v %v, want %v", c.text, got, x.findings, c.want)
		}
	}
}
