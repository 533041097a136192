-- +goose Up
-- sums that the accounting server goes on counting under labels that a VM's month has no more: an operator must ask it to
-- delete them. Noted in the transaction that settles the message with the new labels; times in seconds. No column names a
-- person.
CREATE TABLE clean_up (
	message TEXT NOT NULL, -- the one with the new labels; its own row may be gone
	site TEXT NOT NULL,
	cloud TEXT NOT NULL,
	kind TEXT NOT NULL,
	subject TEXT NOT NULL,
	period TEXT NOT NULL,
	nr BIGINT NOT NULL, -- a month may have had several labels
	vo TEXT NOT NULL, -- among the former labels
	wall BIGINT NOT NULL, -- of the month alone, under them
	noted BIGINT NOT NULL,
	task TEXT NOT NULL, -- with fence: the run that has it in its report, if it lives to store one; '' = none has it yet, or one without history
	fence BIGINT NOT NULL,
	told BIGINT, -- when it was found in a stored report
	PRIMARY KEY (message, cloud, subject, period, nr)
);
CREATE INDEX clean_up_untold ON clean_up (site, noted) WHERE told IS NULL;
CREATE INDEX clean_up_noted ON clean_up (noted, site);
