//! Lists of books and authors: filters, orders, pages and links.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::service::{Service, Start};

/// Titles of a list, in its order.
pub async fn titles(service: &Service, query: &str) -> Vec<String> {
    let page = service.get(&format!("/api/v1/books?limit=100&{query}")).await.expect(200);
    let items = page["items"].as_array().unwrap();
    items.iter().map(|book| book["title"].as_str().unwrap().to_owned()).collect()
}

/// All of a list, page by page.
async fn all(service: &Service, path: &str, limit: usize) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = service.get(&format!("{path}&limit={limit}{cursor}")).await.expect(200);
        let found = page["items"].as_array().unwrap();
        assert!(!found.is_empty() && found.len() <= limit, "{page}");
        items.extend(found.iter().cloned());
        assert!(items.len() as u64 <= page["total"].as_u64().unwrap(), "a page came twice");
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

#[tokio::test]
async fn pages_cover_the_catalogue_exactly_once_in_every_order() {
    let service = Start::with_catalog().serve();
    for sort in ["createdAt", "-createdAt", "title", "-title"] {
        for limit in [7, 60, 100] {
            let books = all(&service, &format!("/api/v1/books?sort={sort}"), limit).await;
            let ids: BTreeSet<&str> = books.iter().map(|book| book["id"].as_str().unwrap()).collect();
            assert_eq!((books.len(), ids.len()), (120, 120), "{sort} by {limit}");
            let key = |book: &Value| {
                let key = if sort.ends_with("title") { "title" } else { "id" };
                bookstore_api::search::sort_key(book[key].as_str().unwrap())
            };
            let ordered = books.is_sorted_by(|one, next| {
                if sort.starts_with('-') { key(one) >= key(next) } else { key(one) <= key(next) }
            });
            assert!(ordered, "{sort} by {limit}");
        }
    }
    let authors = all(&service, "/api/v1/authors?sort=name", 9).await;
    assert!(
        authors.is_sorted_by_key(|author| bookstore_api::search::sort_key(author["name"].as_str().unwrap()))
    );
}

#[tokio::test]
async fn lists_are_searched_and_filtered() {
    let service = Start::without_provider().serve();
    let herman = service.author("Herman Melville").await;
    let jane = service.author("Jane Austen").await;
    for draft in [
        json!({ "title": "Moby-Dick", "authorIds": [herman], "language": "en", "genres": ["Novel"],
            "description": "A captain hunts a white whale." }),
        json!({ "title": "Typee", "authorIds": [herman], "language": "en", "genres": ["memoir"],
            "description": "Captive on an island, with Café crème." }),
        json!({ "title": "Stolz und Vorurteil", "authorIds": [jane], "language": "de", "genres": ["novel"] }),
    ] {
        service.post("/api/v1/books", &draft).await.expect(201);
    }
    let cases: [(String, &[&str]); 17] = [
        ("q=whale".to_owned(), &["Moby-Dick"]),
        ("q=capt".to_owned(), &["Moby-Dick", "Typee"]),
        ("q=capt%20whale".to_owned(), &[]),
        ("q=captain%20wha".to_owned(), &["Moby-Dick"]),
        ("q=captain%20island".to_owned(), &[]),
        ("q=melville".to_owned(), &["Moby-Dick", "Typee"]),
        ("q=NOVEL".to_owned(), &["Moby-Dick", "Stolz und Vorurteil"]),
        ("q=cafe".to_owned(), &["Typee"]),
        ("q=%22%20OR%20title%3A*".to_owned(), &[]),
        ("q=%20".to_owned(), &["Moby-Dick", "Typee", "Stolz und Vorurteil"]),
        (format!("author={jane}"), &["Stolz und Vorurteil"]),
        ("genre=novel".to_owned(), &["Moby-Dick", "Stolz und Vorurteil"]),
        ("genre=NOVEL&language=en".to_owned(), &["Moby-Dick"]),
        ("language=de".to_owned(), &["Stolz und Vorurteil"]),
        (format!("author={herman}&q=island&genre=memoir&language=en"), &["Typee"]),
        (format!("author={jane}&q=whale"), &[]),
        ("sort=-title".to_owned(), &["Typee", "Stolz und Vorurteil", "Moby-Dick"]),
    ];
    for (query, expected) in cases {
        assert_eq!(titles(&service, &query).await, expected, "{query}");
        let page = service.get(&format!("/api/v1/books?limit=1&{query}")).await.expect(200);
        assert_eq!(page["total"], expected.len(), "{query}");
        assert_eq!(page.get("nextCursor").is_some(), expected.len() > 1, "{query}");
    }
}

