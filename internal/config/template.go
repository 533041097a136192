package config

import (
	"cmp"
	"fmt"
)

// TemplateOptions are the names in a first configuration.
type TemplateOptions struct {
	Site    string // in GOCDB; "" = EXAMPLE-CLOUD
	Cloud   string // of your choice; "" = main
	OSCloud string // entry of clouds.yaml; "" = fedsite
}

// Template gives a first configuration: one site, one cloud, looking on only.
func Template(o TemplateOptions) []byte {
	return fmt.Appendf(nil, `# fedsite: fedsite config check reads this file; fedsite config show says what is in effect, and why.
site: {gocdb: %s}
clouds:
  - {name: %s, credential: reader}
credentials:
  reader: {os_cloud: %s}   # an entry of /etc/openstack/clouds.yaml; clouds_file: names another file
# vos:                      # projects may also name their VO themselves, in the property egi.VO
#   - {name: vo.example.org, project: 4ae07d}
accounting:
  mode: observe             # then active, which sends
  # previously: caso        # what sent this site's records before: caso or nothing
# images:                   # plans only, until mode: active
#   sources:
#     - {list: "https://vmcaster.appdb.egi.eu/store/vo/vo.example.org/image.list", endorser: {dn: /DC=EU/DC=EGI/C=NL/O=Hosts/O=EGI.eu/CN=appdb.egi.eu}}
#     - {oci: registry.egi.eu/egi_vm_images, vos: "*"}
# flavors: {"*": {benchmark: {type: HEPscore23, value: 15.2}}}
# notify: {email: cloud-ops@example.org}   # on change of health, and each morning
# network: {proxy: "http://proxy.example.org:3128", no_proxy: [.example.org]}
`, key(cmp.Or(o.Site, "EXAMPLE-CLOUD")), key(cmp.Or(o.Cloud, "main")), key(cmp.Or(o.OSCloud, "fedsite")))
}
