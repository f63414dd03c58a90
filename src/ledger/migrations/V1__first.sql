-- Instance id, operator omni and the like: written once, when the authority is founded.
CREATE TABLE setting (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The policy in force, in one row that admission starts from. `erased` counts erasures and `cut`
-- those after which the write-ahead log was emptied, so that a crash between the two is made good.
CREATE TABLE head (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    policy_version INTEGER NOT NULL,
    erased         INTEGER NOT NULL,
    cut            INTEGER NOT NULL
) STRICT;
INSERT INTO head VALUES (1, 0, 0, 0);

CREATE TABLE policy_version (
    version INTEGER PRIMARY KEY,
    hash    BLOB NOT NULL CHECK (length(hash) = 32),
    source  TEXT NOT NULL,
    at_ms   INTEGER NOT NULL
) STRICT;

CREATE TABLE actor (
    omni            BLOB NOT NULL PRIMARY KEY CHECK (length(omni) = 32),
    alias           TEXT NOT NULL UNIQUE,
    display_name    TEXT NOT NULL,
    parent          BLOB REFERENCES actor (omni),
    derivation_path TEXT,
    generation      INTEGER NOT NULL,
    wallet          TEXT,
    zone_name       TEXT NOT NULL,
    zone_from       INTEGER NOT NULL,
    zone_previous   TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX actor_parent ON actor (parent);

CREATE TABLE vendor (
    name    TEXT NOT NULL PRIMARY KEY,
    rail    TEXT NOT NULL,
    profile TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE token (
    id           TEXT NOT NULL PRIMARY KEY,
    hash         BLOB NOT NULL CHECK (length(hash) = 32),
    role         TEXT NOT NULL,
    vendor       TEXT REFERENCES vendor (name),
    actor        BLOB REFERENCES actor (omni),
    namespaces   INTEGER NOT NULL,
    created_ms   INTEGER NOT NULL,
    expires_ms   INTEGER NOT NULL,
    revoked_ms   INTEGER,
    last_used_ms INTEGER,
    replaced_by  TEXT
) STRICT, WITHOUT ROWID;

-- A row is never removed, so that its revision keeps counting.
CREATE TABLE binding (
    actor           BLOB NOT NULL REFERENCES actor (omni),
    vendor          TEXT NOT NULL REFERENCES vendor (name),
    read_set        INTEGER NOT NULL,
    write_set       INTEGER NOT NULL,
    scopes          TEXT NOT NULL,
    exclusions      TEXT NOT NULL,
    daily_cap_minor INTEGER,
    currency        TEXT NOT NULL,
    revision        INTEGER NOT NULL,
    PRIMARY KEY (actor, vendor)
) STRICT, WITHOUT ROWID;

-- One row per slot. Erasure sets bytes to NULL and keeps the epoch, so that no epoch comes twice.
CREATE TABLE salt (
    actor BLOB NOT NULL REFERENCES actor (omni),
    slot  TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    bytes BLOB CHECK (length(bytes) = 32),
    PRIMARY KEY (actor, slot)
) STRICT, WITHOUT ROWID;

-- last_version stays over an erasure: a version number never comes twice.
CREATE TABLE memory_head (
    actor        BLOB NOT NULL REFERENCES actor (omni),
    namespace    TEXT NOT NULL,
    last_version INTEGER NOT NULL,
    current      INTEGER,
    PRIMARY KEY (actor, namespace)
) STRICT, WITHOUT ROWID;

CREATE TABLE memory_version (
    actor         BLOB NOT NULL,
    namespace     TEXT NOT NULL,
    version       INTEGER NOT NULL,
    event_id      TEXT NOT NULL,
    object_key    TEXT NOT NULL,
    length        INTEGER NOT NULL,
    envelope_size INTEGER NOT NULL,
    tag           BLOB NOT NULL CHECK (length(tag) = 32),
    piece_tag     BLOB NOT NULL CHECK (length(piece_tag) = 32),
    epoch         INTEGER NOT NULL,
    token_id      TEXT,
    written_ms    INTEGER NOT NULL,
    appended      INTEGER NOT NULL,
    PRIMARY KEY (actor, namespace, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX memory_version_piece ON memory_version (actor, namespace, token_id, version)
    WHERE appended = 1;

-- What agents stated for the record, sealed under the slot `statements`.
CREATE TABLE statement (
    actor    BLOB NOT NULL REFERENCES actor (omni),
    event_id TEXT NOT NULL,
    sealed   BLOB NOT NULL,
    PRIMARY KEY (actor, event_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE reservation (
    decision_id  TEXT NOT NULL PRIMARY KEY,
    actor        BLOB NOT NULL REFERENCES actor (omni),
    vendor       TEXT NOT NULL,
    scope        TEXT NOT NULL,
    day          TEXT NOT NULL,
    currency     TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    reference    TEXT,
    state        TEXT NOT NULL CHECK (state IN ('reserved', 'redeemed', 'released'))
) STRICT, WITHOUT ROWID;
CREATE INDEX reservation_day ON reservation (actor, day, scope, currency);
-- A released reservation gives its reference back.
CREATE UNIQUE INDEX reservation_reference ON reservation (actor, vendor, scope, day, reference)
    WHERE reference IS NOT NULL AND state <> 'released';

CREATE TABLE cap (
    cap_id     TEXT NOT NULL PRIMARY KEY,
    actor      BLOB NOT NULL REFERENCES actor (omni),
    vendor     TEXT NOT NULL,
    token_id   TEXT NOT NULL,
    op         TEXT NOT NULL,
    exp        INTEGER NOT NULL,
    revoked_ms INTEGER,
    rests_on   TEXT NOT NULL,
    spent      TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX cap_token ON cap (token_id, exp);
CREATE INDEX cap_actor ON cap (actor, exp);
CREATE INDEX cap_revoked ON cap (exp) WHERE revoked_ms IS NOT NULL;

CREATE TABLE key_ring (
    id         INTEGER PRIMARY KEY,
    purpose    TEXT NOT NULL,
    kid        TEXT NOT NULL,
    sealed     BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    UNIQUE (purpose, kid)
) STRICT;

-- The next place in the log. Every writer, in any process, takes its places here under the write
-- lock it commits with: no gaps, commit order.
CREATE TABLE audit_head (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    next_seq INTEGER NOT NULL
) STRICT;
INSERT INTO audit_head VALUES (1, 0);

-- The log. `envelope` is the row, byte for byte; the other columns only help to find it. The
-- names `audit_event` and `envelope` are public. Each index here costs on every decision.
CREATE TABLE audit_event (
    seq        INTEGER PRIMARY KEY,
    event_id   TEXT NOT NULL UNIQUE,
    ts_ms      INTEGER NOT NULL,
    actor_omni BLOB CHECK (length(actor_omni) = 32),
    vendor     TEXT,
    rail       TEXT,
    tool       TEXT NOT NULL,
    verdict    TEXT NOT NULL,
    namespace  TEXT,
    envelope   BLOB NOT NULL
) STRICT;
CREATE INDEX audit_event_actor ON audit_event (actor_omni, seq);
