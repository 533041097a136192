package config

// The structs of this file are the form of the configuration file: decoder, defaults, JSON Schema and reference are made
// from them alone. Tags:
//
//	key       the key, required:"true" when it cannot be left out
//	default   its value when it is left out, as YAML
//	enum      the words it may be, separated by |
//	min, max  its bounds, of numbers and durations
//	pattern   a regular expression of the whole text, and in words what it asks for; format: url, ip, path
//	maxlen    its length in characters
//	doc       what it means; note: what else the reference says
type fileTop struct {
	said
	Site  *fileName   `key:"site" doc:"The site; or sites, for several."`
	Sites []fileEntry `key:"sites" doc:"Several sites, here or in files of their own. Of vo_properties, flavors, accounting, discovery, images and privacy, what stands at the top of the file is the default, and a site's own keys override it one by one; clouds and vos are each site's own."`
	fileParts
	fileRest
}

// fileRest is what the whole file has once.
type fileRest struct {
	said
	Credentials dict[fileCredential] `key:"credentials" doc:"Ways to sign in, by a name of your choice. Each is of one kind. OpenStack takes an entry of clouds.yaml, a password, an application credential, a token, oidc, vault and exec."`
	Network     *fileNetwork         `key:"network" doc:"How connections are made, unless a cloud or destination says otherwise."`
	Store       fileStore            `key:"store" doc:"Where fedsite keeps its state."`
	Limits      fileRunLimits        `key:"limits" doc:"How much the service does at once."`
	Notify      *fileNotify          `key:"notify" doc:"Who is told when the health of something changes. Left out: nobody."`
	Mute        []fileMute           `key:"mute" doc:"What nobody is told of until a day; it is still shown."`
	Retention   fileRetention        `key:"retention" doc:"How long things are kept. Afterwards only monthly sums per VO stay of records."`
	Web         fileWeb              `key:"web" doc:"The web server of fedsite serve."`
	Demo        *fileDemo            `key:"demo" doc:"Written by fedsite demo, for itself only."`
}

// fileEntry is an entry of sites: a site, or a set of files that hold one each.
type fileEntry struct {
	said
	fileInclude
	fileName
	fileParts
}

// fileSites is a set of files in an entry of sites.
type fileSites struct {
	said
	fileInclude
}

type fileInclude struct {
	Include   text               `key:"include" required:"true" doc:"Files that hold one site each, as site and the keys beside it; the last part of the path may hold * and ?. What is wrong in one concerns that site alone: its last good configuration stays in use."`
	Prune     flag               `key:"prune" default:"false" doc:"Sites whose files are gone are given up without a question, also when they are more than three at once."`
	Format    text               `key:"format" default:"fedsite" enum:"fedsite|catch-all" doc:"Form of the files: fedsite's own, or that of EGI's catch-all operations, as they are."`
	Defaults  fileDefaults       `key:"defaults" doc:"What files of the form catch-all leave open."`
	Limits    fileSetLimits      `key:"limits" doc:"How hard these sites are worked on."`
	Overrides dict[fileOverride] `key:"overrides" doc:"What is said here in place of a file of the form catch-all, by the site's name in GOCDB, or by an endpoint, which wins."`
}

// fileUnit is a file that holds one site.
type fileUnit struct {
	said
	Site *fileName `key:"site" required:"true" doc:"The site."`
	fileParts
}

// fileSite is a site in an entry of sites, or what a file says of its only site.
type fileSite struct {
	said
	fileName
	fileParts
}

type fileName struct {
	GOCDB    text         `key:"gocdb" required:"true" doc:"Name of the site in GOCDB, SiteName of its records."`
	Formerly []fileFormer `key:"formerly" doc:"Names that the site had. Records of months before the change keep the old name."`
}

type fileFormer struct {
	said
	Name  text `key:"name" required:"true" doc:"The name."`
	Until date `key:"until" required:"true" doc:"First day on which it was not the name any more, UTC."`
}

type fileParts struct {
	Clouds     []fileCloud      `key:"clouds" doc:"The site's OpenStack endpoints."`
	VOs        []fileVO         `key:"vos" doc:"The VOs, in order: of a project with several, the first is accounted. Projects may also name theirs themselves (vo_properties); this list wins."`
	Properties []text           `key:"vo_properties" default:"[egi.VO, egi.eu:VO, accounting:VO, VO]" doc:"Properties of Keystone projects that name their VOs, tried in order."`
	Flavors    dict[fileFlavor] `key:"flavors" doc:"What flavors don't say themselves, by a shell pattern of their names; the first pattern that fits wins."`
	Accounting fileAccounting   `key:"accounting" doc:"Usage records, from OpenStack to the accounting server."`
	Discovery  fileDiscovery    `key:"discovery" doc:"What the site offers to each VO, told to the federation as GLUE 2.1."`
	Images     fileImages       `key:"images" doc:"The federation's VM images in Glance, verified."`
	Privacy    filePrivacy      `key:"privacy" doc:"What of personal data is sent."`
}

