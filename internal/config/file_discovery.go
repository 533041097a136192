package config

type fileDiscovery struct {
	said
	Mode      text          `key:"mode" default:"observe" enum:"disabled|observe|active" doc:"observe: ask, render and compare, publish nothing. active: publish too."`
	Schedule  discoveryCron `key:"schedule" doc:"When it runs, UTC: a cron expression, or a mapping of publish and check to one each. Left out: every half hour, and the checks hourly, at moments of the site's own."`
	KeepFor   duration      `key:"keep_for" default:"12h" min:"0s" max:"7d" doc:"How long what a cloud does not answer keeps its last good value, marked as such. Afterwards it is left out."`
	Validity  duration      `key:"validity" default:"12h" min:"10m" max:"7d" doc:"How long a document counts: Validity of its objects."`
	Images    text          `key:"images" default:"shared" enum:"marketplace|shared|all" doc:"Images that are published. marketplace: those with a marketplace URI. shared: those, public ones and those that were shared with the project. all: the project's own ones, too."`
	Snapshots flag          `key:"snapshots" default:"false" doc:"Images that are snapshots are published, too."`
	Flavors   text          `key:"flavors" default:"all" enum:"all|public|private" doc:"Flavors that are published."`
	Merged    flag          `key:"merged" default:"false" doc:"An image or flavor of several VOs is one object in JSON, and not one for each, as cloud-info-provider has it."`
	GOCDB     fileGOCDB     `key:"gocdb" doc:"The registry of sites, their endpoints and downtimes."`
	Publish   []fileSink    `key:"publish" doc:"Where documents go. Each entry is of one kind: file, swift, ams, api or ldap. Required to be active."`
}

type fileGOCDB struct {
	said
	URL     urlOrOff     `key:"url" default:"https://goc.egi.eu/gocdbpi/public/" words:"https://goc.egi.eu/gocdbpi/public/" doc:"URL of its public interface; off: it is not asked."`
	Paged   flag         `key:"paged" default:"false" doc:"Answers are asked for in pages, where it cannot give everything at once."`
	Network *fileNetwork `key:"network" doc:"Overrides network for GOCDB, key by key; proxy: \"\" is none."`
}

type fileSink struct {
	said
	Name          text           `key:"name" pattern:"^[A-Za-z0-9._-]+$" words:"of letters, digits, ., - and _" doc:"Name of your choice, unique within the site. Left out: the kind; of a second one of it, file-2 and so on."`
	DeleteRemoved flag           `key:"delete_removed" default:"false" doc:"Documents of sites and endpoints that are gone are taken away there, once the new state was read back. For file and swift."`
	File          *fileFileSink  `key:"file" doc:"Files on this host, replaced as a whole."`
	Swift         *fileSwiftSink `key:"swift" doc:"A container of Swift."`
	AMS           *fileAMSSink   `key:"ams" doc:"A topic of the ARGO Messaging Service."`
	API           *fileAPI       `key:"api" doc:"The information API, served by fedsite serve itself."`
	LDAP          *fileLDAP      `key:"ldap" doc:"An LDAP server to read from, served by fedsite serve itself."`
}

type fileFileSink struct {
	said
	Path   text `key:"path" required:"true" format:"path" doc:"Directory, which gets a file for each endpoint; or one file, when it ends in .json or .ldif."`
	Format text `key:"format" default:"glue21json" enum:"glue21json|ldif" doc:"What is written."`
}

type fileSwiftSink struct {
	said
	Credential text `key:"credential" required:"true" doc:"A name under credentials: one that says site and vo, or an entry of clouds.yaml with its project."`
	Container  text `key:"container" required:"true" maxlen:"256" pattern:"^[^/]+$" words:"a name without /" doc:"Name of the container."`
}

type fileAMSSink struct {
	said
	Host        text            `key:"host" default:"msg.argo.grnet.gr" pattern:"^[^/@ ]+$" words:"a host name alone, such as msg.argo.grnet.gr" doc:"Host of the broker."`
	Port        number          `key:"port" default:"443" min:"1" max:"65535" doc:"Port of the broker."`
	AuthnPort   number          `key:"authn_port" default:"8443" min:"1" max:"65535" doc:"Port of authn, which gives a token for the host certificate. Not asked when token is set."`
	Project     text            `key:"project" default:"egi_cloud_info" pattern:"^[a-zA-Z0-9_-]+$" words:"of letters, digits, - and _" doc:"Project at the broker."`
	Topic       text            `key:"topic" pattern:"^[a-zA-Z0-9_-]+$" words:"of letters, digits, - and _" doc:"Topic. Left out: SITE_…_ENDPOINT_…, of the site's name and its key in GOCDB."`
	Token       secret          `key:"token" doc:"Token of the broker, when authn cannot be reached."`
	Certificate fileCertificate `key:"certificate" doc:"Host certificate that authn knows."`
	Gzip        flag            `key:"gzip" default:"false" doc:"Documents are compressed."`
	Format      text            `key:"format" default:"glue21json" enum:"glue21json|ldif" doc:"What is sent."`
	MaxBytes    number          `key:"max_bytes" default:"990000" min:"100000" max:"1500000" doc:"Bytes of a message in base64, attributes included."`
	Network     *fileNetwork    `key:"network" doc:"Overrides network for the broker, key by key; proxy: \"\" is none."`
}

type fileAPI struct {
	said
	Listen       address          `key:"listen" default:"127.0.0.1:8471" doc:"Address that it is served at, as [::]:8080 for everybody. Sites that name the same one share it, and say the same of it."`
	OpsPortalKey secret           `key:"ops_portal_key" doc:"Key of the Operations Portal's API, for the list of all VOs. Left out: /vos/ lists the VOs of the documents."`
	Directory    text             `key:"directory" format:"path" doc:"Directory with documents of other publishers, served too."`
	Container    *fileSwiftSink   `key:"container" doc:"Container of Swift with documents of other publishers, served too."`
	BaseURL      text             `key:"base_url" format:"url" words:"https://is.example.org" doc:"URL by which others reach it, where a proxy stands before it. Left out: as each of them asks for."`
	Disciplines  text             `key:"disciplines" format:"path" doc:"JSON file with the federation's disciplines, as its information API has it. Left out: none are served."`
	TLS          *fileCertificate `key:"tls" doc:"Certificate of the server. Left out: HTTP, for a proxy before it."`
}

type fileLDAP struct {
	said
	Listen address `key:"listen" default:"127.0.0.1:2170" doc:"Address that it is served at, as [::]:2170 for everybody. Sites that name the same one share it."`
}

type fileAccelerator struct {
	said
	Type   text `key:"type" default:"GPU" enum:"GPU|MIC|FPGA|TPU|NPU" doc:"Kind of accelerator."`
	Vendor text `key:"vendor" maxlen:"255" doc:"Its vendor, as NVIDIA."`
	Model  text `key:"model" maxlen:"255" doc:"Its model, as A100."`
	Number real `key:"number" default:"1" min:"0.001" max:"1000" doc:"How many a VM has; a part of one, too, as 0.5."`
	Memory real `key:"memory_gb" min:"0.001" max:"100000" doc:"Memory of each, in GB."`
}
