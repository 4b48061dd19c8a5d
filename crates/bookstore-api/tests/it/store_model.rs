//! Random histories: each store does what a plain model in memory does, step by step.
//!
//! The model knows what the ports promise and nothing of indexes, sort keys or conditional writes. It takes
//! times and new ids from the store's answers, and checks everything else. Long because a model, its steps
//! and what each must answer are of one piece.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use bookstore_api::book::{Author, AuthorDraft, AuthorRef, Book, BookDraft, Price};
use bookstore_api::import::{ImportDraft, name_key};
use bookstore_api::isbn::Isbn;
use bookstore_api::prompt;
use bookstore_api::search::{Search, sort_key, words};
use bookstore_api::store::embedded::EmbeddedStore;
use bookstore_api::store::{
    AuthorFilter, AuthorOrder, AuthorQuery, BookFilter, BookOrder, BookQuery, BooksOfDeleted, Expected, Kept,
    Sort, Store, StoreError, StoredSummary, Written,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use uuid::Uuid;

/// Histories a test, and steps of a history at most.
const HISTORIES: u32 = 64;
/// What proptest runs when nobody asks for a number of its own.
const ORDINARY: u32 = 256;
const STEPS: usize = 40;

/// Names, two of them one author's to an import.
const NAMES: [&str; 5] = ["Herman Melville", "herman  MELVILLE", "Émile Zola", "Ali Smith", "$set: {a.b}"];
const TITLES: [&str; 6] = ["Moby Dick", "moby dick", "Émile", "Zebra", "The Whale, by Smith", "$where"];
const ISBNS: [&str; 2] = ["9780142437247", "9780804429573"];
const GENRES: [&str; 4] = ["Novel", "NOVEL", "Sea, salt", "$in"];
const TEXTS: [&str; 8] = ["moby", "mo", "melv moby", "whale smith", "emile", "novel", "nowhere", "?!"];

/// A draft by numbers; authors are chosen when it is used.
#[derive(Clone, Debug)]
struct Draft {
    title: &'static str,
    isbn: Option<&'static str>,
    authors: Vec<usize>,
    year: Option<i32>,
    language: Option<&'static str>,
    genres: Vec<&'static str>,
    description: Option<&'static str>,
    price: Option<(&'static str, &'static str)>,
    rating: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
enum Version {
    Any,
    Right,
    Wrong,
}

#[derive(Clone, Debug)]
struct Filter {
    text: Option<&'static str>,
    author: Option<usize>,
    genre: Option<&'static str>,
    language: Option<&'static str>,
    years: (Option<i32>, Option<i32>),
    prices: (Option<&'static str>, Option<&'static str>),
    currency: Option<&'static str>,
    has_summary: Option<bool>,
}

#[derive(Clone, Debug)]
enum Step {
    CreateAuthor { name: &'static str, born: Option<i32> },
    ReplaceAuthor { author: usize, version: Version, name: &'static str, born: Option<i32> },
    DeleteAuthor { author: usize, version: Version, books: BooksOfDeleted },
    ListAuthors { text: Option<&'static str>, sort: Sort<AuthorOrder>, limit: u32 },
    CreateBook(Draft),
    CreateBookAgain { book: usize, draft: Draft },
    ReplaceBook { book: usize, version: Version, draft: Draft },
    DeleteBook { book: usize, version: Version },
    ReadBook(usize),
    ListBooks { filter: Filter, sort: Sort<BookOrder>, limit: u32 },
    Import(Vec<(u32, Draft, Vec<&'static str>)>),
    KeepSummary { book: usize, provider: &'static str, second: i64, outdated: bool },
}

fn draft() -> impl Strategy<Value = Draft> {
    let which = (
        select(&TITLES[..]),
        proptest::option::weighted(0.3, select(&ISBNS[..])),
        vec(0..6_usize, 0..3),
        proptest::option::of(select(&[-700, 0, 1851, 2_000][..])),
        proptest::option::of(select(&["en", "EN", "pt-BR"][..])),
    );
    let more = (
        vec(select(&GENRES[..]), 0..3),
        proptest::option::weighted(0.3, select(&["A captain hunts.", "Emile of Novel"][..])),
        proptest::option::of(select(&[("0", "USD"), ("12.90", "USD"), ("12.9", "EUR"), ("100", "EUR")][..])),
        proptest::option::of(select(&[0.0, 3.5, 4.25][..])),
    );
    (which, more).prop_map(
        |((title, isbn, authors, year, language), (genres, description, price, rating))| Draft {
            title,
            isbn,
            authors,
            year,
            language,
            genres,
            description,
            price,
            rating,
        },
    )
}

fn filter() -> impl Strategy<Value = Filter> {
    let rarely = 0.25;
    (
        proptest::option::weighted(0.4, select(&TEXTS[..])),
        proptest::option::weighted(rarely, 0..6_usize),
        proptest::option::weighted(rarely, select(&["novel", "Sea, Salt", "$in"][..])),
        proptest::option::weighted(rarely, select(&["En", "PT-br", "de"][..])),
        (
            proptest::option::weighted(rarely, select(&[-700, 1][..])),
            proptest::option::weighted(rarely, select(&[0, 1851][..])),
        ),
        (
            proptest::option::weighted(rarely, select(&["0", "12.90"][..])),
            proptest::option::weighted(rarely, select(&["12.9", "100"][..])),
        ),
        proptest::option::weighted(rarely, select(&["USD", "EUR"][..])),
        proptest::option::weighted(rarely, any::<bool>()),
    )
        .prop_map(|(text, author, genre, language, years, prices, currency, has_summary)| Filter {
            text,
            author,
            genre,
            language,
            years,
            prices,
            currency,
            has_summary,
        })
}

fn book_sort() -> impl Strategy<Value = Sort<BookOrder>> {
    let orders = [
        BookOrder::CreatedAt,
        BookOrder::UpdatedAt,
        BookOrder::Title,
        BookOrder::PublishedYear,
        BookOrder::Price,
        BookOrder::Rating,
        BookOrder::Language,
        BookOrder::Relevance,
    ];
    (select(orders.to_vec()), any::<bool>())
        .prop_map(|(by, descending)| Sort { by, descending: descending && by != BookOrder::Relevance })
}

fn author_sort() -> impl Strategy<Value = Sort<AuthorOrder>> {
    let orders = [AuthorOrder::CreatedAt, AuthorOrder::UpdatedAt, AuthorOrder::Name, AuthorOrder::BornYear];
    (select(orders.to_vec()), any::<bool>()).prop_map(|(by, descending)| Sort { by, descending })
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![3 => Just(Version::Any), 2 => Just(Version::Right), 1 => Just(Version::Wrong)]
}

fn step() -> impl Strategy<Value = Step> {
    let born = || proptest::option::of(select(&[1819, 1840][..]));
    let modes = [BooksOfDeleted::Refuse, BooksOfDeleted::Detach, BooksOfDeleted::Delete];
    let texts = proptest::option::weighted(0.4, select(&["melv", "smith", "emile zo", "?!"][..]));
    prop_oneof![
        3 => (select(&NAMES[..]), born()).prop_map(|(name, born)| Step::CreateAuthor { name, born }),
        3 => (0..6_usize, version(), select(&NAMES[..]), born())
            .prop_map(|(author, version, name, born)| Step::ReplaceAuthor { author, version, name, born }),
        1 => (0..6_usize, version(), select(modes.to_vec()))
            .prop_map(|(author, version, books)| Step::DeleteAuthor { author, version, books }),
        2 => (texts, author_sort(), 1..4_u32)
            .prop_map(|(text, sort, limit)| Step::ListAuthors { text, sort, limit }),
        6 => draft().prop_map(Step::CreateBook),
        1 => (0..12_usize, draft()).prop_map(|(book, draft)| Step::CreateBookAgain { book, draft }),
        5 => (0..12_usize, version(), draft())
            .prop_map(|(book, version, draft)| Step::ReplaceBook { book, version, draft }),
        2 => (0..12_usize, version()).prop_map(|(book, version)| Step::DeleteBook { book, version }),
        2 => (0..12_usize).prop_map(Step::ReadBook),
        8 => (filter(), book_sort(), 1..5_u32)
            .prop_map(|(filter, sort, limit)| Step::ListBooks { filter, sort, limit }),
        2 => vec((0..4_u32, draft(), vec(select(&NAMES[..]), 0..3)), 1..4).prop_map(Step::Import),
        3 => (0..12_usize, select(&["ollama", "claude"][..]), 0..9_i64, any::<bool>())
            .prop_map(|(book, provider, second, old)| Step::KeepSummary { book, provider, second, outdated: old && second == 0 }),
    ]
}

/// What should be there.
#[derive(Default)]
struct Model {
    authors: BTreeMap<Uuid, Author>,
    books: BTreeMap<Uuid, Book>,
    /// Ids that were ever given, in order: steps choose among them, gone ones too.
    author_ids: Vec<Uuid>,
    book_ids: Vec<Uuid>,
    /// Imported rows: the book and what the row said.
    rows: BTreeMap<u32, (Uuid, ImportDraft)>,
    /// Summaries by book, content and provider.
    summaries: BTreeMap<(Uuid, String, String), StoredSummary>,
}

fn chosen(ids: &[Uuid], number: usize) -> Uuid {
    // Now and then one that was never there.
    ids.get(number).copied().unwrap_or(Uuid::nil())
}

fn expected(version: Version, there: Option<u64>) -> Expected {
    match (version, there) {
        (Version::Any, _) => Expected::Any,
        (Version::Right, there) => Expected::OneOf(vec![999, there.unwrap_or(1)]),
        (Version::Wrong, there) => Expected::OneOf(vec![there.unwrap_or(1) + 1, 1_000]),
    }
}

impl Model {
    fn draft(&self, draft: &Draft) -> BookDraft {
        let mut author_ids: Vec<Uuid> = Vec::new();
        for number in &draft.authors {
            // Nobody is named twice, and seldom someone who is not there.
            let author = chosen(&self.author_ids, *number);
            if (self.authors.contains_key(&author) || *number == 5) && !author_ids.contains(&author) {
                author_ids.push(author);
            }
        }
        BookDraft {
            isbn: draft.isbn.map(|isbn| Isbn::parse(isbn).unwrap()),
            title: draft.title.to_owned(),
            author_ids,
            published_year: draft.year,
            language: draft.language.map(str::to_owned),
            genres: draft.genres.iter().map(|&genre| genre.to_owned()).collect(),
            description: draft.description.map(str::to_owned),
            price: draft.price.map(|(amount, currency)| Price {
                amount: amount.parse().unwrap(),
                currency: currency.to_owned(),
            }),
            rating: draft.rating,
        }
    }

    /// Why a write of this draft has to be refused.
    fn refusal(&self, own: Option<Uuid>, draft: &BookDraft) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.isbn_holder(draft.isbn.as_ref()).is_some_and(|holder| Some(holder) != own) {
            reasons.push(StoreError::IsbnTaken.to_string());
        }
        let unknown = draft.author_ids.iter().find(|author| !self.authors.contains_key(author));
        reasons.extend(unknown.map(|author| StoreError::UnknownAuthor(*author).to_string()));
        reasons
    }

    fn isbn_holder(&self, isbn: Option<&Isbn>) -> Option<Uuid> {
        isbn?;
        self.books.values().find(|book| book.isbn.as_ref() == isbn).map(|book| book.id)
    }

    /// A book as a draft says, with the times and, if new, the id of the store's answer.
    fn drafted(&self, answer: &Book, draft: BookDraft, version: u64) -> Book {
        let authors = draft.author_ids.iter().map(|id| self.reference(*id)).collect();
        let book = Book {
            id: answer.id,
            isbn: draft.isbn,
            title: draft.title,
            authors,
            published_year: draft.published_year,
            language: draft.language,
            genres: draft.genres,
            description: draft.description,
            price: draft.price,
            rating: draft.rating,
            summary: None,
            version,
            created_at: answer.created_at,
            updated_at: answer.updated_at,
        };
        self.with_summary(book)
    }

    fn reference(&self, author: Uuid) -> AuthorRef {
        AuthorRef { id: author, name: self.authors[&author].name.clone() }
    }

    fn with_summary(&self, book: Book) -> Book {
        let hash = book.content_hash();
        let fitting =
            self.summaries.iter().filter(|((id, content, _), _)| *id == book.id && *content == hash);
        let latest = fitting.map(|(_, summary)| summary).max_by_key(|summary| summary.generated_at);
        Book { summary: latest.map(|summary| summary.text.clone()), ..book }
    }

    fn forget(&mut self, book: Uuid) {
        self.books.remove(&book);
        self.rows.retain(|_, (id, _)| *id != book);
        self.summaries.retain(|(id, _, _), _| *id != book);
    }

    /// The books that fit, in order.
    fn books(&self, filter: &BookFilter, sort: Sort<BookOrder>) -> Vec<Book> {
        let mut books: Vec<Book> = self.books.values().filter(|book| fits(book, filter)).cloned().collect();
        books.sort_by(|one, other| {
            let by = match sort.by {
                BookOrder::CreatedAt => Ordering::Equal,
                BookOrder::UpdatedAt => one.updated_at.cmp(&other.updated_at),
                BookOrder::Title => sort_key(&one.title).cmp(&sort_key(&other.title)),
                BookOrder::PublishedYear => one.published_year.cmp(&other.published_year),
                BookOrder::Price => {
                    let amount = |book: &Book| book.price.as_ref().map(|price| price.amount);
                    amount(one).cmp(&amount(other))
                }
                BookOrder::Rating => one.rating.partial_cmp(&other.rating).unwrap(),
                BookOrder::Language => {
                    let tag = |book: &Book| book.language.as_ref().map(|tag| tag.to_lowercase());
                    tag(one).cmp(&tag(other))
                }
                BookOrder::Relevance => score(other, filter).cmp(&score(one, filter)),
            };
            let order = by.then(one.id.cmp(&other.id));
            if sort.descending { order.reverse() } else { order }
        });
        books
    }

    fn authors(&self, text: Option<&Search>, sort: Sort<AuthorOrder>) -> Vec<Author> {
        let named = |author: &&Author| text.is_none_or(|text| has_all(text, words(&author.name).collect()));
        let mut authors: Vec<Author> = self.authors.values().filter(named).cloned().collect();
        authors.sort_by(|one, other| {
            let by = match sort.by {
                AuthorOrder::CreatedAt => Ordering::Equal,
                AuthorOrder::UpdatedAt => one.updated_at.cmp(&other.updated_at),
                AuthorOrder::Name => sort_key(&one.name).cmp(&sort_key(&other.name)),
                AuthorOrder::BornYear => one.born_year.cmp(&other.born_year),
                AuthorOrder::DiedYear => one.died_year.cmp(&other.died_year),
            };
            let order = by.then(one.id.cmp(&other.id));
            if sort.descending { order.reverse() } else { order }
        });
        authors
    }
}

fn has_all(search: &Search, words: Vec<String>) -> bool {
    !search.is_empty()
        && search.whole.iter().all(|word| words.contains(word))
        && words.iter().any(|word| word.starts_with(&search.beginning))
}

fn fits(book: &Book, filter: &BookFilter) -> bool {
    let names = book.authors.iter().map(|author| &author.name);
    let text = [&book.title].into_iter().chain(names).chain(&book.genres).chain(&book.description);
    let equal = |one: &str, other: &str| one.to_lowercase() == other.to_lowercase();
    let amount = book.price.as_ref().map(|price| price.amount);
    filter.text.as_ref().is_none_or(|search| has_all(search, text.flat_map(|text| words(text)).collect()))
        && filter.author.is_none_or(|author| book.authors.iter().any(|other| other.id == author))
        && filter.genre.as_ref().is_none_or(|genre| book.genres.iter().any(|other| equal(other, genre)))
        && filter
            .language
            .as_ref()
            .is_none_or(|tag| book.language.as_ref().is_some_and(|other| equal(other, tag)))
        && filter.published_from.is_none_or(|from| book.published_year.is_some_and(|year| year >= from))
        && filter.published_to.is_none_or(|to| book.published_year.is_some_and(|year| year <= to))
        && filter.price_from.is_none_or(|from| amount.is_some_and(|amount| amount >= from))
        && filter.price_to.is_none_or(|to| amount.is_some_and(|amount| amount <= to))
        && filter
            .currency
            .as_ref()
            .is_none_or(|currency| book.price.as_ref().is_some_and(|price| price.currency == *currency))
        && filter.has_summary.is_none_or(|has| book.summary.is_some() == has)
}

fn score(book: &Book, filter: &BookFilter) -> u32 {
    let Some(search) = &filter.text else { return 0 };
    let title: Vec<String> = words(&book.title).collect();
    let names: Vec<String> = book.authors.iter().flat_map(|author| words(&author.name)).collect();
    search.score(title.iter().map(String::as_str), names.iter().map(String::as_str))
}

/// A store and what it should hold.
struct Pair<S> {
    store: S,
    model: Model,
}

impl<S: Store> Pair<S> {
    async fn take(&mut self, step: &Step) {
        match step {
            Step::CreateAuthor { name, born } => self.create_author(name, *born).await,
            Step::ReplaceAuthor { author, version, name, born } => {
                self.replace_author(*author, *version, name, *born).await;
            }
            Step::DeleteAuthor { author, version, books } => {
                self.delete_author(*author, *version, *books).await;
            }
            Step::ListAuthors { text, sort, limit } => self.list_authors(*text, *sort, *limit).await,
            Step::CreateBook(draft) => self.create_book(draft).await,
            Step::CreateBookAgain { book, draft } => {
                let id = chosen(&self.model.book_ids, *book);
                if let Some(there) = self.model.books.get(&id) {
                    let created = self.store.create_book(id, self.model.draft(draft)).await.unwrap();
                    assert_eq!((created.fresh, &created.item), (false, there));
                }
            }
            Step::ReplaceBook { book, version, draft } => self.replace_book(*book, *version, draft).await,
            Step::DeleteBook { book, version } => {
                let id = chosen(&self.model.book_ids, *book);
                let there = self.model.books.get(&id).map(|book| book.version);
                let written = self.store.delete_book(id, expected(*version, there)).await.unwrap();
                assert_eq!(written, outcome(there, *version, ()));
                if written == Written::Done(()) {
                    self.model.forget(id);
                }
            }
            Step::ReadBook(book) => {
                let id = chosen(&self.model.book_ids, *book);
                assert_eq!(self.store.book(id).await.unwrap().as_ref(), self.model.books.get(&id));
            }
            Step::ListBooks { filter, sort, limit } => self.list_books(filter, *sort, *limit).await,
            Step::Import(rows) => self.import(rows).await,
            Step::KeepSummary { book, provider, second, outdated } => {
                self.keep_summary(*book, provider, *second, *outdated).await;
            }
        }
    }

    async fn create_author(&mut self, name: &str, born: Option<i32>) {
        let id = Uuid::now_v7();
        let draft = AuthorDraft { name: name.to_owned(), born_year: born, ..AuthorDraft::default() };
        let made = self.store.create_author(id, draft.clone()).await.unwrap();
        assert!(made.fresh);
        let author = made.item;
        assert_eq!((author.id, &*author.name, author.born_year, author.version), (id, name, born, 1));
        let again =
            self.store.create_author(id, AuthorDraft { name: "other".to_owned(), ..draft }).await.unwrap();
        assert_eq!((again.fresh, &again.item), (false, &author));
        self.model.author_ids.push(id);
        self.model.authors.insert(id, author);
    }

    async fn replace_author(&mut self, author: usize, version: Version, name: &str, born: Option<i32>) {
        let id = chosen(&self.model.author_ids, author);
        let before = self.model.authors.get(&id).cloned();
        let there = before.as_ref().map(|author| author.version);
        let draft = AuthorDraft { name: name.to_owned(), born_year: born, ..AuthorDraft::default() };
        let written = self.store.replace_author(id, expected(version, there), draft).await.unwrap();
        let Written::Done((author, mut changed)) = written else {
            assert_eq!(written.map(), outcome(there, version, ()));
            return;
        };
        assert_eq!(Written::Done(()), outcome(there, version, ()));
        let before = before.unwrap();
        assert_eq!((&*author.name, author.born_year, author.version), (name, born, before.version + 1));
        assert!(author.updated_at >= before.updated_at && author.created_at == before.created_at);
        self.model.authors.insert(id, author);
        // Named even when the name stays: who repeats a rename whose answer was lost has to hear of them.
        let theirs = self.naming(id);
        changed.sort_unstable();
        assert_eq!(changed, theirs);
        let renamed = before.name != name;
        for book in theirs.into_iter().filter(|_| renamed) {
            self.changed_aside(book, |model, book| {
                for author in &mut book.authors {
                    author.name.clone_from(&model.authors[&author.id].name);
                }
            })
            .await;
        }
    }

    async fn delete_author(&mut self, author: usize, version: Version, books: BooksOfDeleted) {
        let id = chosen(&self.model.author_ids, author);
        let there = self.model.authors.get(&id).map(|author| author.version);
        let theirs = self.naming(id);
        let written = self.store.delete_author(id, expected(version, there), books).await;
        if outcome(there, version, ()) != Written::Done(()) {
            assert_eq!(written.unwrap().map(), outcome(there, version, ()));
            return;
        }
        if books == BooksOfDeleted::Refuse && !theirs.is_empty() {
            assert!(matches!(written, Err(StoreError::AuthorHasBooks)));
            return;
        }
        let Written::Done(mut changed) = written.unwrap() else { panic!("the author was there") };
        changed.sort_unstable();
        assert_eq!(changed, theirs);
        self.model.authors.remove(&id);
        for book in theirs {
            if books == BooksOfDeleted::Delete {
                self.model.forget(book);
            } else {
                self.changed_aside(book, |_, book| book.authors.retain(|author| author.id != id)).await;
            }
        }
    }

    fn naming(&self, author: Uuid) -> Vec<Uuid> {
        let names = |book: &&Book| book.authors.iter().any(|other| other.id == author);
        self.model.books.values().filter(names).map(|book| book.id).collect()
    }

    /// A book that changed because its author did.
    async fn changed_aside(&mut self, id: Uuid, change: impl Fn(&Model, &mut Book)) {
        let answer = self.store.book(id).await.unwrap().unwrap();
        let mut book = self.model.books[&id].clone();
        assert!(answer.updated_at >= book.updated_at);
        change(&self.model, &mut book);
        book.version += 1;
        book.updated_at = answer.updated_at;
        let book = self.model.with_summary(book);
        assert_eq!(answer, book);
        self.model.books.insert(id, book);
    }

    async fn create_book(&mut self, draft: &Draft) {
        let (id, draft) = (Uuid::now_v7(), self.model.draft(draft));
        match self.store.create_book(id, draft.clone()).await {
            Ok(created) => {
                assert!(created.fresh);
                assert_eq!((self.model.refusal(None, &draft), created.item.id), (Vec::new(), id));
                assert_eq!(created.item.created_at, created.item.updated_at);
                let book = self.model.drafted(&created.item, draft, 1);
                assert_eq!(created.item, book);
                self.model.book_ids.push(id);
                self.model.books.insert(id, book);
            }
            Err(error) => {
                assert!(self.model.refusal(None, &draft).contains(&error.to_string()), "{error}");
                assert_eq!(self.store.book(id).await.unwrap(), None);
            }
        }
    }

    async fn replace_book(&mut self, book: usize, version: Version, draft: &Draft) {
        let (id, draft) = (chosen(&self.model.book_ids, book), self.model.draft(draft));
        let before = self.model.books.get(&id).cloned();
        let there = before.as_ref().map(|book| book.version);
        match self.store.replace_book(id, expected(version, there), draft.clone()).await {
            Ok(Written::Done(answer)) => {
                assert_eq!(outcome(there, version, ()), Written::Done(()));
                assert_eq!(self.model.refusal(Some(id), &draft), Vec::<String>::new());
                let before = before.unwrap();
                assert!(answer.updated_at >= before.updated_at && answer.created_at == before.created_at);
                let book = self.model.drafted(&answer, draft, before.version + 1);
                assert_eq!(answer, book);
                self.model.books.insert(id, book);
            }
            Ok(other) => assert_eq!(other.map(), outcome(there, version, ())),
            Err(error) => {
                assert!(self.model.refusal(Some(id), &draft).contains(&error.to_string()), "{error}");
                assert_eq!(self.store.book(id).await.unwrap(), before);
            }
        }
    }

    async fn list_books(&self, filter: &Filter, sort: Sort<BookOrder>, limit: u32) {
        let filter = BookFilter {
            text: filter.text.map(Search::parse),
            author: filter.author.map(|number| chosen(&self.model.author_ids, number)),
            genre: filter.genre.map(str::to_owned),
            language: filter.language.map(str::to_owned),
            published_from: filter.years.0,
            published_to: filter.years.1,
            price_from: filter.prices.0.map(|amount| amount.parse().unwrap()),
            price_to: filter.prices.1.map(|amount| amount.parse().unwrap()),
            currency: filter.currency.map(str::to_owned),
            has_summary: filter.has_summary,
        };
        let wanted = self.model.books(&filter, sort);
        let mut query = BookQuery { filter, sort, limit, cursor: None };
        let mut found = Vec::new();
        loop {
            let page = self.store.books(query.clone()).await.unwrap();
            assert_eq!((page.total, page.total_capped), (wanted.len() as u64, false));
            assert!(
                page.items.len() <= limit as usize
                    && (page.items.len() == limit as usize || page.next_cursor.is_none())
            );
            found.extend(page.items);
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
            assert!(found.len() <= wanted.len(), "pages without end");
        }
        assert_eq!(found, wanted);
    }

    async fn list_authors(&self, text: Option<&str>, sort: Sort<AuthorOrder>, limit: u32) {
        let text = text.map(Search::parse);
        let wanted = self.model.authors(text.as_ref(), sort);
        let mut query = AuthorQuery { filter: AuthorFilter { text }, sort, limit, cursor: None };
        let mut found = Vec::new();
        loop {
            let page = self.store.authors(query.clone()).await.unwrap();
            assert_eq!((page.total, page.total_capped), (wanted.len() as u64, false));
            found.extend(page.items);
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
            assert!(found.len() <= wanted.len(), "pages without end");
        }
        assert_eq!(found, wanted);
    }

    async fn import(&mut self, rows: &[(u32, Draft, Vec<&'static str>)]) {
        let batch: Vec<ImportDraft> = rows
            .iter()
            .map(|(id, draft, authors)| ImportDraft {
                source: "goodbooks".to_owned(),
                source_id: id.to_string(),
                authors: authors.iter().map(|&name| name.to_owned()).collect(),
                draft: BookDraft { author_ids: Vec::new(), ..self.model.draft(draft) },
                warnings: Vec::new(),
            })
            .collect();
        let outcomes = self.store.import(batch.clone()).await.unwrap();
        assert_eq!(outcomes.len(), batch.len());
        // Later rows of a batch may have changed a book again: only its last state can be read.
        for (place, ((number, _, _), (row, outcome))) in
            rows.iter().zip(batch.into_iter().zip(outcomes)).enumerate()
        {
            if self.model.rows.get(number).is_some_and(|(_, known)| *known == row) {
                assert!(!outcome.written && outcome.authors_created == 0);
                continue;
            }
            assert!(outcome.written, "{row:?}");
            let (id, mut draft) = (outcome.book, row.draft.clone());
            let known = self.model.rows.get(number).map(|(id, _)| *id);
            assert!(known.is_none_or(|known| known == id));
            let taken = self.model.isbn_holder(draft.isbn.as_ref()).is_some_and(|holder| holder != id);
            assert_eq!(outcome.warnings.len(), usize::from(taken));
            if taken {
                draft.isbn = None;
            }
            draft.author_ids = self.authors_of_row(&row.authors, outcome.authors_created).await;
            let version = match known.map(|id| self.model.books[&id].clone()) {
                Some(before) => {
                    draft.description = draft.description.or(before.description);
                    draft.price = draft.price.or(before.price);
                    if draft.genres.is_empty() {
                        draft.genres = before.genres;
                    }
                    before.version + 1
                }
                None => {
                    self.model.book_ids.push(id);
                    1
                }
            };
            let answer = self.store.book(id).await.unwrap().unwrap();
            let book = self.model.drafted(&answer, draft, version);
            if !rows[place + 1..].iter().any(|(later, _, _)| later == number) {
                assert_eq!(answer, book);
            }
            self.model.books.insert(id, book);
            self.model.rows.insert(*number, (id, row));
        }
    }

    /// The authors of an imported row; those that it made are looked up.
    async fn authors_of_row(&mut self, names: &[String], made: u64) -> Vec<Uuid> {
        let (mut ids, mut fresh) = (Vec::new(), 0);
        for name in names {
            let same = |author: &&Author| name_key(&author.name) == name_key(name);
            let id = match self.model.authors.values().find(same).map(|author| author.id) {
                Some(id) => id,
                None => {
                    let query = AuthorQuery { limit: 100, ..AuthorQuery::default() };
                    let all = self.store.authors(query).await.unwrap().items;
                    let author = all.into_iter().find(|author| same(&author)).unwrap();
                    assert_eq!((&author.name, author.version), (name, 1));
                    fresh += 1;
                    self.model.author_ids.push(author.id);
                    self.model.authors.insert(author.id, author.clone());
                    author.id
                }
            };
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        assert_eq!(made, fresh);
        ids
    }

    async fn keep_summary(&mut self, book: usize, provider: &str, second: i64, outdated: bool) {
        let id = chosen(&self.model.book_ids, book);
        let hash = match self.model.books.get(&id) {
            Some(book) if !outdated => book.content_hash(),
            _ => "what it was".to_owned(),
        };
        let summary = StoredSummary {
            book_id: id,
            content_hash: hash.clone(),
            provider: provider.to_owned(),
            requested_model: "m".to_owned(),
            model: "m".to_owned(),
            prompt_version: prompt::VERSION.to_owned(),
            text: format!("{provider} {second} {hash}"),
            simulated: false,
            input_tokens: 1,
            output_tokens: 2,
            cached_input_tokens: 0,
            cache_write_input_tokens: 0,
            reasoning_output_tokens: 0,
            request_id: None,
            reported: true,
            cost_usd: None,
            list_cost_usd: Some(0.25),
            latency_ms: 1.5,
            first_chunk_ms: None,
            // A second of its own for each provider: which is the latest is never open.
            generated_at: chrono::DateTime::from_timestamp(
                1_700_000_000 + 2 * second + i64::from(provider == "ollama"),
                0,
            )
            .unwrap(),
            fence: second.unsigned_abs(),
        };
        let key = (id, hash.clone(), provider.to_owned());
        let there = self.model.summaries.get(&key).map(|there| there.fence);
        let wanted = match self.model.books.get(&id) {
            Some(book) if book.content_hash() == hash => {
                if there.is_some_and(|there| there > summary.fence) {
                    Kept::Superseded
                } else {
                    Kept::Kept
                }
            }
            _ => Kept::Outdated,
        };
        assert_eq!(self.store.keep_summary(summary.clone()).await.unwrap(), wanted);
        if wanted == Kept::Kept {
            self.model.summaries.insert(key, summary.clone());
            let book = self.model.with_summary(self.model.books[&id].clone());
            self.model.books.insert(id, book);
            let found = self.store.summary(id, &hash, prompt::VERSION, Some(provider), None).await.unwrap();
            assert_eq!(found, Some(summary));
        }
        assert_eq!(self.store.book(id).await.unwrap().as_ref(), self.model.books.get(&id));
    }

    /// At the end everything is there, sound, and nothing else.
    async fn compare(&self) {
        self.store.tend().await.unwrap();
        let report = self.store.check().await.unwrap();
        assert_eq!(report.findings, []);
        assert_eq!(
            (report.books, report.authors, report.summaries),
            (
                self.model.books.len() as u64,
                self.model.authors.len() as u64,
                self.model.summaries.len() as u64
            )
        );
        for id in &self.model.book_ids {
            assert_eq!(self.store.book(*id).await.unwrap().as_ref(), self.model.books.get(id));
        }
        for id in &self.model.author_ids {
            assert_eq!(self.store.author(*id).await.unwrap().as_ref(), self.model.authors.get(id));
        }
    }
}

/// What a write to something of this version has to answer.
fn outcome<T>(there: Option<u64>, version: Version, done: T) -> Written<T> {
    match (there, version) {
        (None, _) => Written::Missing,
        (Some(_), Version::Wrong) => Written::Conflict,
        (Some(_), _) => Written::Done(done),
    }
}

trait Bare {
    fn map(self) -> Written<()>;
}

impl<T> Bare for Written<T> {
    fn map(self) -> Written<()> {
        match self {
            Self::Done(_) => Written::Done(()),
            Self::Missing => Written::Missing,
            Self::Conflict => Written::Conflict,
        }
    }
}

/// Runs histories on stores that `open` makes; it yields the store and what keeps it.
fn run<S: Store, K>(open: impl AsyncFn() -> (S, K)) {
    // PROPTEST_CASES asks for more of them.
    let asked = Config::default().cases;
    let cases = if asked == ORDINARY { HISTORIES } else { asked };
    let config = Config { cases, max_shrink_iters: 500, failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    TestRunner::new(config)
        .run(&vec(step(), 1..=STEPS), |steps| {
            runtime.block_on(async {
                let (store, _keep) = open().await;
                let mut pair = Pair { store, model: Model::default() };
                for step in &steps {
                    pair.take(step).await;
                }
                pair.compare().await;
            });
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_embedded_store_does_what_a_model_does() {
    run(async || {
        let folder = tempfile::tempdir().unwrap();
        (EmbeddedStore::open(folder.path()).unwrap(), folder)
    });
}

#[cfg(feature = "integration")]
#[test]
fn mongodb_does_what_a_model_does() {
    run(async || {
        let scratch = crate::mongo_server::Scratch::new();
        (scratch.store().await, scratch)
    });
}
