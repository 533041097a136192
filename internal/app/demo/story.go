package demo

import (
	"fmt"
	"strings"

	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/protocol/apel"
)

// Smuggled is a VM whose name would spoil a message, or put a record of its own into it, if it travelled as it is.
type Smuggled struct{ VM, Name, Wire string }

// Smuggled gives one VM of each such name.
func (d *Demo) Smuggled() []Smuggled {
	var all []Smuggled
	seen := map[string]bool{}
	for _, vm := range d.World.VMs() {
		if wire := apel.Escape(vm.Name); wire != vm.Name && !seen[vm.Name] {
			seen[vm.Name] = true
			all = append(all, Smuggled{vm.ID, vm.Name, wire})
		}
	}
	return all
}

// VOs is how many VOs the projects belong to.
func (d *Demo) VOs() int {
	vos := map[string]bool{}
	for _, p := range d.World.Projects {
		if vo := p.Properties["egi.VO"]; vo != "" {
			vos[vo] = true
		}
	}
	return len(vos)
}

// Try gives commands that can be used against the demo from another shell.
func (d *Demo) Try() []string {
	config, clouds := quote(d.ConfigFile()), quote(d.CloudsFile())
	return []string{
		"fedsite --config " + config + " accounting records",
		"fedsite --config " + config + " accounting collect",
		"OS_CLIENT_CONFIG_FILE=" + clouds + " openstack --os-cloud " + world.Admin + " server list    # then stop, resize or delete one",
		fmt.Sprintf("cat %s    # all logins, and the broker's address", quote(d.Dir+"/"+loginsFile)),
	}
}

// quote gives a path as a shell takes it.
func quote(path string) string {
	if strings.ContainsAny(path, " '\"$\\`*?;&|<>()#~") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
