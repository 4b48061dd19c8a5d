//! What every store has to keep to. Written against the ports; each adapter is held to it, clause
//! by clause, by the tests at the end. The clauses lie in files of their own, by subject.

use bookstore_api::book::{Author, AuthorDraft, Book, BookDraft, Price};
use bookstore_api::isbn::Isbn;
use bookstore_api::search::Search;
use bookstore_api::store::embedded::EmbeddedStore;
use bookstore_api::store::{BookFilter, BookOrder, BookQuery, Expected, Sort, Store, StoreError, Written};
use uuid::Uuid;

mod authors;
mod books;
mod claims;
mod imports;
mod lists;
mod summaries;
mod tallies;
mod upkeep;

async fn author(store: &impl Store, name: &str) -> Author {
    let draft = AuthorDraft { name: name.to_owned(), ..AuthorDraft::default() };
    store.create_author(Uuid::now_v7(), draft).await.unwrap().item
}

async fn try_create(store: &impl Store, draft: BookDraft) -> Result<Book, StoreError> {
    store.create_book(Uuid::now_v7(), draft).await.map(|created| {
        assert!(created.fresh);
        created.item
    })
}

async fn create(store: &impl Store, draft: BookDraft) -> Book {
    try_create(store, draft).await.unwrap()
}

async fn replace(store: &impl Store, id: Uuid, draft: BookDraft) -> Book {
    match store.replace_book(id, Expected::Any, draft).await.unwrap() {
        Written::Done(book) => book,
        other => panic!("{other:?}"),
    }
}

async fn delete(store: &impl Store, id: Uuid) -> bool {
    store.delete_book(id, Expected::Any).await.unwrap() == Written::Done(())
}

fn draft(title: &str) -> BookDraft {
    BookDraft { title: title.to_owned(), ..BookDraft::default() }
}

fn whole_draft(author: Uuid) -> BookDraft {
    BookDraft {
        isbn: Some(Isbn::parse("9780142437247").unwrap()),
        title: "Moby-Dick; or, The Whale – “Ω” 🐋".to_owned(),
        author_ids: vec![author],
        published_year: Some(-700),
        language: Some("pt-BR".to_owned()),
        genres: vec!["Novel".to_owned(), "sea, \"salt\"".to_owned()],
        description: Some("A captain\nhunts.".to_owned()),
        price: Some(Price { amount: "12.90".parse().unwrap(), currency: "USD".to_owned() }),
        rating: Some(4.25),
    }
}

/// The draft that would make this book.
fn draft_of(book: &Book) -> BookDraft {
    BookDraft {
        isbn: book.isbn.clone(),
        title: book.title.clone(),
        author_ids: book.authors.iter().map(|author| author.id).collect(),
        published_year: book.published_year,
        language: book.language.clone(),
        genres: book.genres.clone(),
        description: book.description.clone(),
        price: book.price.clone(),
        rating: book.rating,
    }
}

async fn all(store: &impl Store, query: BookQuery) -> Vec<Book> {
    let mut query = BookQuery { limit: 3, ..query };
    let mut books = Vec::new();
    loop {
        let page = store.books(query.clone()).await.unwrap();
        assert!(page.items.len() <= 3);
        books.extend(page.items);
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            return books;
        }
    }
}

async fn total(store: &impl Store, filter: BookFilter) -> u64 {
    let page = store.books(BookQuery { filter, limit: 1, ..BookQuery::default() }).await.unwrap();
    assert!(!page.total_capped);
    page.total
}

fn text(text: &str) -> BookFilter {
    BookFilter { text: Some(Search::parse(text)), ..BookFilter::default() }
}

const fn by(by: BookOrder, descending: bool) -> Sort<BookOrder> {
    Sort { by, descending }
}

/// One test a clause for the store that `$open` makes; `$open` yields the store and what keeps it.
macro_rules! contract {
    ($open:expr) => {
        contract! { $open;
            books::a_book_comes_back_as_it_was_written
            books::names_and_operators_of_databases_are_only_text
            books::creating_an_id_again_changes_nothing
            books::a_write_to_another_version_changes_nothing
            books::no_update_under_a_version_is_lost
            books::an_isbn_belongs_to_one_book
            books::a_book_names_existing_authors_in_order
            authors::an_author_comes_back_as_written
            authors::a_new_name_changes_the_books_that_show_it
            authors::an_author_with_books_goes_only_with_a_word_on_them
            authors::authors_are_listed_by_words_of_their_names
            lists::books_are_found_by_words
            lists::the_best_matches_come_first
            lists::filters_hold_together
            lists::every_order_is_whole_and_reversible
            lists::pages_stay_stable_while_others_write
            lists::a_total_is_exact_up_to_its_cap
            imports::an_import_may_be_repeated
            summaries::a_summary_is_kept_for_the_book_it_was_made_from
            summaries::a_summary_never_replaces_one_of_a_later_call
            claims::a_key_belongs_to_its_first_request
            claims::many_claims_of_a_key_at_once_open_one_resource
            claims::a_claim_ends
            claims::what_was_claimed_and_deleted_is_not_made_again
            claims::a_job_is_there_for_whoever_asks
            tallies::totals_are_summed_over_their_writers
            tallies::a_total_that_arrives_late_replaces_no_later_one
            tallies::a_total_goes_when_it_has_expired
            upkeep::the_catalogue_is_remembered
            upkeep::what_is_exported_can_be_restored
            upkeep::a_record_never_takes_back_what_is_newer_nor_contradicts
            upkeep::a_check_counts_what_is_there
            upkeep::counts_follow_what_is_written
        }
    };
    ($open:expr; $($file:ident::$clause:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $clause() {
                let (store, _keep) = $open;
                super::$file::$clause(store).await;
            }
        )*
    };
}

mod embedded {
    use super::EmbeddedStore;

    fn open() -> (EmbeddedStore, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (EmbeddedStore::open(folder.path()).unwrap(), folder)
    }

    contract! { open() }
}

#[cfg(feature = "integration")]
mod mongo {
    use bookstore_api::store::mongo::MongoStore;

    use crate::mongo_server::Scratch;

    async fn open() -> (MongoStore, Scratch) {
        let scratch = Scratch::new();
        (scratch.store().await, scratch)
    }

    contract! { open().await }
}
