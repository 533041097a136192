-- +goose Up
CREATE TABLE site (
	id TEXT PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,
	formerly TEXT NOT NULL DEFAULT '[]',
	gocdb_key TEXT NOT NULL DEFAULT '',
	config TEXT NOT NULL DEFAULT '',
	created BIGINT NOT NULL
);

CREATE TABLE cloud (
	id TEXT PRIMARY KEY,
	site TEXT NOT NULL REFERENCES site (id),
	name TEXT NOT NULL,
	auth_url TEXT NOT NULL DEFAULT '',
	region TEXT NOT NULL DEFAULT '',
	formerly TEXT NOT NULL DEFAULT '[]',
	created BIGINT NOT NULL, -- milliseconds: which of two rows of one cloud is the older one
	replaced_by TEXT, -- the cloud that this one was, under a name that nobody had said was its
	UNIQUE (site, name)
);

-- where a site's accounting begins, and from when on it is sent
CREATE TABLE accounting_start (
	site TEXT PRIMARY KEY,
	since BIGINT NOT NULL,
	previously TEXT NOT NULL,
	active_from BIGINT
);

-- clouds, and VOs at a cloud (vo is what records say, '' = all), that only observed within an active site: the oldest
-- month that is sent
CREATE TABLE accounting_scope (
	site TEXT NOT NULL,
	cloud TEXT NOT NULL,
	vo TEXT NOT NULL,
	active_from TEXT NOT NULL,
	PRIMARY KEY (site, cloud, vo)
);

CREATE TABLE collected (
	cloud TEXT NOT NULL,
	project TEXT NOT NULL,
	kind TEXT NOT NULL,
	from_time BIGINT NOT NULL,
	to_time BIGINT NOT NULL,
	seen BIGINT NOT NULL,
	dropped BIGINT, -- since when no VO has the project any more
	PRIMARY KEY (cloud, project, kind, from_time)
);

-- projects that are held: too much of one was gone at once; times in milliseconds
CREATE TABLE project_state (
	cloud TEXT NOT NULL,
	project TEXT NOT NULL,
	part TEXT NOT NULL,
	name TEXT NOT NULL,
	held BIGINT NOT NULL, -- since when
	checked BIGINT NOT NULL, -- when the last collection began that found it so
	reason TEXT NOT NULL,
	released BIGINT, -- what was last seen before then is gone, an operator says
	PRIMARY KEY (cloud, project, part)
);

CREATE TABLE vm (
	site TEXT NOT NULL,
	cloud TEXT NOT NULL,
	vm TEXT NOT NULL,
	project TEXT NOT NULL,
	vo TEXT NOT NULL,
	started_at BIGINT NOT NULL,
	wall BIGINT NOT NULL,
	suspended BIGINT NOT NULL,
	cpu BIGINT NOT NULL,
	counted_to BIGINT NOT NULL,
	flavor TEXT NOT NULL,
	vcpus BIGINT NOT NULL,
	memory BIGINT NOT NULL,
	disk BIGINT NOT NULL,
	benchmark_type TEXT NOT NULL,
	benchmark DOUBLE PRECISION,
	state TEXT NOT NULL,
	ended_at BIGINT,
	measured BIGINT NOT NULL,
	seen BIGINT NOT NULL,
	shown BIGINT NOT NULL, -- like seen, but also when the cloud showed no more than that it is there
	user_id TEXT NOT NULL,
	user_name TEXT NOT NULL,
	image TEXT NOT NULL,
	name TEXT NOT NULL,
	floating BIGINT NOT NULL,
	ends_at BIGINT, -- an end that was seen and is not counted to yet
	missing BIGINT, -- milliseconds: since when it cannot be found
	vanished BIGINT,
	parked TEXT NOT NULL,
	vm_key TEXT NOT NULL,
	PRIMARY KEY (cloud, vm)
);
CREATE INDEX vm_open ON vm (cloud, project, ended_at, shown);
CREATE INDEX vm_vanished ON vm (cloud, project, vanished) WHERE vanished IS NOT NULL;
CREATE INDEX vm_same ON vm (vm_key);

CREATE TABLE flavor (
	cloud TEXT NOT NULL,
	flavor TEXT NOT NULL,
	name TEXT NOT NULL,
	vcpus BIGINT NOT NULL,
	memory BIGINT NOT NULL,
	disk BIGINT NOT NULL,
	extra TEXT NOT NULL DEFAULT '{}',
	seen BIGINT NOT NULL,
	PRIMARY KEY (cloud, flavor)
);

CREATE TABLE ledger (
	site TEXT NOT NULL,
	cloud TEXT NOT NULL,
	kind TEXT NOT NULL,
	subject TEXT NOT NULL,
	period TEXT NOT NULL,
	measured BIGINT NOT NULL,
	seen BIGINT NOT NULL,
	rev BIGINT NOT NULL,
	digest TEXT NOT NULL,
	body TEXT NOT NULL,
	vo TEXT NOT NULL,
	project TEXT NOT NULL,
	parked TEXT,
	labels TEXT NOT NULL, -- what the server groups its sums by, as a digest
	wall BIGINT NOT NULL, -- the record's WallDuration
	stale TEXT, -- what it had been told under other labels, until it is told of these
	flavor TEXT NOT NULL DEFAULT '', -- and state, what the record's meter had and its text does not say: for the archive of sent messages
	state TEXT NOT NULL DEFAULT '',
	PRIMARY KEY (site, cloud, kind, subject, period)
);
CREATE INDEX ledger_by_period ON ledger (site, kind, period, cloud, subject);
CREATE INDEX ledger_parked ON ledger (site, kind, period) WHERE parked IS NOT NULL;

