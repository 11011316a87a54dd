-- Times are Unix seconds, ids and hashes raw bytes.

CREATE TABLE devices (
    device          BLOB PRIMARY KEY NOT NULL CHECK (length(device) = 32),
    name            TEXT UNIQUE,
    epoch           INTEGER NOT NULL CHECK (epoch > 0),
    enrolled_at     INTEGER NOT NULL,
    record          TEXT NOT NULL,            -- JSON: what the last judgement found
    log_index       INTEGER NOT NULL,         -- row of the last enrolment in the log
    revoked_at      INTEGER,
    revoked_reason  TEXT
) STRICT;

CREATE TABLE certificates (
    serial      BLOB PRIMARY KEY NOT NULL,
    role        TEXT NOT NULL CHECK (role IN ('device', 'aggregator', 'authority')),
    subject     TEXT NOT NULL,                -- device id in hex, or the server's name
    epoch       INTEGER NOT NULL,
    not_before  INTEGER NOT NULL,
    not_after   INTEGER NOT NULL,
    der         BLOB NOT NULL,
    sha256      BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32),     -- of der
    log_index   INTEGER NOT NULL UNIQUE,      -- its entry in the log
    logged_at   INTEGER NOT NULL,
    revoked_at  INTEGER
) STRICT;
CREATE INDEX certificates_by_subject ON certificates (role, subject, not_after);

-- When the holder of a certificate first showed it here: then it is in use.
CREATE TABLE certificate_uses (
    serial    BLOB PRIMARY KEY NOT NULL REFERENCES certificates (serial),
    first_at  INTEGER NOT NULL
) STRICT;

-- Certificates over keys that a renewal replaced, and when they end; rounds may still need them.
CREATE TABLE certificate_ends (
    serial   BLOB PRIMARY KEY NOT NULL REFERENCES certificates (serial),
    ends_at  INTEGER NOT NULL
) STRICT;

-- Storage keys that a device's TPM had before it was cleared: it can never show one again.
CREATE TABLE left_storage_keys (
    device    BLOB NOT NULL REFERENCES devices (device),
    srk_name  TEXT NOT NULL,
    PRIMARY KEY (device, srk_name)
) STRICT;

-- What each device's privacy ledger came to at its last renewal; only the device can read or check it.
CREATE TABLE ledger_heads (
    device  BLOB PRIMARY KEY NOT NULL REFERENCES devices (device),
    head    BLOB NOT NULL
) STRICT;

-- Revocations that the CA behind the authority has heard of.
CREATE TABLE withdrawn (
    serial  BLOB PRIMARY KEY NOT NULL REFERENCES certificates (serial)
) STRICT;

-- Every X25519 identity ever bound to a device: a key belongs to one device, for good.
CREATE TABLE x25519_keys (
    public_key  BLOB PRIMARY KEY NOT NULL CHECK (length(public_key) = 32),
    device      BLOB NOT NULL REFERENCES devices (device)
) STRICT;

CREATE TABLE tokens (
    token_sha256  BLOB PRIMARY KEY NOT NULL CHECK (length(token_sha256) = 32),
    role          TEXT NOT NULL CHECK (role IN ('device', 'aggregator')),
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    uses_left     INTEGER NOT NULL CHECK (uses_left >= 0),
    ek_sha256     BLOB CHECK (length(ek_sha256) = 32),
    name          TEXT
) STRICT;

-- One row: the number that every revocation raises and that verifiers never let go back.
CREATE TABLE status_number (
    only    INTEGER PRIMARY KEY CHECK (only = 1),
    number  INTEGER NOT NULL
) STRICT;
INSERT INTO status_number VALUES (1, 1);

CREATE TABLE evidence (
    device     BLOB NOT NULL REFERENCES devices (device),
    log_index  INTEGER NOT NULL,              -- the log row that this evidence led to
    occasion   TEXT NOT NULL CHECK (occasion IN ('enrolment', 'renewal')),
    file       TEXT NOT NULL,
    bytes      BLOB NOT NULL,
    PRIMARY KEY (device, log_index, file)
) STRICT;

-- Every policy that was ever in force; the last one is.
CREATE TABLE policies (
    number      INTEGER PRIMARY KEY NOT NULL,
    sha256      BLOB NOT NULL CHECK (length(sha256) = 32),
    applied_at  INTEGER NOT NULL,
    actor       INTEGER,                      -- Unix user id
    source      TEXT NOT NULL,                -- JSON: the file as written, the certificates it names
    log_index   INTEGER NOT NULL              -- row of the change in the log
) STRICT;

-- For each device that the policy last refused for its boot state alone, that state.
CREATE TABLE pending_baselines (
    device    BLOB PRIMARY KEY NOT NULL CHECK (length(device) = 32),
    pcrs      TEXT NOT NULL,                  -- JSON
    since     INTEGER NOT NULL,               -- of this state
    last_at   INTEGER NOT NULL,
    refusals  INTEGER NOT NULL CHECK (refusals > 0)
) STRICT;
