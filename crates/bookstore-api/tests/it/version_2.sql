-- A store as version 2 of the schema wrote it.
CREATE TABLE authors (
    row        INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    name_key   TEXT NOT NULL,
    biography  TEXT,
    born_year  INTEGER,
    died_year  INTEGER,
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    name_sort  TEXT NOT NULL,
    born_sort  INTEGER NOT NULL,
    died_sort  INTEGER NOT NULL
) STRICT;
CREATE INDEX authors_by_name_key ON authors (name_key);
CREATE INDEX authors_by_name ON authors (name_sort, id);
CREATE INDEX authors_by_born_year ON authors (born_sort, id);
CREATE INDEX authors_by_died_year ON authors (died_sort, id);
CREATE INDEX authors_by_updated_at ON authors (updated_at, id);

CREATE TABLE books (
    row            INTEGER PRIMARY KEY,
    id             TEXT NOT NULL UNIQUE,
    isbn           TEXT UNIQUE,
    title          TEXT NOT NULL,
    published_year INTEGER,
    language       TEXT,
    genres         TEXT NOT NULL,
    description    TEXT,
    price_amount   TEXT,
    price_currency TEXT,
    rating         REAL,
    version        INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    source         TEXT,
    source_id      TEXT,
    row_hash       TEXT,
    content_hash   TEXT NOT NULL,
    title_sort     TEXT NOT NULL,
    year_sort      INTEGER NOT NULL,
    price_sort     INTEGER NOT NULL,
    rating_sort    INTEGER NOT NULL,
    language_sort  TEXT NOT NULL,
    UNIQUE (source, source_id)
) STRICT;
CREATE INDEX books_by_title ON books (title_sort, id);
CREATE INDEX books_by_published_year ON books (year_sort, id);
CREATE INDEX books_by_price ON books (price_sort, id);
CREATE INDEX books_by_rating ON books (rating_sort, id);
CREATE INDEX books_by_language ON books (language_sort, id);
CREATE INDEX books_by_updated_at ON books (updated_at, id);

CREATE TABLE book_authors (
    book      TEXT NOT NULL REFERENCES books (id) ON DELETE CASCADE,
    position  INTEGER NOT NULL,
    author    TEXT NOT NULL REFERENCES authors (id) ON DELETE RESTRICT,
    PRIMARY KEY (book, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX book_authors_by_author ON book_authors (author, book);

CREATE TABLE book_genres (
    book  TEXT NOT NULL REFERENCES books (id) ON DELETE CASCADE,
    genre TEXT NOT NULL,
    PRIMARY KEY (genre, book)
) STRICT, WITHOUT ROWID;
CREATE INDEX book_genres_by_book ON book_genres (book);

-- Words, cut and folded by the program: a token is whatever stands between spaces.
CREATE VIRTUAL TABLE books_text USING fts5 (
    id UNINDEXED, title, names, other, tokenize = 'ascii', detail = 'column'
);
CREATE VIRTUAL TABLE authors_text USING fts5 (name, tokenize = 'ascii', detail = 'column');

CREATE TABLE summaries (
    book            TEXT NOT NULL REFERENCES books (id) ON DELETE CASCADE,
    content_hash    TEXT NOT NULL,
    provider        TEXT NOT NULL,
    requested_model TEXT NOT NULL,
    prompt_version  TEXT NOT NULL,
    generated_at    TEXT NOT NULL,
    fence           INTEGER NOT NULL,
    document        TEXT NOT NULL,
    PRIMARY KEY (book, content_hash, provider, requested_model, prompt_version)
) STRICT, WITHOUT ROWID;

CREATE TABLE claims (
    key          TEXT PRIMARY KEY,
    request_hash TEXT NOT NULL,
    resource     TEXT NOT NULL,
    expires_at   INTEGER NOT NULL,
    outcome      TEXT,
    deleted      INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX claims_by_resource ON claims (resource);
CREATE INDEX claims_by_expires_at ON claims (expires_at);

CREATE TABLE jobs (
    id         TEXT PRIMARY KEY,
    document   TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO authors VALUES (1, '0192f000-0000-7000-8000-0000000000a1', 'Jane Austen', 'jane austen', NULL, 1775, NULL, 1, 1767409445000006, 1767409445000006, 'jane austen', 1775, -9223372036854775808);
INSERT INTO facts VALUES ('seeded', 'true');
PRAGMA user_version = 2;
