-- +goose Up
-- what a share was last known to be offered; times in milliseconds
CREATE TABLE share_state (
	site TEXT NOT NULL,
	cloud TEXT NOT NULL,
	project TEXT NOT NULL,
	vo TEXT NOT NULL,
	asked BIGINT NOT NULL, -- when it was last asked for
	body TEXT NOT NULL,    -- its offer, JSON
	PRIMARY KEY (site, cloud, project, vo)
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

-- documents that a sink has, or had; times in milliseconds
CREATE TABLE publication (
	site TEXT NOT NULL,
	endpoint TEXT NOT NULL, -- Keystone's URL
	sink TEXT NOT NULL,
	name TEXT NOT NULL,     -- of the document there
	digest TEXT NOT NULL,   -- of what it says, but for its times
	delivered BIGINT NOT NULL, -- when it was last delivered
	changed BIGINT NOT NULL,   -- when it last said something else
	PRIMARY KEY (site, endpoint, sink)
);

-- documents, for those who ask fedsite itself, and to compare with
CREATE TABLE document (
	site TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	digest TEXT NOT NULL,
	made BIGINT NOT NULL,
	body TEXT NOT NULL, -- JSON
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
