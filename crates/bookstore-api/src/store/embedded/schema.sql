-- Version 1 of the embedded store. A change is a new version with its own migration.
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
