-- +goose Up
-- what a project was last known to be offered, for all its shares; times in milliseconds
CREATE TABLE share_state (
	site TEXT NOT NULL,
	cloud TEXT NOT NULL,
	project TEXT NOT NULL,
	name TEXT NOT NULL,    -- the project's
	said TEXT NOT NULL,    -- VOs that the project names itself, separated by commas
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

-- last good answers of GOCDB
CREATE TABLE gocdb_answer (
	site TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	asked BIGINT NOT NULL,
	body TEXT NOT NULL, -- JSON: the registration, and the downtimes
	PRIMARY KEY (site, endpoint)
);