#[tokio::test]
async fn list_parameters_that_make_no_sense_are_refused() {
    let service = Start::with_catalog().serve();
    for (query, code) in [
        ("limit=ten", "malformed_query"),
        ("page=2", "malformed_query"),
        ("author=17", "malformed_query"),
        ("cursor=x", "bad_cursor"),
    ] {
        service.get(&format!("/api/v1/books?{query}")).await.problem(400, code);
    }
    for (query, field) in [("limit=0", "limit"), ("limit=101", "limit"), ("sort=pages", "sort")] {
        let problem = service.get(&format!("/api/v1/books?{query}")).await.problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["field"], field);
    }
    let page = service.get("/api/v1/books?sort=title&limit=5").await.expect(200);
    let cursor = page["nextCursor"].as_str().unwrap();
    service.get(&format!("/api/v1/books?sort=-title&cursor={cursor}")).await.problem(400, "bad_cursor");
}

#[tokio::test]
async fn books_are_filtered_by_ranges_and_sorted_by_what_they_have() {
    let service = Start::without_provider().serve();
    for (title, year, amount, currency, rating, language) in [
        ("Alpha", Some(1900), Some("5.00"), "USD", Some(3.0), Some("en")),
        ("beta", Some(-400), Some("20.50"), "EUR", None, Some("de")),
        ("Gamma", None, Some("9.99"), "USD", Some(4.5), None),
        ("delta", Some(2001), None, "", Some(1.5), Some("fr")),
    ] {
        let mut draft = json!({ "title": title });
        let mut set = |name: &str, value: Value| {
            if !value.is_null() {
                draft[name] = value;
            }
        };
        set("publishedYear", json!(year));
        set("rating", json!(rating));
        set("language", json!(language));
        set("price", amount.map_or(Value::Null, |amount| json!({ "amount": amount, "currency": currency })));
        service.post("/api/v1/books", &draft).await.expect(201);
    }
    let cases: [(&str, &[&str]); 16] = [
        ("publishedFrom=1900", &["Alpha", "delta"]),
        ("publishedFrom=1900&publishedTo=1900", &["Alpha"]),
        ("publishedTo=0", &["beta"]),
        ("priceFrom=5.00&priceTo=9.99", &["Alpha", "Gamma"]),
        ("priceFrom=9.99", &["beta", "Gamma"]),
        ("priceTo=0", &[]),
        ("currency=USD", &["Alpha", "Gamma"]),
        ("currency=EUR&priceFrom=20", &["beta"]),
        ("hasSummary=true", &[]),
        ("hasSummary=false&language=EN", &["Alpha"]),
        ("sort=title", &["Alpha", "beta", "delta", "Gamma"]),
        ("sort=-publishedYear", &["delta", "Alpha", "beta", "Gamma"]),
        ("sort=price", &["delta", "Alpha", "Gamma", "beta"]),
        ("sort=-rating", &["Gamma", "Alpha", "delta", "beta"]),
        ("sort=language", &["Gamma", "beta", "Alpha", "delta"]),
        ("sort=-updatedAt", &["delta", "Gamma", "beta", "Alpha"]),
    ];
    for (query, expected) in cases {
        assert_eq!(titles(&service, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn a_book_with_a_summary_is_found_as_such_while_the_summary_fits() {
    let service = Start::without_provider().argument("--llm-provider", "simulated").serve();
    let (one, _) = (service.book("Moby-Dick").await, service.book("Emma").await);
    service.summarise(&one, "").await.expect(200);
    assert_eq!(titles(&service, "hasSummary=true").await, ["Moby-Dick"]);
    assert_eq!(titles(&service, "hasSummary=false").await, ["Emma"]);
    service.patch(&format!("/api/v1/books/{one}"), &json!({ "description": "Another." })).await.expect(200);
    assert_eq!(titles(&service, "hasSummary=true").await, [""; 0]);
}

#[tokio::test]
async fn a_search_comes_best_first_unless_another_order_is_asked_for() {
    let service = Start::without_provider().serve();
    let whale = service.author("Ishmael Whale").await;
    for draft in [
        json!({ "title": "Fish", "description": "No whale is a fish." }),
        json!({ "title": "Ships", "authorIds": [whale] }),
        json!({ "title": "The Whale", "authorIds": [whale] }),
        json!({ "title": "Whale Hunting" }),
    ] {
        service.post("/api/v1/books", &draft).await.expect(201);
    }
    let best = ["The Whale", "Whale Hunting", "Ships", "Fish"];
    assert_eq!(titles(&service, "q=whale").await, best);
    assert_eq!(titles(&service, "q=whale&sort=relevance").await, best);
    assert_eq!(
        titles(&service, "q=whale&sort=-title").await,
        ["Whale Hunting", "The Whale", "Ships", "Fish"]
    );
    let pages = all(&service, "/api/v1/books?q=whale", 1).await;
    assert!(pages.iter().map(|book| book["title"].as_str().unwrap()).eq(best), "{pages:?}");
    service.get("/api/v1/books?sort=relevance").await.problem(422, "validation_failed");
    service.get("/api/v1/books?q=whale&sort=-relevance").await.problem(422, "validation_failed");
}

#[tokio::test]
async fn authors_are_sorted_by_their_years_and_names() {
    let service = Start::without_provider().serve();
    for (name, born, died) in
        [("Homer", None, None), ("Äsop", Some(-620), Some(-564)), ("Beckett", Some(1906), Some(1989))]
    {
        let mut draft = json!({ "name": name });
        if let (Some(born), Some(died)) = (born, died) {
            draft["bornYear"] = json!(born);
            draft["diedYear"] = json!(died);
        }
        service.post("/api/v1/authors", &draft).await.expect(201);
    }
    for (sort, expected) in [
        ("name", ["Äsop", "Beckett", "Homer"]),
        ("-name", ["Homer", "Beckett", "Äsop"]),
        ("bornYear", ["Homer", "Äsop", "Beckett"]),
        ("-diedYear", ["Beckett", "Äsop", "Homer"]),
        ("-updatedAt", ["Beckett", "Äsop", "Homer"]),
    ] {
        let page = service.get(&format!("/api/v1/authors?sort={sort}")).await.expect(200);
        let names = page["items"].as_array().unwrap().iter().map(|author| author["name"].as_str().unwrap());
        assert!(names.eq(expected), "{sort}: {page}");
    }
    service.get("/api/v1/authors?sort=title").await.problem(422, "validation_failed");
}

/// The references of a `Link` header, by relation.
fn links(header: &str) -> Vec<(String, String)> {
    let link = |text: &str| {
        let (reference, relation) = text.split_once("; rel=").unwrap();
        (relation.trim_matches('"').to_owned(), reference.trim_matches(['<', '>']).to_owned())
    };
    header.split(", ").map(link).collect()
}

#[tokio::test]
async fn links_lead_through_the_pages_with_the_whole_query() {
    let service = Start::with_catalog().serve();
    let first = "/api/v1/books?language=en&sort=-title&q=the&limit=30";
    let wanted = all(&service, "/api/v1/books?language=en&sort=-title&q=the", 100).await;
    let (mut path, mut found) = (first.to_owned(), Vec::new());
    loop {
        let reply = service.get(&path).await;
        found.extend(reply.expect(200)["items"].as_array().unwrap().iter().cloned());
        let links = links(reply.header("link"));
        assert_eq!((links[0].0.as_str(), links[0].1.as_str()), ("first", first), "{links:?}");
        let Some((relation, next)) = links.get(1) else { break };
        assert_eq!((relation.as_str(), next.starts_with(first)), ("next", true), "{links:?}");
        path.clone_from(next);
    }
    assert!(wanted.len() > 30, "more than one page is needed: {}", wanted.len());
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn beyond_the_cap_the_total_says_that_there_are_more() {
    let start = Start::without_provider();
    let header = "book_id,isbn,isbn13,authors,original_publication_year,title,language_code,average_rating\n";
    let rows: String = (1..=1_000).map(|row| format!("{row},,,Nobody,,Book {row},,\n")).collect();
    let file = start.file("books.csv", format!("{header}{rows}"));
    assert_eq!(start.run(&["import", file.to_str().unwrap()]).status.code(), Some(0));
    let service = start.serve();
    let page = service.get("/api/v1/books?limit=1").await.expect(200);
    assert_eq!((&page["total"], page.get("totalCapped")), (&json!(1_000), None));
    service.book("One more").await;
    let page = service.get("/api/v1/books?limit=1").await.expect(200);
    assert_eq!((&page["total"], &page["totalCapped"]), (&json!(1_000), &json!(true)));
    // More than the cap can be read all the same.
    let mut count = 0;
    let mut path = "/api/v1/books?limit=100".to_owned();
    loop {
        let page = service.get(&path).await.expect(200);
        count += page["items"].as_array().unwrap().len();
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("/api/v1/books?limit=100&cursor={cursor}");
    }
    assert_eq!(count, 1_001);
}

#[tokio::test]
async fn pages_stay_stable_while_others_write() {
    let service = Start::without_provider().serve();
    for index in 0..30 {
        service.book(&format!("Book {index:02}")).await;
    }
    let (mut seen, mut path) = (Vec::new(), "/api/v1/books?sort=title&limit=5".to_owned());
    for round in 0.. {
        let page = service.get(&path).await.expect(200);
        let items = page["items"].as_array().unwrap().clone();
        seen.extend(items.iter().map(|book| book["title"].as_str().unwrap().to_owned()));
        // One before everything seen, and one that was seen already goes.
        service.book(&format!("Aaa {round}")).await;
        service.delete(&format!("/api/v1/books/{}", items[0]["id"].as_str().unwrap())).await.expect(204);
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("/api/v1/books?sort=title&limit=5&cursor={cursor}");
    }
    let expected: Vec<String> = (0..30).map(|index| format!("Book {index:02}")).collect();
    assert_eq!(seen, expected);
}
