package config

// fileDefaults is what site files of the form catch-all leave to the main file.
type fileDefaults struct {
	said
	Credential    text       `key:"credential" doc:"Signs in to all of these sites: a name under credentials. Left out: the only one there is."`
	CredentialFor dict[text] `key:"credential_for" doc:"Signs in where a site's file says another auth than v3oidcaccesstoken: names under credentials, by what auth says."`
}

// fileSetLimits is how hard a set of sites is worked on.
type fileSetLimits struct {
	said
	Sites    number   `key:"parallel_sites" min:"1" max:"256" doc:"Sites of these files that are worked on at once. Left out: limits.parallel."`
	PerSite  number   `key:"per_site" min:"1" max:"64" doc:"Projects of a site that are asked at once, unless its cloud says limits.parallel."`
	Deadline duration `key:"deadline" min:"1m" max:"7d" doc:"When a run of one of these sites is given up. Left out: limits.deadline."`
}

// fileOverride is what the main file says of a site whose own file stays as it is: keys of a cloud, and former names.
type fileOverride struct {
	said
	Formerly   []fileFormer `key:"formerly" doc:"Names that the site had."`
	Name       text         `key:"cloud" doc:"Name of the cloud. Left out: the host of its endpoint."`
	Region     text         `key:"region" doc:"Region of the catalog."`
	Interface  text         `key:"interface" enum:"public|internal|admin" doc:"Interface of the catalog."`
	Service    text         `key:"service_name" maxlen:"255" pattern:"^[ -~]+$" words:"of printable ASCII characters" doc:"CloudComputeService of the records."`
	GOCDBKey   text         `key:"gocdb_id" maxlen:"64" pattern:"^[A-Za-z0-9]+$" words:"a key like 16001G0" doc:"Primary key of the endpoint in GOCDB."`
	Protocol   text         `key:"protocol" doc:"Keystone's name of the protocol."`
	Mode       perPart      `key:"mode" enum:"disabled|observe|active" doc:"What is done there at most, as for a cloud."`
	Credential perPart      `key:"credential" doc:"A name under credentials, or a mapping of parts to names."`
	Limits     *fileLimits  `key:"limits" doc:"How hard the cloud may be asked."`
	Network    *fileNetwork `key:"network" doc:"Overrides network, key by key."`
}

// fileCatchAll is the form of a site's file of EGI's catch-all operations, as far as it is read. Other keys are left out,
// and told.
type fileCatchAll struct {
	said
	GOCDB      text                `key:"gocdb" required:"true"`
	Endpoint   text                `key:"endpoint" required:"true" format:"url" words:"https://keystone.example.org:5000/v3"`
	Auth       text                `key:"auth"`
	Region     text                `key:"region"`
	Protocol   text                `key:"protocol"`
	VOs        []catchAllVO        `key:"vos"`
	Images     *catchAllImages     `key:"images"`
	Accounting *catchAllAccounting `key:"accounting"`
}

type catchAllVO struct {
	said
	Name           text         `key:"name" required:"true"`
	Auth           catchAllAuth `key:"auth"`
	DefaultNetwork text         `key:"defaultNetwork" enum:"public|private|public_only|private_only"`
	PublicNetwork  text         `key:"publicNetwork"`
}

type catchAllAuth struct {
	said
	Project text `key:"project_id"`
	Region  text `key:"region"`
}

type catchAllImages struct {
	said
	Sync    flag   `key:"sync"`
	Formats []text `key:"formats"`
}

type catchAllAccounting struct {
	said
	Enabled flag `key:"enabled"`
	Name    text `key:"site_name"`
}
