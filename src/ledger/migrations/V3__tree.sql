-- The Merkle tree over audit_event: tiles of up to 256 hashes (C2SP tlog-tiles), each kept in its
-- widest form so far. Level 0 holds leaf hashes, which stay when bodies are pruned.
CREATE TABLE log_tile (
    level  INTEGER NOT NULL,
    place  INTEGER NOT NULL,
    hashes BLOB NOT NULL CHECK (length(hashes) % 32 = 0),
    PRIMARY KEY (level, place)
) STRICT, WITHOUT ROWID;

-- How many events the tree has, how many of the first have lost their bodies, how many of those are
-- still to be removed, and who builds it at the moment.
CREATE TABLE log_head (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    integrated     INTEGER NOT NULL,
    pruned         INTEGER NOT NULL,
    swept          INTEGER NOT NULL,
    lease_holder   TEXT,
    lease_until_ms INTEGER NOT NULL
) STRICT;
INSERT INTO log_head VALUES (1, 0, 0, 0, NULL, 0);

-- The names the log has had. A store that was restored goes on under a new one, and the old one is
-- never signed again.
CREATE TABLE log_origin (
    number INTEGER PRIMARY KEY,
    name   TEXT NOT NULL UNIQUE,
    at_ms  INTEGER NOT NULL
) STRICT;

-- Every root that was signed.
CREATE TABLE log_checkpoint (
    origin INTEGER NOT NULL REFERENCES log_origin (number),
    size   INTEGER NOT NULL,
    note   TEXT NOT NULL,
    at_ms  INTEGER NOT NULL,
    PRIMARY KEY (origin, size)
) STRICT, WITHOUT ROWID;
