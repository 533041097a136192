-- +goose Up
-- what a project was last known to be offered, for all its shares; times in milliseconds
CREATE TABLE share_state (
	site TEXT NOT NULL,
	cloud TEXT NOT NULL,
	project TEXT NOT NULL,
	name TEXT NOT NULL,    -- the project's
	said TEXT NOT NULL,    -- VOs that the project names itself, separated by commas
	own TEXT NOT NULL,     -- VOs whose own credential is of it, likewise
	asked BIGINT NOT NULL, -- when it was last asked for
	body TEXT NOT NULL,    -- its offer, JSON
	PRIMARY KEY (site, cloud, project)
);

-- what is known of a cloud beside its shares; of an endpoint where cloud is ''
CREATE TABLE endpoint_state (
	site TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	cloud TEXT NOT NULL,
	asked BIGINT NOT NULL,
	body TEXT NOT NULL,
	PRIMARY KEY (site, endpoint, cloud)
);

-- documents that a sink has, or is to lose; times in milliseconds
CREATE TABLE publication (
	site TEXT NOT NULL,
	endpoint TEXT NOT NULL,    -- Keystone's URL
	sink TEXT NOT NULL,
	place TEXT NOT NULL,       -- where the sink published to
	name TEXT NOT NULL,        -- of the document there
	site_name TEXT NOT NULL,   -- in GOCDB at that time
	format TEXT NOT NULL,
	digest TEXT NOT NULL,      -- of what it says, but for its times; '' = it was about to be delivered for the first time
	sum TEXT NOT NULL,         -- SHA-256 of its bytes
	delivered BIGINT NOT NULL, -- when it was last delivered
	changed BIGINT NOT NULL,   -- when it last said something else
	expires BIGINT NOT NULL,   -- until when it counts; 0 = for ever
	replaced BIGINT NOT NULL,  -- since when it is not the endpoint's any more and may be taken away; 0 = it is
	PRIMARY KEY (site, endpoint, sink, place, name)
);

-- what was published, for those who ask fedsite itself, and to compare with: as long as a publication has its digest
CREATE TABLE document (
	site TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	digest TEXT NOT NULL,
	made BIGINT NOT NULL, -- when it was delivered
	body TEXT NOT NULL,   -- JSON
	PRIMARY KEY (site, endpoint, digest)
);

-- what GOCDB said last of an endpoint; times in milliseconds
CREATE TABLE gocdb_answer (
	site TEXT NOT NULL,
	endpoint TEXT NOT NULL, -- Keystone's URL
	about TEXT NOT NULL,    -- registration, downtimes
	asked BIGINT NOT NULL,  -- when it was last asked
	body TEXT NOT NULL,     -- JSON: the answer, when it came, and why there is none newer
	PRIMARY KEY (site, endpoint, about)
);

-- how the last look at a site's clouds went, as health, pages and metrics show it; milliseconds
CREATE TABLE discovery_status (
	site TEXT PRIMARY KEY,
	taken BIGINT NOT NULL,
	body TEXT NOT NULL -- JSON
);
