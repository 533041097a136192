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
	Site  *fileName  `key:"site" doc:"The site; or sites, for several."`
	Sites []fileSite `key:"sites" doc:"Several sites. Of vo_properties, flavors, accounting and privacy, what stands at the top of the file is the default, and a site's own keys override it one by one; clouds and vos are each site's own."`
	fileParts
	fileRest
}

// fileRest is what the whole file has once.
type fileRest struct {
	said
	Credentials dict[fileCredential] `key:"credentials" doc:"Ways to sign in to OpenStack, by a name of your choice: an entry of clouds.yaml, a password, an application credential, or a token."`
	Network     *fileNetwork         `key:"network" doc:"How connections are made, unless a cloud or destination says otherwise."`
	Store       fileStore            `key:"store" doc:"Where fedsite keeps its state."`
	Demo        *fileDemo            `key:"demo" doc:"Written by fedsite demo, for itself only."`
}

// fileSite is an entry of sites, or what the file says of its only site.
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
	Privacy    filePrivacy      `key:"privacy" doc:"What of personal data is sent."`
}

type fileCloud struct {
	said
	Name       text           `key:"name" required:"true" doc:"Name of your choice, unique within the site."`
	Like       text           `key:"like" doc:"Another cloud of the site, whose keys are taken over; own ones win."`
	Formerly   []text         `key:"formerly" doc:"Names that the cloud had here."`
	AuthURL    text           `key:"auth_url" format:"url" doc:"URL of Keystone, with /v3. Required unless the credential is an entry of clouds.yaml, which says it too."`
	Region     text           `key:"region" doc:"Region of the catalog. Left out: that of clouds.yaml, or the only one."`
	Interface  text           `key:"interface" enum:"public|internal|admin" doc:"Interface of the catalog. Left out: that of clouds.yaml, else public."`
	Service    text           `key:"service_name" maxlen:"255" pattern:"^[ -~]+$" words:"of printable ASCII characters" doc:"CloudComputeService of the records. Left out: the site's name."`
	Credential partCredential `key:"credential" doc:"A name under credentials, or a mapping of parts to names. Left out: the only one there is."`
	Limits     fileLimits     `key:"limits" doc:"How hard the cloud may be asked."`
	Network    *fileNetwork   `key:"network" doc:"Overrides network for this cloud, key by key; proxy: \"\" is none."`
}

type fileLimits struct {
	said
	Parallel number `key:"parallel" default:"4" min:"1" max:"64" doc:"Projects asked at once."`
	Nova     real   `key:"nova_per_second" default:"0" min:"0" doc:"Requests to Nova per second; 0 is no limit."`
}

type fileVO struct {
	said
	Name      text  `key:"name" required:"true" doc:"Name of the VO, or FQAN (/vo/group)."`
	Project   text  `key:"project" required:"true" doc:"Id or name of its project."`
	Clouds    words `key:"cloud" doc:"The cloud, or a list of clouds, where the project is. Left out: every cloud of the site."`
	Since     date  `key:"since" doc:"First day on which the VO is here, UTC."`
	Until     date  `key:"until" doc:"First day on which it is not any more, UTC."`
	AccountAs text  `key:"account_as" doc:"What records say in place of the name."`
}

type fileFlavor struct {
	said
	Benchmark *fileBenchmark `key:"benchmark" doc:"Benchmark of one core."`
}

type fileBenchmark struct {
	said
	Type  text `key:"type" required:"true" maxlen:"50" doc:"Name of the benchmark, as HEPscore23."`
	Value real `key:"value" required:"true" min:"0" below:"9999999" doc:"Its value, per core."`
}

type fileCredential struct {
	said
	OSCloud      text   `key:"os_cloud" doc:"Entry of clouds.yaml."`
	CloudsFile   text   `key:"clouds_file" format:"path" doc:"Path of clouds.yaml. Left out: where OpenStack's clients look."`
	Username     text   `key:"username" note:"personal, if it is a person's" doc:"Name of the user; with user_domain or user_domain_id unless it is in the domain default."`
	UserID       text   `key:"user_id" note:"personal, if it is a person's" doc:"Id of the user, in place of username."`
	Password     secret `key:"password" doc:"Password of the user."`
	UserDomain   text   `key:"user_domain" doc:"Name of the user's domain."`
	UserDomainID text   `key:"user_domain_id" doc:"Id of the user's domain."`
	AppID        text   `key:"application_credential_id" doc:"Id of an application credential."`
	AppName      text   `key:"application_credential_name" doc:"Its name, in place of the id; with username or user_id."`
	AppSecret    secret `key:"application_credential_secret" doc:"Secret of the application credential."`
	Token        secret `key:"token" doc:"A token; it serves the one project that it is for."`
}

