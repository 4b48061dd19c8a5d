-- One row a run, in the order in which they were entered: clocks may be set back.
CREATE TABLE runs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    -- Version of the entry: a newer program may enter what this one cannot read.
    version INTEGER NOT NULL,
    -- The run as the API shows it, as JSON.
    entry TEXT NOT NULL,
    -- What it was started with, as JSON.
    request TEXT,
    -- 1 once it has reached its last state.
    ended INTEGER NOT NULL,
    -- Milliseconds since 1970.
    finished_at INTEGER,
    -- Processes that took it over from one that died.
    takeovers INTEGER NOT NULL DEFAULT 0,
    -- 0: all files are there, 1: the samples were removed, 2: all were.
    removed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX runs_open ON runs (seq) WHERE ended = 0;
CREATE INDEX runs_kept ON runs (seq) WHERE ended = 1 AND removed < 2;
