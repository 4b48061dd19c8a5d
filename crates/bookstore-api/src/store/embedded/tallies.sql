
CREATE TABLE tallies (
    key        TEXT NOT NULL,
    writer     TEXT NOT NULL,
    serial     INTEGER NOT NULL,
    document   TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (key, writer)
) STRICT, WITHOUT ROWID;
CREATE INDEX tallies_by_expires_at ON tallies (expires_at);
