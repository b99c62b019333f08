"""The schema of a ledger, by the steps that it has grown in."""

# Script n brings a ledger from version n to n + 1. Never change one: add the next.
MIGRATIONS = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE settings (id TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
    -- Inputs as last read; folders are relative to the manifest's.
    CREATE TABLE files (
        folder TEXT, name TEXT, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
        digest TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
        PRIMARY KEY (folder, name)
    ) WITHOUT ROWID;
    -- Outputs that are ours; folders are relative to images/. state: pending | done | failed.
    CREATE TABLE jobs (
        folder TEXT, name TEXT, fingerprint TEXT NOT NULL, state TEXT NOT NULL,
        size INTEGER, deaths INTEGER NOT NULL, pair TEXT NOT NULL, settings_id TEXT NOT NULL,
        label TEXT, content TEXT NOT NULL, content_digest TEXT NOT NULL, style TEXT NOT NULL,
        style_digest TEXT NOT NULL, variant INTEGER NOT NULL, strength REAL NOT NULL,
        noise_seed INTEGER, reason TEXT,
        PRIMARY KEY (folder, name)
    ) WITHOUT ROWID;
    CREATE INDEX failed_jobs ON jobs (folder, name) WHERE state = 'failed';
    -- How it went with those that are done, as JSON: apart, so that planning doesn't read them.
    CREATE TABLE facts (
        folder TEXT, name TEXT, json TEXT NOT NULL, PRIMARY KEY (folder, name)
    ) WITHOUT ROWID;
    """,
    """
    -- Both "" where there is none.
    ALTER TABLE jobs ADD COLUMN mask TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN mask_digest TEXT NOT NULL DEFAULT '';
    """,
    """
    -- Jobs by pair and state, kept by triggers: counting a million takes seconds. Without a
    -- conflict clause, as that of the statement which fires a trigger would take its place.
    CREATE TABLE counts (
        pair TEXT, state TEXT, jobs INTEGER NOT NULL, PRIMARY KEY (pair, state)
    ) WITHOUT ROWID;
    INSERT INTO counts SELECT pair, state, count(*) FROM jobs GROUP BY pair, state;
    CREATE TRIGGER job_added AFTER INSERT ON jobs BEGIN
        INSERT INTO counts SELECT new.pair, new.state, 0 WHERE NOT EXISTS
            (SELECT 1 FROM counts WHERE pair = new.pair AND state = new.state);
        UPDATE counts SET jobs = jobs + 1 WHERE pair = new.pair AND state = new.state;
    END;
    CREATE TRIGGER job_removed AFTER DELETE ON jobs BEGIN
        UPDATE counts SET jobs = jobs - 1 WHERE pair = old.pair AND state = old.state;
    END;
    CREATE TRIGGER job_changed AFTER UPDATE OF pair, state ON jobs
    WHEN old.pair <> new.pair OR old.state <> new.state BEGIN
        UPDATE counts SET jobs = jobs - 1 WHERE pair = old.pair AND state = old.state;
        INSERT INTO counts SELECT new.pair, new.state, 0 WHERE NOT EXISTS
            (SELECT 1 FROM counts WHERE pair = new.pair AND state = new.state);
        UPDATE counts SET jobs = jobs + 1 WHERE pair = new.pair AND state = new.state;
    END;
    """,
    """
    -- From here on a job may be 'outdated' as well: an image stands that the plan wants otherwise,
    -- or no longer. What is to replace it is here until it is done. state: pending | failed;
    -- run_id: of the run whose workers may have put it into place, null where that is cleared up.
    CREATE TABLE successors (
        folder TEXT, name TEXT, fingerprint TEXT NOT NULL, state TEXT NOT NULL,
        deaths INTEGER NOT NULL, pair TEXT NOT NULL, settings_id TEXT NOT NULL,
        label TEXT, content TEXT NOT NULL, content_digest TEXT NOT NULL, style TEXT NOT NULL,
        style_digest TEXT NOT NULL, variant INTEGER NOT NULL, strength REAL NOT NULL,
        noise_seed INTEGER, reason TEXT, mask TEXT NOT NULL, mask_digest TEXT NOT NULL,
        run_id TEXT, PRIMARY KEY (folder, name)
    ) WITHOUT ROWID;
    CREATE INDEX failed_successors ON successors (folder, name) WHERE state = 'failed';
    -- What lies in stale/RUN_ID, under the paths that it had; facts: as JSON. A row whose file is
    -- gone, or of another size, means nothing.
    CREATE TABLE aside (
        run_id TEXT, folder TEXT, name TEXT, fingerprint TEXT NOT NULL, size INTEGER,
        pair TEXT NOT NULL, settings_id TEXT NOT NULL,
        label TEXT, content TEXT NOT NULL, content_digest TEXT NOT NULL, style TEXT NOT NULL,
        style_digest TEXT NOT NULL, variant INTEGER NOT NULL, strength REAL NOT NULL,
        noise_seed INTEGER, mask TEXT NOT NULL, mask_digest TEXT NOT NULL, facts TEXT,
        PRIMARY KEY (run_id, folder, name)
    ) WITHOUT ROWID;
    CREATE INDEX aside_fingerprint ON aside (fingerprint);
    """,
    """
    -- Null where the pair has no splits.
    ALTER TABLE jobs ADD COLUMN split TEXT;
    ALTER TABLE successors ADD COLUMN split TEXT;
    ALTER TABLE aside ADD COLUMN split TEXT;
    -- Annotations that are ours, by path from the output; pair: "" where they are of all. key: a
    -- hash of what they were made from; before: digest of what was there before, "" if nothing;
    -- note: counts, as JSON.
    CREATE TABLE annotations (
        path TEXT PRIMARY KEY, pair TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
        digest TEXT NOT NULL, before TEXT NOT NULL, size INTEGER NOT NULL, note TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    -- Of inputs; 0 where a version before this one has read them.
    ALTER TABLE files ADD COLUMN ctime_ns INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE files ADD COLUMN inode INTEGER NOT NULL DEFAULT 0;
    """,
    """
    -- Of inputs in object stores, "" of others.
    ALTER TABLE files ADD COLUMN etag TEXT NOT NULL DEFAULT '';
    """,
)
