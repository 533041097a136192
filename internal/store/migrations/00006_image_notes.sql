-- +goose Up

-- who signed the list that was last accepted, in slash form, and the VO that it names; '' = nobody, none
ALTER TABLE image_source ADD COLUMN signer TEXT NOT NULL DEFAULT '';
ALTER TABLE image_source ADD COLUMN vo TEXT NOT NULL DEFAULT '';

-- files on their way to the disk; times in milliseconds. What stood here of files that failed is in image_attempt now, and
-- is tried at once.
DROP TABLE image_transfer;
CREATE TABLE image_transfer (
	site TEXT NOT NULL,
	digest TEXT NOT NULL,
	url TEXT NOT NULL,  -- what is staged came from there
	etag TEXT NOT NULL,
	done BIGINT NOT NULL, -- bytes of the staged file that count
	hash TEXT NOT NULL, -- state of the checksum over them, base64
	at BIGINT NOT NULL,
	PRIMARY KEY (site, digest)
);

-- files that could not be had from a place, or brought to one; times in milliseconds
CREATE TABLE image_attempt (
	site TEXT NOT NULL,
	digest TEXT NOT NULL,
	place TEXT NOT NULL,     -- URL of the file; or cloud and project that it could not be brought to
	failed BIGINT NOT NULL,  -- how often in a row
	next BIGINT NOT NULL,    -- a task does not try before
	lasting BIGINT NOT NULL, -- 1 = it will not pass by itself
	reason TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (site, digest, place)
);

-- what this program brought to Glance or took over there, which marks cannot be trusted to say: members of the owning
-- project may change them
CREATE TABLE image_note (
	site TEXT NOT NULL,
	cloud TEXT NOT NULL,
	project TEXT NOT NULL,
	image TEXT NOT NULL,  -- Glance's id; '' = the project's images were looked at once
	digest TEXT NOT NULL, -- of the source's file
	sum TEXT NOT NULL,    -- of the content, as Glance has it
	PRIMARY KEY (site, cloud, project, image)
);

-- where VMs were seen last that run from a retired image: that is asked first
CREATE TABLE image_use (
	site TEXT NOT NULL,
	cloud TEXT NOT NULL, -- the image's
	image TEXT NOT NULL,
	used_cloud TEXT NOT NULL,
	used_project TEXT NOT NULL,
	PRIMARY KEY (site, cloud, image)
);
