-- Whether a binding stands although it grants nothing: its device was registered by the operator,
-- and nothing is granted yet.
ALTER TABLE binding ADD COLUMN standing INTEGER NOT NULL DEFAULT 0;

-- The device a token was signed for; such a token is a JWT, and its hash is that of its whole text.
ALTER TABLE token ADD COLUMN device TEXT;

-- Whether a token is for xiaozhi's MCP endpoint: what takes its place must be of the same kind.
ALTER TABLE token ADD COLUMN endpoint INTEGER NOT NULL DEFAULT 0;

-- A parent's consent, waiting for a device that brings its code. The code itself is nowhere.
CREATE TABLE pairing (
    code_hash       BLOB NOT NULL PRIMARY KEY CHECK (length(code_hash) = 32),
    id              TEXT NOT NULL UNIQUE,
    parent          BLOB NOT NULL REFERENCES actor (omni),
    vendor          TEXT NOT NULL REFERENCES vendor (name),
    read_set        INTEGER NOT NULL,
    write_set       INTEGER NOT NULL,
    scopes          TEXT NOT NULL,
    daily_cap_minor INTEGER,
    currency        TEXT NOT NULL,
    jwt_ttl_ms      INTEGER NOT NULL,
    expires_ms      INTEGER NOT NULL,
    used_ms         INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX pairing_end ON pairing (expires_ms);

-- A row is never removed, so that its generation keeps counting.
CREATE TABLE device (
    vendor     TEXT NOT NULL REFERENCES vendor (name),
    device_id  TEXT NOT NULL,
    actor      BLOB NOT NULL REFERENCES actor (omni),
    token_id   TEXT NOT NULL REFERENCES token (id),
    generation INTEGER NOT NULL,
    paired_ms  INTEGER NOT NULL,
    removed_ms INTEGER,
    PRIMARY KEY (vendor, device_id)
) STRICT, WITHOUT ROWID;
