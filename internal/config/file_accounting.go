package config

type fileAccounting struct {
	said
	Mode       text         `key:"mode" default:"observe" enum:"disabled|observe|active" doc:"observe: collect, cut and send nothing. active: send too."`
	Schedule   fileSchedule `key:"schedule" doc:"When it runs, UTC, as cron expressions: five fields, or @hourly, @daily, @every 30m. Left out: as usual, at a moment of the site's own, so that not all sites come in the same second."`
	Previously text         `key:"previously" enum:"caso|nothing" doc:"What sent the site's records before fedsite. Must be said to be active. caso: durations go on as cASO counted them. nothing: they begin at since."`
	Since      date         `key:"since" doc:"Use before this day is not accounted. Left out: the start of the month of the first collection."`
	ActiveFrom date         `key:"active_from" doc:"First month that is sent, as its first day. Left out: the month in which accounting became active; with previously: nothing that of since, and no other will do."`
	Records    []text       `key:"records" default:"[cloud]" enum:"cloud" doc:"Kinds of records."`
	Charge     fileCharge   `key:"charge" doc:"What of a VM's time is counted."`
	Overlap    duration     `key:"overlap" default:"15m" min:"1m" max:"24h" doc:"How far back before a window changes are asked for once more."`
	Settle     duration     `key:"settle" default:"5m" min:"1m" max:"1h" doc:"How long OpenStack is given before a moment is collected; also how far its clock may be off."`
	MaxRecords number       `key:"max_records" default:"100" min:"1" max:"100" doc:"Records in a message."`
	AMS        *fileAMS     `key:"ams" doc:"Destination: the ARGO Messaging Service. Left out, and no other destination given: with its defaults."`
	Dirq       *fileDirq    `key:"dirq" doc:"Destination: a directory queue, which ssmsend can send."`
}

type fileSchedule struct {
	said
	Collect cron `key:"collect" doc:"Collecting. Left out: hourly."`
	Send    cron `key:"send" doc:"Sending. Left out: every 5 minutes."`
	Check   cron `key:"check" doc:"The checks: roles, VOs, flavors, certificate, token, topic. Left out: hourly."`
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
