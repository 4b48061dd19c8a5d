//! `POST /api/v1/books/import` and `bookstore-api import`.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Output, Stdio};

use bookstore_api::search::Search;
use bookstore_api::store::embedded::EmbeddedStore;
use bookstore_api::store::{AuthorQuery, AuthorStore, BookFilter, BookQuery, BookStore, TOTAL_CAP, Upkeep};
use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{Reply, Service, Start, plain_lines};

const HEADER: &str =
    "book_id,isbn,isbn13,authors,original_publication_year,title,language_code,average_rating\n";
/// Rows of the generated file, and authors who share them.
const ROWS: u64 = 5_000;
const AUTHORS: u64 = 700;

async fn send(service: &Service, media: &str, body: impl Into<reqwest::Body>) -> Reply {
    let request = service.request(Method::POST, "/api/v1/books/import");
    service.send(request.header("Content-Type", media).body(body)).await
}

/// Rows of which some are in order, some can be mended and some cannot.
/// The end of an import that is taken, whatever it is.
async fn ended(service: &Service, media: &str, body: impl Into<reqwest::Body>) -> Value {
    let reply = send(service, media, body).await;
    let job = reply.expect(202);
    let path = format!("/api/v1/imports/{}", job["id"].as_str().unwrap());
    assert_eq!(reply.header("location"), path);
    for _ in 0..600 {
        let job = service.get(&path).await.expect(200);
        if job["finishedAt"].is_string() {
            return job;
        }
        assert!(["queued", "running"].contains(&job["state"].as_str().unwrap()), "{job}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the import does not end: {path}");
}

/// The report of an import that goes through.
async fn imported(service: &Service, media: &str, body: impl Into<reqwest::Body>) -> Value {
    let job = ended(service, media, body).await;
    assert_eq!((&job["state"], &job["error"]), (&json!("finished"), &Value::Null), "{job}");
    assert_eq!(job["bytesRead"], job["bytesTotal"]);
    job["report"].clone()
}

fn dirty() -> Vec<u8> {
    let mut file = HEADER.as_bytes().to_vec();
    file.extend_from_slice(
        concat!(
            "1,142437247,,\"Herman Melville, Rockwell Kent\",1851.0,Moby-Dick,eng,3.5\n",
            "2,439023483,9.78043902348e+12,Suzanne Collins,2008.0,The Hunger Games,eng,4.34\n",
            "3,,,Jane Austen,1815,,eng,4.0\n",
            "4,123456788,,Herman  MELVILLE,soon,Typee,eng,17\n",
            "5,,,too,few\n",
            ",,,Jane Austen,1815,Emma,eng,4.0\n",
            "7,439023483,,Somebody Else,2010,Twice The Same ISBN,,\n",
        )
        .as_bytes(),
    );
    file.extend_from_slice(b"8,,,Caf\xe9,1900,Latin-1,,\n");
    file
}

#[tokio::test]
async fn a_dirty_file_is_imported_row_by_row_with_reasons() {
    let service = Start::without_provider().serve();
    let report = imported(&service, "text/csv; charset=utf-8", dirty()).await;
    let count = |name: &str| report[name].as_u64().unwrap();
    assert_eq!(count("rows"), 8, "{report}");
    assert_eq!((count("rejected"), count("unchanged")), (4, 0), "{report}");
    assert_eq!(count("imported") + count("amended"), 4, "{report}");
    assert_eq!(count("authorsCreated"), 4, "{report}");
    let details = report["details"].as_array().unwrap();
    let row = |number: u64| -> (String, String) {
        let row = details.iter().find(|row| row["row"] == number).unwrap_or(&Value::Null);
        let reasons = row["reasons"].as_array().map(|reasons| {
            reasons.iter().map(|reason| reason.as_str().unwrap()).collect::<Vec<_>>().join("; ")
        });
        (row["outcome"].as_str().unwrap_or("").to_owned(), reasons.unwrap_or_default())
    };
    for (number, outcome, word) in [
        (2, "amended", "floating notation"),
        (3, "rejected", "title"),
        (4, "amended", "\"123456788\""),
        (4, "amended", "original_publication_year \"soon\""),
        (4, "amended", "average_rating \"17\""),
        (5, "rejected", "5 fields where the header has 8"),
        (6, "rejected", "book_id is missing"),
        (7, "amended", "the ISBN was dropped"),
        (8, "rejected", "not UTF-8"),
    ] {
        let (found, reasons) = row(number);
        assert_eq!(found, outcome, "row {number}: {reasons}");
        assert!(reasons.contains(word), "row {number}: {reasons}");
    }
    assert!(details.iter().all(|row| row["line"].as_u64() == row["row"].as_u64().map(|row| row + 1)));

    let books = service.get("/api/v1/books?sort=title").await.expect(200);
    let books = books["items"].as_array().unwrap();
    let titles: Vec<&str> = books.iter().map(|book| book["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Moby-Dick", "The Hunger Games", "Twice The Same ISBN", "Typee"]);
    assert_eq!(books[1]["isbn"], "9780439023481", "an ISBN-10 regains its leading zero");
    assert_eq!(books[1]["language"], "en");
    assert_eq!(books[3]["authors"][0]["id"], books[0]["authors"][0]["id"], "one author, two spellings");

    let again = imported(&service, "text/csv", dirty()).await;
    assert_eq!((&again["unchanged"], &again["rejected"]), (&json!(4), &json!(4)), "{again}");
    assert_eq!(again["authorsCreated"], 0);
    assert_eq!(service.get("/api/v1/books").await.expect(200)["total"], 4);
}

#[tokio::test]
async fn an_edit_survives_the_same_row_and_yields_to_a_changed_one() {
    let service = Start::without_provider().serve();
    let row = |title: &str| format!("{HEADER}1,,,Jane Austen,1815,{title},eng,4.0\n");
    imported(&service, "text/csv", row("Ema")).await;
    let book = service.get("/api/v1/books").await.expect(200)["items"][0].clone();
    let path = format!("/api/v1/books/{}", book["id"].as_str().unwrap());
    service.put(&path, &json!({ "title": "Emma (edited)" })).await.expect(200);
    imported(&service, "text/csv", row("Ema")).await;
    assert_eq!(service.get(&path).await.expect(200)["title"], "Emma (edited)");
    // Read above, so cached: the import has to invalidate it.
    imported(&service, "text/csv", row("Emma")).await;
    assert_eq!(service.get(&path).await.expect(200)["title"], "Emma");
    assert_eq!(service.get("/api/v1/books").await.expect(200)["total"], 1);
}

#[tokio::test]
async fn a_changed_row_takes_nothing_away_that_it_does_not_carry() {
    let service = Start::without_provider().serve();
    let row = |rating: &str| format!("{HEADER}1,,,Jane Austen,1815,Emma,eng,{rating}\n");
    imported(&service, "text/csv", row("4.0")).await;
    let book = service.get("/api/v1/books").await.expect(200)["items"][0].clone();
    let path = format!("/api/v1/books/{}", book["id"].as_str().unwrap());
    let price = json!({ "amount": "9.50", "currency": "GBP" });
    let edited = json!({ "title": "Emma", "description": "Ours.", "genres": ["novel"], "price": price });
    service.put(&path, &edited).await.expect(200);
    imported(&service, "text/csv", row("4.1")).await;
    let now = service.get(&path).await.expect(200);
    assert_eq!((&now["description"], &now["price"]), (&json!("Ours."), &price));
    assert_eq!((&now["genres"], &now["rating"]), (&json!(["novel"]), &json!(4.1)));
}

#[tokio::test]
async fn a_doubled_id_is_rejected_and_a_second_import_changes_nothing() {
    let service = Start::without_provider().serve();
    let file = format!("{HEADER}1,,,A,1815,First,eng,4\n2,,,B,1900,Other,eng,4\n1,,,C,1815,Second,eng,4\n");
    let report = imported(&service, "text/csv", file.clone()).await;
    assert_eq!((&report["imported"], &report["rejected"]), (&json!(2), &json!(1)), "{report}");
    assert_eq!(report["details"][0]["row"], 3);
    assert!(report["details"][0]["reasons"][0].as_str().unwrap().contains("row 1"), "{report}");
    let again = imported(&service, "text/csv", file).await;
    assert_eq!((&again["unchanged"], &again["imported"]), (&json!(2), &json!(0)), "{again}");
}

#[tokio::test]
async fn what_is_no_such_file_is_refused_whole() {
    let service = Start::without_provider().serve();
    send(&service, "application/json", dirty()).await.problem(415, "unsupported_media_type");
    let lacking = send(&service, "text/csv", "book_id,title\n1,Emma\n").await.problem(422, "unusable_file");
    let detail = lacking["detail"].as_str().unwrap();
    assert!(detail.contains("lacks isbn, isbn13, authors"), "{detail}");
    let latin = [b"book_id,titl\xe9,".as_slice(), HEADER.as_bytes()].concat();
    let problem = send(&service, "text/csv", latin).await.problem(422, "unusable_file");
    assert!(problem["detail"].as_str().unwrap().contains("UTF-8"), "{problem}");
    send(&service, "text/csv", "").await.problem(422, "unusable_file");
    assert_eq!(service.get("/api/v1/books").await.expect(200)["total"], 0);
    // Larger than any other body may be, and fine here.
    let large = format!("{HEADER}1,,,Jane Austen,1815,Emma,eng,4.0\n{}", ",,,,,,,\n".repeat(150_000));
    assert_eq!(imported(&service, "text/csv", large).await["imported"], 1);
}

fn import(start: &Start, file: &Path) -> Output {
    start.run(&["import", file.to_str().unwrap()])
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_command_reports_rejected_rows_and_on_demand_all() {
    let start = Start::without_provider();
    let file = start.file("dirty.csv", dirty());
    let said = stdout(&import(&start, &file));
    assert!(said.contains("row 5 (line 6, id 5) rejected: has 5 fields"), "{said}");
    assert!(!said.contains("row 2 "), "{said}");
    assert!(
        said.contains("8 rows: 1 imported, 3 amended, 4 rejected, 0 unchanged; 4 authors created"),
        "{said}"
    );

    let report = start.data().with_file_name("report.json");
    let arguments = ["import", file.to_str().unwrap(), "--details", "--report", report.to_str().unwrap()];
    stdout(&start.run(&arguments));
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!((&report["unchanged"], &report["rejected"]), (&json!(4), &json!(4)), "{report}");
}

#[test]
fn a_file_that_cannot_be_imported_is_one_clear_line() {
    let start = Start::without_provider();
    let lacking = start.file("lacking.csv", "book_id,title\n1,Emma\n");
    for (file, words) in [
        (start.data().with_file_name("absent.csv"), "No such file"),
        (lacking, "lacks isbn, isbn13, authors"),
        (start.data().with_file_name(""), "directory"),
    ] {
        let output = import(&start, &file);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let lines = plain_lines(&output.stderr);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(file.to_str().unwrap()) && lines[0].contains(words), "{lines:?}");
        assert!(output.stdout.is_empty());
    }
}

/// A clean file whose authors share books and are spelt in two ways.
fn generated() -> String {
    let mut file = HEADER.to_owned();
    for row in 1..=ROWS {
        let (one, other) = (row % AUTHORS, (row * 7 + 1) % AUTHORS);
        let other = if row % 2 == 0 { format!("author {other}") } else { format!("AUTHOR  {other}") };
        writeln!(file, "{row},,,\"Author {one}, {other}\",1900,Book {row},eng,4.0").unwrap();
    }
    file
}

/// Imports and is killed as soon as it says that it has done some rows.
fn import_killed(start: &Start, file: &Path) {
    let mut child = start
        .command()
        .args(["import", file.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let progress = lines.find(|line| line.ends_with(" rows"));
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(progress.is_some(), "no progress was told");
    assert_eq!(status.signal(), Some(9), "it was too fast to be killed");
}

/// Asserts that the store holds each generated row once and each author once.
async fn exactly_once(start: &Start) {
    let store = EmbeddedStore::open(&start.data()).unwrap();
    let (mut titles, mut names) = (BTreeSet::new(), BTreeSet::new());
    let mut query = BookQuery { limit: 1_000, ..BookQuery::default() };
    loop {
        let page = store.books(query.clone()).await.unwrap();
        assert_eq!((page.total, page.total_capped), (TOTAL_CAP, true));
        for book in page.items {
            assert!(titles.insert(book.title.clone()), "{} is doubled", book.title);
            assert!(!book.authors.is_empty(), "{} lost its authors", book.title);
        }
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(titles.len() as u64, ROWS);
    let authors = store.authors(AuthorQuery { limit: 10_000, ..AuthorQuery::default() }).await.unwrap();
    for author in &authors.items {
        assert!(names.insert(author.name.to_lowercase()), "{} is doubled", author.name);
    }
    assert_eq!(names.len() as u64, AUTHORS);
    let report = store.check().await.unwrap();
    assert_eq!((report.books, report.authors, report.findings.len()), (ROWS, AUTHORS, 0));
    // Every book is found by its words too: the text index lost nothing either.
    let found = store
        .books(BookQuery {
            filter: BookFilter { text: Some(Search::parse("Book 4999")), ..BookFilter::default() },
            limit: 10,
            ..BookQuery::default()
        })
        .await
        .unwrap();
    assert_eq!(found.total, 1);
}

#[tokio::test]
async fn an_import_killed_in_the_middle_loses_and_doubles_nothing() {
    let start = Start::without_provider();
    let file = start.file("generated.csv", generated());
    import_killed(&start, &file);
    let second = stdout(&import(&start, &file));
    assert!(second.contains("5000 rows: ") && second.contains(" 0 rejected"), "{second}");
    let unchanged: u64 = second
        .split(", ")
        .find_map(|part| part.split_once(" unchanged"))
        .and_then(|(count, _)| count.parse().ok())
        .unwrap();
    assert!(
        (1_000..ROWS).contains(&unchanged),
        "what was acknowledged is gone, or nothing was left: {second}"
    );
    exactly_once(&start).await;
    let third = stdout(&import(&start, &file));
    assert!(
        third.contains("0 imported, 0 amended, 0 rejected, 5000 unchanged; 0 authors created"),
        "{third}"
    );
    exactly_once(&start).await;
}

/// The real file, where the environment names one.
#[cfg(feature = "integration")]
#[test]
#[expect(clippy::disallowed_methods, reason = "the environment names the file")]
fn the_real_file_imports_and_a_second_time_changes_nothing() {
    let Some(file) = std::env::var_os("BOOKS_CSV") else {
        eprintln!("BOOKS_CSV names no file: the generated one has to do");
        return;
    };
    let start = Start::without_provider();
    let first = stdout(&import(&start, Path::new(&file)));
    assert!(first.contains("5000 rows: ") && first.contains(" 0 unchanged"), "{first}");
    let second = stdout(&import(&start, Path::new(&file)));
    let rejected = first.split(", ").find(|part| part.ends_with(" rejected")).unwrap();
    assert!(second.contains("0 imported, 0 amended") && second.contains(rejected), "{second}");
    if rejected == "0 rejected" {
        assert!(second.contains("5000 unchanged; 0 authors created"), "{second}");
    }
    println!("{first}{second}");
}

#[tokio::test]
async fn an_export_is_taken_back_whole() {
    let start = Start::with_catalog();
    let service = start.serve();
    let before = service.get("/api/v1/books?limit=100&sort=title").await.expect(200);
    let file = start.data().with_file_name("export.jsonl");
    let output = start.run(&["export", file.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let export = std::fs::read_to_string(&file).unwrap();
    assert_eq!(export.lines().filter(|line| line.starts_with("{\"book\":")).count(), 120);
    assert_eq!(stdout(&start.run(&["export"])).lines().count(), export.lines().count());

    // Through the API of another service, and from the command line of a third.
    let other = Start::without_provider().serve();
    let report = imported(&other, "application/x-ndjson", export.clone()).await;
    assert_eq!((&report["rejected"], &report["rows"]), (&json!(0), &report["imported"]), "{report}");
    assert_eq!(other.get("/api/v1/books?limit=100&sort=title").await.expect(200)["items"], before["items"]);
    let again = imported(&other, "application/x-ndjson", export.clone()).await;
    assert_eq!(again["unchanged"], again["rows"], "{again}");
    // A fresh store's own catalogue does not get in the way of the one that comes.
    let third = Start::with_catalog();
    let said = stdout(&import(&third, &file));
    assert!(said.contains("0 amended, 0 rejected, 0 unchanged"), "{said}");
    let checked = stdout(&third.run(&["check"]));
    assert!(checked.contains("120 books") && checked.contains(" 0 findings"), "{checked}");
    let json: Value = serde_json::from_str(&stdout(&third.run(&["check", "--json"]))).unwrap();
    assert_eq!((&json["books"], &json["findings"]), (&json!(120), &json!([])));

    // Cut off: what was there is in, and the end says that it was not all.
    let half = &export[..export.len() / 2];
    let fourth = Start::without_provider().serve();
    let job = ended(&fourth, "application/x-ndjson", half.to_owned()).await;
    assert_eq!((&job["state"], &job["error"]["code"]), (&json!("failed"), &json!("cut_off")), "{job}");
    assert!(job["report"]["imported"].as_u64().unwrap() > 100, "{job}");
    send(&fourth, "application/x-ndjson", "{}\n").await.problem(422, "unusable_file");
}

#[tokio::test]
async fn a_job_lists_the_first_thousand_rejected_rows_and_counts_the_rest() {
    let service = Start::without_provider().serve();
    let file = format!("{HEADER}{}", "x\n".repeat(1_234));
    let report = imported(&service, "text/csv", file).await;
    assert_eq!(report["details"].as_array().map(Vec::len), Some(1_000));
    assert_eq!((&report["rejected"], &report["detailsOmitted"]), (&json!(1_234), &json!(234)));
    service
        .get("/api/v1/imports/018f0000-0000-7000-8000-000000000000")
        .await
        .problem(404, "import_not_found");
    service.get("/api/v1/imports/x").await.problem(400, "malformed_path");
}

#[test]
fn a_check_finds_what_does_not_fit_together() {
    let start = Start::with_catalog();
    drop(start.serve());
    let file = start.data().join("bookstore.sqlite");
    let connection = rusqlite::Connection::open(file).unwrap();
    connection
        .execute_batch(
            "UPDATE books SET title = 'changed behind its back' WHERE row = 1; DROP INDEX books_by_price; \
             DELETE FROM books_text WHERE rowid = 2; DELETE FROM books WHERE row = 3;",
        )
        .unwrap();
    drop(connection);
    let output = start.run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout);
    for code in ["outdated_book", "missing_index", "orphaned_text"] {
        assert!(said.contains(code), "{said}");
    }
}

#[tokio::test]
async fn records_that_nothing_could_have_written_are_rejected() {
    let service = Start::without_provider().serve();
    let book = |number: u32, change: Value| -> String {
        let mut book = json!({
            "id": format!("018f0000-0000-7000-8000-00000000000{number}"), "title": "T", "authors": [],
            "genres": [], "version": 1, "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
        });
        book.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({ "book": book }).to_string()
    };
    let lines = [
        json!({ "export": { "version": 1, "exportedAt": "2026-01-01T00:00:00Z" } }).to_string(),
        book(1, json!({ "isbn": "x" })),
        book(2, json!({ "version": u64::MAX })),
        book(3, json!({ "updatedAt": "+12026-01-01T00:00:00Z" })),
        book(4, json!({ "title": "" })),
        book(5, json!({ "isbn": "978-0-14-243724-7" })),
    ];
    let file = lines.join("\n");
    // Lines that cannot be read are not among the counted.
    let end = json!({ "end": { "authors": 0, "books": 4, "summaries": 0 } });
    let report = imported(&service, "application/x-ndjson", format!("{file}\n{end}\n")).await;
    assert_eq!((&report["rejected"], &report["imported"]), (&json!(4), &json!(1)), "{report}");
    let books = service.get("/api/v1/books").await.expect(200);
    assert_eq!((&books["total"], &books["items"][0]["isbn"]), (&json!(1), &json!("9780142437247")));
    service.delete("/api/v1/books/018f0000-0000-7000-8000-000000000005").await.expect(204);
}

#[tokio::test]
async fn cells_of_any_size_are_bounded_in_time_and_in_the_report() {
    let service = Start::without_provider().serve();
    let names = (0..100_000).map(|number| format!("n{number}")).collect::<Vec<_>>().join(",");
    let code = "x".repeat(20_000);
    let file = format!("{HEADER}1,,,\"{names}\",1900,Many,eng,4\n2,,,\"A\u{1b}[31m,B\",1900,Red,{code},4\n");
    let report = imported(&service, "text/csv", file).await;
    assert_eq!(report["amended"], 2, "{report}");
    assert!(report.to_string().len() < 3_000, "{}", report.to_string().len());
    let books = service.get("/api/v1/books?sort=title").await.expect(200);
    let names = |book: usize| books["items"][book]["authors"].as_array().unwrap().len();
    assert_eq!((names(0), names(1)), (50, 1));
}
