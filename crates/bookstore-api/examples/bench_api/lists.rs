//! Lists in SQLite: the same questions to a store of 20,000 books and to one of 100,000.

use std::fmt::Write;
use std::time::Instant;

use serde_json::Value;

use super::load::Connection;
use super::process::{self, Server};
use super::{Fallible, median, ratio};

const SMALL: u32 = 20_000;
const LARGE: u32 = 100_000;
const ROUNDS: usize = 200;
const PAGE: u32 = 500;

const ADJECTIVES: [&str; 20] = [
    "silent",
    "golden",
    "hidden",
    "broken",
    "distant",
    "winter",
    "burning",
    "hollow",
    "crimson",
    "forgotten",
    "paper",
    "glass",
    "iron",
    "salt",
    "shallow",
    "northern",
    "quiet",
    "restless",
    "sudden",
    "velvet",
];
const NOUNS: [&str; 25] = [
    "river", "garden", "mountain", "letter", "harbour", "orchard", "mirror", "engine", "island", "lantern",
    "compass", "archive", "bridge", "canyon", "desert", "echo", "forest", "glacier", "house", "kingdom",
    "library", "meadow", "needle", "ocean", "palace",
];

/// Books in the form that the import takes. The larger catalogue has more of everything, but no
/// more books of one title: a search finds as many in both.
fn csv(books: u32) -> Fallible<String> {
    let mut text = String::from(
        "book_id,isbn,isbn13,authors,original_publication_year,original_title,title,language_code,average_rating,ratings_count\n",
    );
    for number in 0..books {
        let pick = |list: &'static [&'static str], by: u32| {
            list.get(usize::try_from(number / by).unwrap_or(0) % list.len()).copied().unwrap_or("")
        };
        let (adjective, noun) = (pick(&ADJECTIVES, 1), pick(&NOUNS, 20));
        writeln!(
            text,
            "{number},,,Author {},{},,The {adjective} {noun} of volume{},eng,{}.{:02},1",
            number / 10,
            1900 + number % 120,
            number / 500,
            1 + number % 4,
            number % 100
        )?;
    }
    Ok(text)
}

/// A server, and the path of page 500.
async fn server(books: u32) -> Fallible<(Server, String)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("books.csv");
    std::fs::write(&file, csv(books)?)?;
    let store = process::store_of(&file)?;
    let server = Server::api_in(store, &[("SEED_CATALOG", "false"), ("LOG_FILTER", "warn")]).await?;
    let mut connection = Connection::open(server.address).await?;
    let mut path = "/api/v1/books?limit=20".to_owned();
    for _ in 1..PAGE {
        let page = connection.get(&path).await?.json()?;
        let cursor = page.get("nextCursor").and_then(Value::as_str).ok_or("no further page")?;
        path = format!("/api/v1/books?limit=20&cursor={cursor}");
    }
    Ok((server, path))
}

/// Milliseconds for one answer.
async fn timed(connection: &mut Connection, path: &str) -> Fallible<f64> {
    let started = Instant::now();
    let answer = connection.get(path).await?;
    let milliseconds = started.elapsed().as_secs_f64() * 1_000.0;
    answer.json()?;
    Ok(milliseconds)
}

pub(crate) async fn measure() -> Fallible<()> {
    let (small, small_page) = server(SMALL).await?;
    let (large, large_page) = server(LARGE).await?;
    let (mut few, mut many) =
        (Connection::open(small.address).await?, Connection::open(large.address).await?);
    println!("lists in SQLite, {ROUNDS} rounds in turn   (wanted: at most 2 times the smaller store's)");
    println!("  {:28} {:>10} {:>10} {:>8} {:>8}", "ms", SMALL, LARGE, "ratio", "A/A");
    let first = "/api/v1/books?limit=20".to_owned();
    let search = "/api/v1/books?limit=20&q=golden%20harbour".to_owned();
    // Words of one book only: the same in both stores.
    let rare = "/api/v1/books?limit=20&q=golden%20volume7".to_owned();
    let by_title = "/api/v1/books?limit=20&sort=title".to_owned();
    for (name, in_small, in_large) in [
        ("first page", &first, &first),
        ("first page by title", &by_title, &by_title),
        ("page 500", &small_page, &large_page),
        ("two words, 1 in 500 books", &search, &search),
        ("two words, few books", &rare, &rare),
    ] {
        let (mut a, mut b, mut control) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS + 10 {
            let (one, two, three) = (
                timed(&mut few, in_small).await?,
                timed(&mut many, in_large).await?,
                timed(&mut few, in_small).await?,
            );
            // The first few warm up.
            if round >= 10 {
                a.push(one);
                b.push(two);
                control.push(three);
            }
        }
        println!(
            "  {name:28} {:10.3} {:10.3} {:8.2} {:8.2}",
            median(&a),
            median(&b),
            ratio(&b, &a),
            ratio(&control, &a)
        );
    }
    Ok(())
}
