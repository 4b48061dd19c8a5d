//! Authors: written, renamed with their books, deleted with a word on their books.

use bookstore_api::book::{AuthorDraft, BookDraft};
use bookstore_api::search::Search;
use bookstore_api::store::derived::created_at;
use bookstore_api::store::{
    AuthorFilter, AuthorOrder, AuthorQuery, BookFilter, BooksOfDeleted, Expected, Sort, Store, StoreError,
    Written,
};
use uuid::Uuid;

use super::{author, create, delete, draft, text, total};

fn named(name: &str) -> AuthorDraft {
    AuthorDraft { name: name.to_owned(), ..AuthorDraft::default() }
}

pub async fn an_author_comes_back_as_written(store: impl Store + 'static) {
    let draft = AuthorDraft {
        name: "Currer Bell".to_owned(),
        biography: Some("Wrote.".to_owned()),
        born_year: Some(1816),
        died_year: Some(1855),
    };
    let id = Uuid::now_v7();
    let made = store.create_author(id, draft.clone()).await.unwrap();
    assert!(made.fresh);
    let again = store.create_author(id, named("another")).await.unwrap();
    assert_eq!((again.fresh, &again.item), (false, &made.item));
    let made = made.item;
    assert_eq!(store.author(id).await.unwrap(), Some(made.clone()));
    let got = AuthorDraft {
        name: made.name.clone(),
        biography: made.biography.clone(),
        born_year: made.born_year,
        died_year: made.died_year,
    };
    assert_eq!((got, made.version, Some(made.created_at)), (draft, 1, created_at(id)));
    let stale = Expected::OneOf(vec![2]);
    assert_eq!(store.replace_author(id, stale.clone(), named("X")).await.unwrap(), Written::Conflict);
    let refused = store.delete_author(id, stale, BooksOfDeleted::Refuse).await.unwrap();
    assert_eq!(refused, Written::Conflict);
    assert_eq!(store.author(id).await.unwrap(), Some(made));
    let deleted = store.delete_author(id, Expected::OneOf(vec![1]), BooksOfDeleted::Refuse).await.unwrap();
    assert_eq!(deleted, Written::Done(Vec::new()));
    assert_eq!(store.author(id).await.unwrap(), None);
    assert_eq!(store.replace_author(id, Expected::Any, named("X")).await.unwrap(), Written::Missing);
    let gone = store.delete_author(id, Expected::Any, BooksOfDeleted::Refuse).await.unwrap();
    assert_eq!(gone, Written::Missing);
}

pub async fn a_new_name_changes_the_books_that_show_it(store: impl Store + 'static) {
    let bell = author(&store, "Currer Bell").await;
    let book = create(&store, BookDraft { author_ids: vec![bell.id], ..draft("Jane Eyre") }).await;
    let other = create(&store, draft("Emma")).await;
    let replaced = store.replace_author(bell.id, Expected::Any, named("Charlotte Brontë")).await.unwrap();
    let Written::Done((author, books)) = replaced else { panic!("{replaced:?}") };
    assert_eq!((author.version, author.name.as_str(), books), (2, "Charlotte Brontë", vec![book.id]));
    let renamed = store.book(book.id).await.unwrap().unwrap();
    assert_eq!((renamed.authors[0].name.as_str(), renamed.version), ("Charlotte Brontë", 2));
    assert_ne!(renamed.content_hash(), book.content_hash());
    assert_eq!((total(&store, text("bronte")).await, total(&store, text("currer")).await), (1, 0));
    assert_eq!(store.book(other.id).await.unwrap(), Some(other));

    // The name stays: the books have nothing to follow.
    let draft = AuthorDraft { born_year: Some(1816), ..named("Charlotte Brontë") };
    let replaced = store.replace_author(bell.id, Expected::Any, draft).await.unwrap();
    let Written::Done((author, _)) = replaced else { panic!("{replaced:?}") };
    assert_eq!((author.version, author.born_year), (3, Some(1816)));
    assert_eq!(store.book(book.id).await.unwrap(), Some(renamed));
    assert_eq!(store.check().await.unwrap().findings, []);
}

