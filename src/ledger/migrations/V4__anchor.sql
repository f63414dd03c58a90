-- What the anchor has sent and is not settled, and what stopped it last: its own JSON.
CREATE TABLE log_anchor_record (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    record  TEXT,
    trouble TEXT
) STRICT;
INSERT INTO log_anchor_record VALUES (1, NULL, NULL);

-- Every root that is on a chain, deep enough. `note` is the signed anchor, which says all of it; the
-- other columns only help to find it. The contract is one of 20 bytes, the hash that of its transaction.
CREATE TABLE log_anchor (
    chain_id INTEGER NOT NULL,
    hash     BLOB NOT NULL CHECK (length(hash) = 32),
    contract BLOB NOT NULL CHECK (length(contract) = 20),
    origin   INTEGER NOT NULL REFERENCES log_origin (number),
    size     INTEGER NOT NULL,
    note     TEXT NOT NULL,
    at_ms    INTEGER NOT NULL,
    PRIMARY KEY (chain_id, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX log_anchor_size ON log_anchor (origin, size);
