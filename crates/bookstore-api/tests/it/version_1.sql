-- A store as version 1 of the schema wrote it.
CREATE TABLE authors (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    name_key   TEXT NOT NULL,
    biography  TEXT,
    born_year  INTEGER,
    died_year  INTEGER,
    version    INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX authors_by_name_key ON authors (name_key);
CREATE INDEX authors_by_name ON authors (name, id);

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
    created_at     TEXT NOT NULL,
    updated_at     TEXT NOT NULL,
    source         TEXT,
    source_id      TEXT,
    row_hash       TEXT,
    UNIQUE (source, source_id)
) STRICT;
CREATE INDEX books_by_title ON books (title, id);
CREATE INDEX books_by_language ON books (language, id);

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

CREATE VIRTUAL TABLE books_text USING fts5 (
    title, authors, genres, description, tokenize = 'unicode61 remove_diacritics 2'
);

CREATE TABLE summaries (
    book            TEXT NOT NULL REFERENCES books (id) ON DELETE CASCADE,
    content_hash    TEXT NOT NULL,
    provider        TEXT NOT NULL,
    requested_model TEXT NOT NULL,
    prompt_version  TEXT NOT NULL,
    generated_at    TEXT NOT NULL,
    document        TEXT NOT NULL,
    PRIMARY KEY (book, content_hash, provider, requested_model, prompt_version)
) STRICT, WITHOUT ROWID;

CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO authors VALUES ('0192f000-0000-7000-8000-00000000000a', 'Jane Austen', 'jane austen', NULL, 1775, 1817, 3,
    '2026-01-02T03:04:05.000006Z', '2026-01-03T03:04:05.000006Z');
INSERT INTO books VALUES (1, '0192f000-0000-7000-8000-0000000000b1', '9780141439587', 'Emma', 1815, 'en',
    '["Novel"]', 'A matchmaker errs.', '7.50', 'GBP', 4.0, 2,
    '2026-01-02T03:04:05.000006Z', '2026-01-04T03:04:05.000006Z', 'goodbooks', '1', 'hash');
INSERT INTO books VALUES (2, '0192f000-0000-7000-8000-0000000000b2', NULL, 'Émile', NULL, NULL, '[]', NULL, NULL, NULL,
    NULL, 1, '2026-01-02T03:04:06.000006Z', '2026-01-02T03:04:06.000006Z', NULL, NULL, NULL);
INSERT INTO book_authors VALUES ('0192f000-0000-7000-8000-0000000000b1', 0, '0192f000-0000-7000-8000-00000000000a');
INSERT INTO book_genres VALUES ('0192f000-0000-7000-8000-0000000000b1', 'novel');
INSERT INTO books_text (rowid, title, authors, genres, description)
    VALUES (1, 'Emma', 'Jane Austen', '["Novel"]', 'A matchmaker errs.'), (2, 'Émile', NULL, '[]', '');
INSERT INTO facts VALUES ('seeded', '2026-01-02T03:04:05.000006Z');
PRAGMA user_version = 1;
