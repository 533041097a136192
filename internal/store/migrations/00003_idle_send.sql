-- +goose Up
-- how often the rows of a cloud's month were written; no row = never since this table is there
CREATE TABLE ledger_month (
	site TEXT NOT NULL,
	cloud TEXT NOT NULL,
	kind TEXT NOT NULL,
	period TEXT NOT NULL,
	written BIGINT NOT NULL,
	PRIMARY KEY (site, cloud, kind, period)
);

-- months of which a destination had all that it is to get when they had been written so often
CREATE TABLE delivery_month (
	destination TEXT NOT NULL,
	site TEXT NOT NULL,
	cloud TEXT NOT NULL,
	kind TEXT NOT NULL,
	period TEXT NOT NULL,
	written BIGINT NOT NULL,
	kept TEXT NOT NULL, -- the VOs that it was not to get, because they only observe
	seen BIGINT NOT NULL, -- when that was found by its rows, in seconds
	PRIMARY KEY (destination, site, cloud, kind, period)
);

-- deliveries after which a newer revision is held back, or was
CREATE INDEX delivery_held ON delivery (destination, site, hold_until) WHERE hold_until > 0;
