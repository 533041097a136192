package config

type fileStore struct {
	said
	Path   text       `key:"path" default:"/var/lib/fedsite" format:"path" doc:"Directory of the state. The database is fedsite.db in it, unless url is set. FEDSITE_DATABASE overrides it."`
	URL    secret     `key:"url" format:"postgres" doc:"Database in PostgreSQL, as postgres://user@host/database. FEDSITE_DATABASE overrides it."`
	Backup fileBackup `key:"backup" doc:"The daily snapshots."`
}

type fileBackup struct {
	said
	Dir  text   `key:"dir" format:"path" doc:"Directory of the snapshots. Left out: backup in the directory of the state."`
	Keep number `key:"keep" default:"14" min:"0" max:"3650" doc:"Snapshots that are kept; 0: none is made."`
	At   daily  `key:"at" default:"\"03:00\"" doc:"When they are made, UTC; off: only when asked for."`
}

type fileRunLimits struct {
	said
	Parallel number   `key:"parallel" default:"8" min:"1" max:"256" doc:"Runs at once."`
	PerSite  number   `key:"per_site" default:"2" min:"1" max:"256" doc:"Runs at once for one site."`
	Deadline duration `key:"deadline" default:"6h" min:"1m" max:"7d" doc:"When a run is given up; what it has done stays done."`
}

type fileNotify struct {
	said
	Email     words        `key:"email" format:"email" note:"personal" doc:"Address or addresses that get mail."`
	From      text         `key:"from" format:"email" doc:"Address that mail comes from. Left out: fedsite at the host's name."`
	SMTP      fileSMTP     `key:"smtp" doc:"The server that takes mail."`
	Webhook   *fileWebhook `key:"webhook" doc:"A URL that is told by HTTP."`
	Heartbeat secret       `key:"heartbeat_url" format:"url" doc:"URL that is called while the service is well, so that its silence is noticed elsewhere."`
	Digest    daily        `key:"digest" default:"\"07:00\"" doc:"When the state of all is told each day, UTC; off: never."`
}

type fileSMTP struct {
	said
	Host     text   `key:"host" default:"localhost" pattern:"^[^/@ ]+$" words:"a host name alone" doc:"Host of the server."`
	Port     number `key:"port" min:"1" max:"65535" doc:"Its port. Left out: 587 with starttls, 465 with tls, 25 with none."`
	TLS      text   `key:"tls" enum:"starttls|tls|none" doc:"How the connection is encrypted. Left out: starttls; none on this host."`
	User     text   `key:"user" doc:"User, when the server asks for one."`
	Password secret `key:"password" doc:"The user's password."`
}

type fileWebhook struct {
	said
	URL     secret       `key:"url" required:"true" format:"url" doc:"The URL; who knows it can write there."`
	Headers dict[secret] `key:"headers" note:"secret" doc:"Headers that are sent, each a secret or where to read it."`
}

type fileMute struct {
	said
	Site   text `key:"site" doc:"The site, by its name in GOCDB. Left out: all."`
	Part   text `key:"part" enum:"accounting|discovery|images" doc:"The part. Left out: all."`
	Reason text `key:"reason" doc:"Why; it is shown."`
	Until  date `key:"until" required:"true" doc:"First day, or moment, from which on it is told again, UTC."`
}

type fileRetention struct {
	said
	Records   period `key:"records" default:"18mo" min:"3mo" doc:"Records in the ledger, and the archive of sent messages, by their month."`
	AccessLog period `key:"access_log" default:"180d" min:"1d" doc:"Who signed in."`
	Audit     period `key:"audit" default:"18mo" min:"1d" doc:"What operators did."`
	Runs      period `key:"runs" default:"90d" min:"1d" doc:"Reports of runs."`
}

type fileWeb struct {
	said
	Listen listen `key:"listen" default:"127.0.0.1:8470" doc:"Address of the pages, on loopback, as 127.0.0.1:8470 or [::1]:8470; off: none. From elsewhere: ssh -L 8470:127.0.0.1:8470 HOST."`
}

type fileDemo struct {
	said
	Offset duration `key:"offset" default:"0s" doc:"How far the demo's clock is from the real one."`
}
