//! Books: written, read back, replaced under a version, deleted.

use bookstore_api::book::BookDraft;
use bookstore_api::isbn::Isbn;
use bookstore_api::store::derived::created_at;
use bookstore_api::store::{BookFilter, Created, Expected, Store, StoreError, Written};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{author, create, delete, draft, draft_of, replace, total, try_create, whole_draft};

pub async fn a_book_comes_back_as_it_was_written(store: impl Store + 'static) {
    let melville = author(&store, "Herman Melville").await;
    let draft = whole_draft(melville.id);
    let id = Uuid::now_v7();
    let made = store.create_book(id, draft.clone()).await.unwrap().item;
    assert_eq!(store.book(id).await.unwrap(), Some(made.clone()));
    assert_eq!((made.id, draft_of(&made)), (id, draft.clone()));
    assert_eq!((made.version, made.summary.as_ref(), made.created_at), (1, None, made.updated_at));
    assert_eq!(Some(made.created_at), created_at(id), "ids and times of creation order alike");
    assert_eq!(made.price.as_ref().unwrap().amount.to_string(), "12.90");

    let bare = replace(&store, id, self::draft("The Whale")).await;
    assert_eq!((bare.version, bare.created_at, bare.isbn.is_none()), (2, made.created_at, true));
    assert!(bare.updated_at >= made.updated_at && bare.authors.is_empty() && bare.price.is_none());
    assert_eq!(store.book(id).await.unwrap(), Some(bare));

    assert!(delete(&store, id).await);
    assert!(!delete(&store, id).await);
    assert_eq!(store.book(id).await.unwrap(), None);
    assert_eq!(store.replace_book(id, Expected::Any, draft).await.unwrap(), Written::Missing);
    assert_eq!(total(&store, BookFilter::default()).await, 0);
    store.ping().await.unwrap();
}

pub async fn names_and_operators_of_databases_are_only_text(store: impl Store + 'static) {
    for title in ["$where", "{\"$gt\": \"\"}", "a.b.$[]", "'; DROP TABLE books; --", "\\u0000 %_*", "𝕊 ﬁ"]
    {
        let book = create(
            &store,
            BookDraft { genres: vec![title.to_owned()], description: Some(title.to_owned()), ..draft(title) },
        )
        .await;
        assert_eq!(store.book(book.id).await.unwrap().unwrap().title, title);
        let genre = BookFilter { genre: Some(title.to_owned()), ..BookFilter::default() };
        assert_eq!(total(&store, genre).await, 1, "{title}");
    }
    let all = BookFilter { genre: Some(".*".to_owned()), ..BookFilter::default() };
    assert_eq!(total(&store, all).await, 0);
}

pub async fn creating_an_id_again_changes_nothing(store: impl Store + 'static) {
    let id = Uuid::now_v7();
    let draft = BookDraft { isbn: Some(Isbn::parse("9780142437247").unwrap()), ..draft("first") };
    let first = store.create_book(id, draft.clone()).await.unwrap();
    assert!(first.fresh);
    for title in ["first", "second"] {
        let again =
            store.create_book(id, BookDraft { title: title.to_owned(), ..draft.clone() }).await.unwrap();
        assert_eq!(again, Created { item: first.item.clone(), fresh: false });
    }
    assert_eq!(total(&store, BookFilter::default()).await, 1);
}

pub async fn a_write_to_another_version_changes_nothing(store: impl Store + 'static) {
    let book = create(&store, draft("first")).await;
    let only = |versions: &[u64]| Expected::OneOf(versions.to_vec());
    let second = store.replace_book(book.id, only(&[7, 1]), draft("second")).await.unwrap();
    let Written::Done(second) = second else { panic!("{second:?}") };
    assert_eq!(second.version, 2);
    for stale in [&[1][..], &[], &[3, 4]] {
        assert_eq!(
            store.replace_book(book.id, only(stale), draft("third")).await.unwrap(),
            Written::Conflict
        );
        assert_eq!(store.delete_book(book.id, only(stale)).await.unwrap(), Written::Conflict);
    }
    assert_eq!(store.book(book.id).await.unwrap(), Some(second));
    assert_eq!(store.delete_book(book.id, only(&[2])).await.unwrap(), Written::Done(()));
    assert_eq!(store.delete_book(book.id, only(&[2])).await.unwrap(), Written::Missing);
}

pub async fn no_update_under_a_version_is_lost(store: impl Store + 'static) {
    let book = create(&store, draft("0")).await;
    let store = std::sync::Arc::new(store);
    let mut writers = JoinSet::new();
    for _ in 0..8 {
        let (store, id) = (store.clone(), book.id);
        writers.spawn(async move {
            let mut done = 0_u64;
            for _ in 0..10 {
                let now = store.book(id).await.unwrap().unwrap();
                // The title counts: were an update lost, it would fall behind the version.
                let count: u64 = now.title.parse().unwrap();
                let next = draft(&(count + 1).to_string());
                let expected = Expected::OneOf(vec![now.version]);
                done += u64::from(matches!(
                    store.replace_book(id, expected, next).await.unwrap(),
                    Written::Done(_)
                ));
            }
            done
        });
    }
    let done: u64 = writers.join_all().await.into_iter().sum();
    let last = store.book(book.id).await.unwrap().unwrap();
    assert!(done > 0);
    assert_eq!((last.version, last.title.as_str()), (1 + done, done.to_string().as_str()));
}

pub async fn an_isbn_belongs_to_one_book(store: impl Store + 'static) {
    let isbn = Some(Isbn::parse("9780142437247").unwrap());
    let with = |title: &str| BookDraft { isbn: isbn.clone(), ..draft(title) };
    let first = create(&store, with("first")).await;
    assert!(matches!(try_create(&store, with("second")).await, Err(StoreError::IsbnTaken)));
    let other = create(&store, draft("other")).await;
    let taken = store.replace_book(other.id, Expected::Any, with("other")).await;
    assert!(matches!(taken, Err(StoreError::IsbnTaken)), "{taken:?}");
    assert_eq!(store.book(other.id).await.unwrap().unwrap().version, 1, "a refused write left a trace");
    replace(&store, first.id, with("first, again")).await;
    replace(&store, first.id, draft("without")).await;
    replace(&store, other.id, with("other")).await;
    assert_eq!(total(&store, BookFilter::default()).await, 2, "any number of books have none");
}

pub async fn a_book_names_existing_authors_in_order(store: impl Store + 'static) {
    let (one, two) = (author(&store, "Terry Pratchett").await, author(&store, "Neil Gaiman").await);
    let nobody = Uuid::now_v7();
    let unknown = BookDraft { author_ids: vec![one.id, nobody], ..draft("Good Omens") };
    match try_create(&store, unknown.clone()).await {
        Err(StoreError::UnknownAuthor(id)) => assert_eq!(id, nobody),
        other => panic!("{other:?}"),
    }
    assert_eq!(total(&store, BookFilter::default()).await, 0, "half a book was left");
    let book = create(&store, BookDraft { author_ids: vec![two.id, one.id], ..draft("Good Omens") }).await;
    let names: Vec<&str> = book.authors.iter().map(|author| author.name.as_str()).collect();
    assert_eq!(names, ["Neil Gaiman", "Terry Pratchett"]);
    let refused = store.replace_book(book.id, Expected::Any, unknown).await;
    assert!(matches!(refused, Err(StoreError::UnknownAuthor(_))), "{refused:?}");
    assert_eq!(store.book(book.id).await.unwrap(), Some(book));
}