type fileCloud struct {
	said
	Name       text         `key:"name" required:"true" doc:"Name of your choice, unique within the site."`
	Like       text         `key:"like" doc:"Another cloud of the site, whose keys are taken over; own ones win."`
	Formerly   []text       `key:"formerly" doc:"Names that the cloud had here."`
	AuthURL    text         `key:"auth_url" format:"url" words:"https://keystone.example.org:5000/v3" doc:"URL of Keystone, with /v3. Required unless the credential is an entry of clouds.yaml, which says it too."`
	Region     text         `key:"region" doc:"Region of the catalog. Left out: that of clouds.yaml, or the only one."`
	Interface  text         `key:"interface" enum:"public|internal|admin" doc:"Interface of the catalog. Left out: that of clouds.yaml, else public."`
	Service    text         `key:"service_name" maxlen:"255" pattern:"^[ -~]+$" words:"of printable ASCII characters" doc:"CloudComputeService of the records. Left out: the site's name."`
	GOCDBKey   text         `key:"gocdb_id" maxlen:"64" pattern:"^[A-Za-z0-9]+$" words:"a key like 16001G0" doc:"Primary key of the endpoint in GOCDB. Left out: it is looked up there."`
	Protocol   text         `key:"protocol" doc:"Keystone's name of the protocol here, in place of the one of the credential, which is of the kind oidc."`
	Mode       perPart      `key:"mode" enum:"disabled|observe|active" doc:"What is done here at most: a mode, or a mapping of parts to modes. The lowest of site, cloud and VO counts."`
	Credential perPart      `key:"credential" doc:"A name under credentials, or a mapping of parts to names, one for each part whose mode is not disabled. Left out: the only one there is."`
	Limits     fileLimits   `key:"limits" doc:"How hard the cloud may be asked."`
	Network    *fileNetwork `key:"network" doc:"Overrides network for this cloud, key by key; proxy: \"\" is none."`
}

type fileLimits struct {
	said
	Parallel number `key:"parallel" default:"4" min:"1" max:"64" doc:"Projects asked at once."`
	Nova     real   `key:"nova_per_second" default:"0" min:"0" doc:"Requests to Nova per second; 0 is no limit."`
}

type fileVO struct {
	said
	Name       text    `key:"name" required:"true" doc:"Name of the VO, or FQAN (/vo/group)."`
	Project    text    `key:"project" doc:"Id or name of its project. Left out: that of the token, where the credential is of one project only."`
	Mode       perPart `key:"mode" enum:"disabled|observe|active" doc:"What is done for it at most, as for a cloud."`
	Credential perPart `key:"credential" doc:"Signs in to its project in place of the cloud's: a name under credentials, or a mapping of parts to names."`
	Clouds     words   `key:"cloud" doc:"The cloud, or a list of clouds, where the project is. Left out: every cloud of the site."`
	Since      date    `key:"since" doc:"First day on which the VO is here, UTC."`
	Until      date    `key:"until" doc:"First day on which it is not any more, UTC."`
	AccountAs  text    `key:"account_as" doc:"What records say in place of the name."`
	DefaultNet text    `key:"default_network" enum:"public|private|public_only|private_only" doc:"Kind of the network that VMs get when nothing is asked for."`
	PublicNet  text    `key:"public_network" doc:"Name of the network with public addresses. Left out: the one that the cloud tells."`
}

type fileFlavor struct {
	said
	Benchmark   *fileBenchmark   `key:"benchmark" doc:"Benchmark of one core."`
	Accelerator *fileAccelerator `key:"accelerator" doc:"What a VM has to compute with beside cores."`
}

type fileBenchmark struct {
	said
	Type  text `key:"type" required:"true" maxlen:"50" doc:"Name of the benchmark, as HEPscore23."`
	Value real `key:"value" required:"true" min:"0" below:"9999999" doc:"Its value, per core."`
}

type filePrivacy struct {
	said
	GlobalUserName text `key:"global_user_name" default:"name" enum:"name|id|omit" note:"personal" doc:"What records say of a VM's user: the name, the id, or nothing."`
	MachineName    text `key:"machine_name" default:"send" enum:"send|omit" note:"personal" doc:"Whether records name the VM as its user called it."`
}

type fileNetwork struct {
	said
	Proxy         secret `key:"proxy" format:"proxy" doc:"Proxy as http://host:port; its password is never shown."`
	NoProxy       []text `key:"no_proxy" doc:"Hosts, .domains, addresses and networks reached without it."`
	CAFile        text   `key:"ca_file" format:"path" doc:"PEM file of authorities trusted beside the system's."`
	SourceAddress text   `key:"source_address" format:"ip" doc:"Own address that connections come from."`
}