CREATE TABLE message (
	id TEXT PRIMARY KEY,
	destination TEXT NOT NULL,
	site TEXT NOT NULL,
	kind TEXT NOT NULL,
	name TEXT NOT NULL,
	state TEXT NOT NULL,
	attempts BIGINT NOT NULL,
	last_attempt BIGINT,
	next BIGINT NOT NULL,
	hold_until BIGINT NOT NULL,
	reason TEXT NOT NULL,
	body TEXT NOT NULL,
	records BIGINT NOT NULL,
	period TEXT NOT NULL,
	created BIGINT NOT NULL,
	settled BIGINT,
	remote_id TEXT,
	UNIQUE (destination, name)
);
CREATE INDEX message_open ON message (destination, site, state);

CREATE TABLE message_record (
	message TEXT NOT NULL REFERENCES message (id),
	site TEXT NOT NULL,
	cloud TEXT NOT NULL,
	kind TEXT NOT NULL,
	subject TEXT NOT NULL,
	period TEXT NOT NULL,
	rev BIGINT NOT NULL,
	wall BIGINT NOT NULL, -- of the revision that goes
	PRIMARY KEY (message, site, cloud, kind, subject, period)
);
CREATE INDEX message_record_row ON message_record (site, kind, subject, period); -- the server knows no clouds

CREATE TABLE delivery (
	destination TEXT NOT NULL,
	site TEXT NOT NULL,
	cloud TEXT NOT NULL,
	kind TEXT NOT NULL,
	subject TEXT NOT NULL,
	period TEXT NOT NULL,
	rev BIGINT NOT NULL,
	wall BIGINT NOT NULL, -- of the revision that is there
	message TEXT NOT NULL,
	hold_until BIGINT NOT NULL,
	PRIMARY KEY (site, cloud, kind, subject, period, destination) -- what is known of a row is asked for, too
);

-- how far a destination is; times in seconds
CREATE TABLE sending (
	destination TEXT NOT NULL,
	site TEXT NOT NULL,
	first BIGINT NOT NULL, -- when the first run began
	ran BIGINT NOT NULL, -- when the last one did
	clear BIGINT, -- when the last run began after which nothing waited any more
	through BIGINT, -- up to which use had been collected then
	waiting BIGINT NOT NULL, -- records that were in no message when they were counted last
	counted BIGINT NOT NULL, -- when that was
	settled BIGINT, -- when it last took something
	reason TEXT NOT NULL, -- why the last run stopped
	PRIMARY KEY (destination, site)
);

-- times in milliseconds: of the schedules' clock where it says so, else of the database's
CREATE TABLE task (
	name TEXT PRIMARY KEY,
	site TEXT NOT NULL DEFAULT '',
	schedule TEXT NOT NULL,
	next_due BIGINT NOT NULL, -- schedules' clock
	paused_until BIGINT NOT NULL DEFAULT 0, -- schedules' clock
	run_now_at BIGINT,
	cancel_fence BIGINT,
	owner TEXT,
	fence BIGINT NOT NULL DEFAULT 0,
	lease_until BIGINT,
	started_at BIGINT,
	removed BIGINT, -- when the configuration lost it, schedules' clock
	failures BIGINT NOT NULL DEFAULT 0, -- runs of the schedule that failed since the last good one
	last_fence BIGINT, -- the last run that ended, and the last good one: kept when history is pruned
	last_outcome TEXT,
	last_ended BIGINT, -- schedules' clock
	success_fence BIGINT,
	last_success BIGINT -- schedules' clock
);

CREATE TABLE run (
	task TEXT NOT NULL,
	fence BIGINT NOT NULL,
	slot BIGINT, -- schedules' clock, as started and ended
	cause TEXT NOT NULL,
	node TEXT NOT NULL,
	started BIGINT NOT NULL,
	ended BIGINT,
	outcome TEXT,
	report TEXT,
	progress TEXT, -- while it goes on
	stuck BIGINT, -- since when it should have ended and has not
	PRIMARY KEY (task, fence)
);

CREATE INDEX run_ended ON run (ended);

-- what stays of the ledger's rows when their time is over: use of a month, as the server counts it
CREATE TABLE monthly_sum (
	site TEXT NOT NULL,
	cloud TEXT NOT NULL,
	kind TEXT NOT NULL,
	period TEXT NOT NULL,
	vo TEXT NOT NULL,
	records BIGINT NOT NULL,
	wall BIGINT NOT NULL,
	cpu BIGINT NOT NULL,
	PRIMARY KEY (site, cloud, kind, period, vo)
);

CREATE TABLE audit (
	id TEXT PRIMARY KEY,
	at BIGINT NOT NULL,
	who TEXT NOT NULL,
	action TEXT NOT NULL,
	object TEXT NOT NULL,
	origin TEXT NOT NULL
);
CREATE INDEX audit_at ON audit (at);

-- how each thing is that is watched, once that has held; times in milliseconds
CREATE TABLE health (
	thing TEXT PRIMARY KEY, -- part, site, cloud, name and object, as JSON
	state TEXT NOT NULL,
	since BIGINT NOT NULL,
	reason TEXT NOT NULL, -- when it became so
	remedy TEXT NOT NULL,
	seen TEXT NOT NULL, -- the state of the last assessments, which may not have held yet
	seen_since BIGINT NOT NULL,
	seen_times BIGINT NOT NULL
);

-- which process keeps and tells of health, and until when it has that by itself; one row
CREATE TABLE health_watch (
	one BIGINT PRIMARY KEY,
	owner TEXT NOT NULL,
	until BIGINT NOT NULL
);

-- what each channel was told last of a thing, when that was not ok
CREATE TABLE health_told (
	channel TEXT NOT NULL,
	thing TEXT NOT NULL,
	state TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (channel, thing)
);