pub async fn an_author_with_books_goes_only_with_a_word_on_them(store: impl Store + 'static) {
    let (one, two) = (author(&store, "Terry Pratchett").await, author(&store, "Neil Gaiman").await);
    let both = create(&store, BookDraft { author_ids: vec![one.id, two.id], ..draft("Good Omens") }).await;
    let own = create(&store, BookDraft { author_ids: vec![one.id], ..draft("Mort") }).await;
    let refused = store.delete_author(one.id, Expected::Any, BooksOfDeleted::Refuse).await;
    assert!(matches!(refused, Err(StoreError::AuthorHasBooks)), "{refused:?}");
    // Whoever was refused is as before.
    assert!(store.author(one.id).await.unwrap().is_some());
    assert_eq!(store.book(both.id).await.unwrap(), Some(both.clone()));
    create(&store, BookDraft { author_ids: vec![one.id], ..draft("Sourcery") }).await;

    let detached = store.delete_author(one.id, Expected::Any, BooksOfDeleted::Detach).await.unwrap();
    let Written::Done(books) = detached else { panic!("{detached:?}") };
    assert_eq!(books.len(), 3);
    let left = store.book(both.id).await.unwrap().unwrap();
    assert_eq!((left.authors.len(), left.authors[0].id, left.version), (1, two.id, 2));
    let alone = store.book(own.id).await.unwrap().unwrap();
    assert_eq!((alone.authors.len(), alone.version), (0, 2));
    assert_eq!(total(&store, text("pratchett")).await, 0);
    assert_eq!(store.author(one.id).await.unwrap(), None);
    let unknown =
        store.create_book(Uuid::now_v7(), BookDraft { author_ids: vec![one.id], ..draft("X") }).await;
    assert!(matches!(unknown, Err(StoreError::UnknownAuthor(_))), "{unknown:?}");

    let deleted = store.delete_author(two.id, Expected::Any, BooksOfDeleted::Delete).await.unwrap();
    assert_eq!(deleted, Written::Done(vec![both.id]));
    assert_eq!(store.book(both.id).await.unwrap(), None);
    assert_eq!(total(&store, BookFilter::default()).await, 2);
    assert!(delete(&store, own.id).await);
    assert_eq!(store.check().await.unwrap().findings, []);
}

pub async fn authors_are_listed_by_words_of_their_names(store: impl Store + 'static) {
    for (name, born) in [("Zadie Smith", Some(1975)), ("Émile Zola", Some(1840)), ("ali Smith", None)] {
        let draft = AuthorDraft { born_year: born, ..named(name) };
        store.create_author(Uuid::now_v7(), draft).await.unwrap();
    }
    let list = async |text: Option<&str>, by: AuthorOrder, descending: bool| -> Vec<String> {
        let filter = AuthorFilter { text: text.map(Search::parse) };
        let mut query = AuthorQuery { filter, sort: Sort { by, descending }, limit: 1, cursor: None };
        let mut names = Vec::new();
        loop {
            let page = store.authors(query.clone()).await.unwrap();
            names.extend(page.items.into_iter().map(|author| author.name));
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                assert_eq!(page.total, names.len() as u64);
                return names;
            }
        }
    };
    use AuthorOrder::{BornYear, CreatedAt, DiedYear, Name, UpdatedAt};
    assert_eq!(list(Some("SMITH"), Name, false).await, ["ali Smith", "Zadie Smith"]);
    assert_eq!(list(Some("emile  z"), CreatedAt, false).await, ["Émile Zola"]);
    assert_eq!(list(Some("%"), CreatedAt, false).await, [""; 0]);
    assert_eq!(list(None, CreatedAt, true).await, ["ali Smith", "Émile Zola", "Zadie Smith"]);
    assert_eq!(list(None, Name, true).await, ["Zadie Smith", "Émile Zola", "ali Smith"]);
    assert_eq!(list(None, BornYear, false).await, ["ali Smith", "Émile Zola", "Zadie Smith"]);
    assert_eq!(list(None, BornYear, true).await, ["Zadie Smith", "Émile Zola", "ali Smith"]);
    assert_eq!(list(None, DiedYear, false).await.len(), 3);
    assert_eq!(list(None, UpdatedAt, true).await.len(), 3);
}
