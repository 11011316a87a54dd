-- A log beside the tables of its program: entries, the hashes of all complete subtrees, and the
-- last head that was signed. Rows are final.

CREATE TABLE log (
    position  INTEGER PRIMARY KEY NOT NULL CHECK (position >= 0),
    entry     BLOB NOT NULL CHECK (length(entry) <= 65535)      -- canonical JSON
) STRICT;
CREATE TRIGGER log_rows_stay BEFORE DELETE ON log
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER log_rows_are_final BEFORE UPDATE ON log
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER log_rows_follow BEFORE INSERT ON log
WHEN NEW.position <> (SELECT ifnull(max(position), -1) + 1 FROM log)
BEGIN SELECT RAISE(ABORT, 'the log has no gaps'); END;

-- RFC 6962 hash of the complete subtree over the leaves from number * 2^level on.
CREATE TABLE log_hashes (
    level   INTEGER NOT NULL CHECK (level BETWEEN 0 AND 62),
    number  INTEGER NOT NULL CHECK (number >= 0),
    hash    BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, number)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER log_hashes_stay BEFORE DELETE ON log_hashes
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER log_hashes_are_final BEFORE UPDATE ON log_hashes
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER log_hashes_are_new BEFORE INSERT ON log_hashes
WHEN EXISTS (SELECT 1 FROM log_hashes WHERE level = NEW.level AND number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

-- What the log's key signed last (C2SP tlog-checkpoint), before anybody saw it.
CREATE TABLE log_checkpoint (
    only  INTEGER PRIMARY KEY NOT NULL CHECK (only = 1),
    size  INTEGER NOT NULL CHECK (size >= 0),
    note  TEXT NOT NULL
) STRICT;
CREATE TRIGGER log_checkpoint_stays BEFORE DELETE ON log_checkpoint
BEGIN SELECT RAISE(ABORT, 'the log never forgets what it signed'); END;
CREATE TRIGGER log_checkpoint_grows BEFORE UPDATE ON log_checkpoint WHEN NEW.size <= OLD.size
BEGIN SELECT RAISE(ABORT, 'the log never goes back'); END;
CREATE TRIGGER log_checkpoint_is_one BEFORE INSERT ON log_checkpoint
WHEN EXISTS (SELECT 1 FROM log_checkpoint)
BEGIN SELECT RAISE(ABORT, 'the log never forgets what it signed'); END;
