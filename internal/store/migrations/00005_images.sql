-- +goose Up

-- what a source of images said last; times in milliseconds
CREATE TABLE image_source (
	site TEXT NOT NULL,
	source TEXT NOT NULL,     -- its name in the configuration
	place TEXT NOT NULL,      -- where it was read: another one begins anew
	list TEXT NOT NULL,       -- id of the list that was last accepted
	version TEXT NOT NULL,    -- hv:version of it
	created BIGINT NOT NULL,  -- dc:date:created of it; 0 = not said
	asked BIGINT NOT NULL,    -- when it was last asked
	changed BIGINT NOT NULL,  -- when it last said something else
	etag TEXT NOT NULL,       -- for conditional requests
	modified TEXT NOT NULL,
	verdict TEXT NOT NULL,    -- '' = believed; else why not
	body TEXT NOT NULL,       -- what it said: base64 of a signed list, JSON of a registry's listing
	missing TEXT NOT NULL,    -- JSON: ids that complete listings lack, since when
	PRIMARY KEY (site, source)
);

-- files on their way, and those that could not be brought; times in milliseconds
CREATE TABLE image_transfer (
	site TEXT NOT NULL,
	digest TEXT NOT NULL,
	url TEXT NOT NULL,        -- what is staged came from there
	etag TEXT NOT NULL,
	done BIGINT NOT NULL,     -- bytes of the staged file that count
	hash TEXT NOT NULL,       -- state of the checksum over them, base64
	broken BIGINT NOT NULL,   -- how often a stream broke off in a row
	failed BIGINT NOT NULL,   -- how often all of it failed in a row
	next BIGINT NOT NULL,     -- a task does not try before; 0 = at once
	lasting BIGINT NOT NULL,  -- 1 = it will not pass by itself
	reason TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (site, digest)
);

-- how the last look at a site's images went, as health, pages and metrics show it; milliseconds
CREATE TABLE image_status (
	site TEXT PRIMARY KEY,
	taken BIGINT NOT NULL,
	body TEXT NOT NULL -- JSON
);