type fileAccounting struct {
	said
	Mode       text       `key:"mode" default:"observe" enum:"disabled|observe|active" doc:"observe: collect, cut and send nothing. active: send too."`
	Previously text       `key:"previously" enum:"caso|nothing" doc:"What sent the site's records before fedsite. Must be said to be active. caso: durations go on as cASO counted them. nothing: they begin at since."`
	Since      date       `key:"since" doc:"Use before this day is not accounted. Left out: the start of the month of the first collection."`
	ActiveFrom date       `key:"active_from" doc:"First month that is sent, as its first day. Left out: the month in which accounting became active; with previously: nothing that of since, and no other will do."`
	Records    []text     `key:"records" default:"[cloud]" enum:"cloud" doc:"Kinds of records."`
	Charge     fileCharge `key:"charge" doc:"What of a VM's time is counted."`
	Overlap    duration   `key:"overlap" default:"15m" min:"1m" max:"24h" doc:"How far back before a window changes are asked for once more."`
	Settle     duration   `key:"settle" default:"5m" min:"1m" max:"1h" doc:"How long OpenStack is given before a moment is collected; also how far its clock may be off."`
	MaxRecords number     `key:"max_records" default:"100" min:"1" max:"100" doc:"Records in a message."`
	AMS        *fileAMS   `key:"ams" doc:"Destination: the ARGO Messaging Service. Left out, and no other destination given: with its defaults."`
	Dirq       *fileDirq  `key:"dirq" doc:"Destination: a directory queue, which ssmsend can send."`
}

type fileCharge struct {
	said
	Stopped text `key:"stopped" default:"full" enum:"full|none" doc:"Whether a VM that is shut off uses wall time."`
	Shelved text `key:"shelved" default:"full" enum:"full|none" doc:"Whether a VM that is shelved uses wall time."`
}

type fileAMS struct {
	said
	Host        text            `key:"host" default:"msg.argo.grnet.gr" pattern:"^[^/@ ]+$" words:"a host name alone, such as msg.argo.grnet.gr" doc:"Host of the broker."`
	Port        number          `key:"port" default:"443" min:"1" max:"65535" doc:"Port of the broker."`
	AuthnPort   number          `key:"authn_port" default:"8443" min:"1" max:"65535" doc:"Port of authn, which gives a token for the host certificate. Not asked when token is set."`
	Project     text            `key:"project" default:"accounting" pattern:"^[a-zA-Z0-9_-]+$" words:"of letters, digits, - and _" doc:"Project at the broker."`
	Topics      fileTopics      `key:"topics" doc:"Topic of each kind of records."`
	Token       secret          `key:"token" doc:"Token of the broker, when authn cannot be reached."`
	Certificate fileCertificate `key:"certificate" doc:"Host certificate that signs the messages; the accounting server knows the site by its DN."`
	EncryptTo   text            `key:"encrypt_to" format:"path" doc:"Certificate of the receiver (PEM file), to encrypt messages. Left out: they are signed only."`
	MaxBytes    number          `key:"max_bytes" default:"990000" min:"100000" max:"1500000" doc:"Bytes of a message in base64, attributes included."`
	Copy        flag            `key:"copy" default:"false" doc:"This is a copy beside another destination."`
	Network     *fileNetwork    `key:"network" doc:"Overrides network for the broker, key by key; proxy: \"\" is none."`
}

type fileTopics struct {
	said
	Cloud text `key:"cloud" default:"eu-egi-cloud-accounting" pattern:"^[a-zA-Z0-9_-]+$" words:"of letters, digits, - and _" doc:"Topic of cloud records."`
}

type fileCertificate struct {
	said
	Cert text `key:"cert" default:"/etc/grid-security/hostcert.pem" format:"path" doc:"PEM file of the certificate."`
	Key  text `key:"key" default:"/etc/grid-security/hostkey.pem" format:"path" doc:"PEM file of its key."`
}

type fileDirq struct {
	said
	Path text `key:"path" required:"true" format:"path" doc:"Directory of the queue."`
	Copy flag `key:"copy" default:"false" doc:"This is a copy beside another destination."`
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

type fileStore struct {
	said
	Path text   `key:"path" default:"/var/lib/fedsite" format:"path" doc:"Directory of the state. The database is fedsite.db in it, unless url is set. FEDSITE_DATABASE overrides it."`
	URL  secret `key:"url" format:"postgres" doc:"Database in PostgreSQL, as postgres://user@host/database. FEDSITE_DATABASE overrides it."`
}

type fileDemo struct {
	said
	Offset duration `key:"offset" default:"0s" doc:"How far the demo's clock is from the real one."`
}
