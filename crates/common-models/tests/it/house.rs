//! Holds the walls of the house (ARCHITECTURE.md): every file under version control, or about to
//! be, is read and held against the tables in `walls.rs`.

mod code;
mod rules;
mod walls;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use rules::{Violation, violations};

/// What git tracks, and what it would on `git add`, by path; binary files with no text.
fn repository() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(&root)
        .output()
        .expect("git runs: the house test lists the repository's files with it");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8(listed.stdout)
        .expect("paths are UTF-8")
        .split_terminator('\0')
        // A file that is tracked and was deleted is listed still.
        .filter_map(|path| Some((path.to_owned(), std::fs::read(root.join(path)).ok()?)))
        .map(|(path, bytes)| (path, String::from_utf8(bytes).unwrap_or_default()))
        .collect()
}

fn found(path: &str, text: &str) -> Vec<Violation> {
    violations(&BTreeMap::from([(path.to_owned(), text.to_owned())]))
}

/// Holds that exactly one rule is broken, at this line, and that its message says so.
fn breaks(path: &str, text: &str, line: usize, says: &str) {
    let found = found(path, text);
    assert_eq!(found.len(), 1, "{path}: {found:?}");
    assert_eq!((found[0].file.as_str(), found[0].line), (path, line), "{found:?}");
    assert!(found[0].wall.contains(says), "{found:?}");
}

fn passes(path: &str, text: &str) {
    assert_eq!(found(path, text), [], "{path}");
}

#[test]
fn the_walls_stand() {
    let files = repository();
    for lived_in in ["Cargo.toml", "crates/common-models/src/lib.rs", "crates/bookstore-api/src/http.rs"] {
        assert!(files.contains_key(lived_in), "{lived_in} is not among {} files", files.len());
    }
    let violations: Vec<String> = violations(&files).iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "walls broken:\n{}", violations.join("\n"));
}

#[test]
fn files_open_with_a_header_and_have_a_name() {
    breaks("crates/llm/src/a.rs", "use b;\n", 1, "opens with");
    breaks("crates/llm/tests/it/main.rs", "mod a;\n", 1, "opens with");
    for name in
        ["utils.rs", "util.rs", "helpers.rs", "common.rs", "misc.rs", "http/manager.rs", "http/mod.rs"]
    {
        breaks(&format!("crates/llm/src/{name}"), "//! Things.\n", 1, "names nothing");
    }
    passes("crates/common-models/src/page.rs", "//! Pages.\n");
}

#[test]
fn crates_depend_on_what_is_theirs() {
    for (name, dependency, says) in [
        ("common-models", "tokio", "no I/O"),
        ("statistics", "tracing", "no I/O"),
        ("llm", "axum", "know axum"),
        ("telemetry", "http-server", "know axum"),
        ("perf-service", "hyper-util", "listens"),
        ("llm", "opentelemetry_sdk", "OpenTelemetry"),
        ("bookstore-api", "tracing-opentelemetry", "OpenTelemetry"),
        ("http-server", "prometheus", "OpenTelemetry"),
        ("perf-service", "mongodb", "technology"),
        ("llm", "rusqlite", "technology"),
        ("llm", "moka", "technology"),
        ("llm-simulator", "redis", "technology"),
        ("bookstore-api", "bollard", "Docker"),
        ("bookstore-api", "aws-sdk-bedrockruntime", "SDKs"),
        ("perf-service", "bookstore-api", "over HTTP"),
        ("llm-simulator", "llm", "never depends on llm"),
    ] {
        let path = format!("crates/{name}/Cargo.toml");
        let head = "[package]\nname = \"x\"\n\n";
        breaks(&path, &format!("{head}[dependencies]\n{dependency}.workspace = true\n"), 5, says);
        breaks(&path, &format!("{head}[dependencies]\n{dependency} = {{ version = \"1\" }}\n"), 5, says);
        breaks(&path, &format!("{head}[dependencies.{dependency}]\nversion = \"1\"\n"), 4, says);
        breaks(&path, &format!("{head}[target.'cfg(unix)'.dependencies]\n{dependency} = \"1\"\n"), 5, says);
        passes(
            &path,
            &format!("{head}[dependencies]\nserde = \"1\"\n[dev-dependencies]\n{dependency} = \"1\"\n"),
        );
    }
    passes("crates/http-server/Cargo.toml", "[dependencies]\naxum.workspace = true\n");
    passes("crates/telemetry/Cargo.toml", "[dependencies]\nopentelemetry.workspace = true\n");
}

#[test]
fn modules_know_what_is_theirs() {
    for (path, code, says) in [
        ("bookstore-api/src/catalog.rs", "use axum::Router;", "http modules"),
        ("llm-simulator/src/answer.rs", "fn a() -> axum::Router {", "http modules"),
        ("bookstore-api/src/store/observed.rs", "use rusqlite::params;", "SQLite"),
        ("bookstore-api/src/cache.rs", "use moka::sync::Cache;", "moka"),
        ("bookstore-api/src/store.rs", "use mongodb::Client;", "drivers"),
        ("perf-service/src/engine.rs", "use bollard::Docker;", "bollard"),
        ("bookstore-api/src/summaries.rs", "let a = StatusCode::OK;", "use cases"),
        ("bookstore-api/src/import.rs", "use crate::store::embedded;", "use cases"),
        ("perf-service/src/runs/start.rs", "let a = docker::start();", "use cases"),
        ("perf-service/src/runs.rs", "use crate::engine::local::{K6};", "use cases"),
        ("llm/src/ollama.rs", "use std::env;", "environment"),
        ("llm/src/ollama.rs", "let a = std::env::var(NAME);", "environment"),
        ("bookstore-api/src/http/books.rs", "use opentelemetry::trace::Tracer;", "OpenTelemetry"),
    ] {
        let path = format!("crates/{path}");
        let found = found(&path, &format!("//! A file.\n\n{code}\n"));
        assert!(!found.is_empty(), "{path}: {code} passes");
        assert!(found.iter().any(|violation| violation.wall.contains(says)), "{says}: {found:?}");
        assert!(found.iter().all(|violation| violation.line == 3), "{found:?}");
        passes(&path, &format!("//! A file.\n\n// {code}\n#[cfg(test)]\nmod tests {{\n    {code}\n}}\n"));
    }
    for (path, code) in [
        ("bookstore-api/src/http/books.rs", "use axum::Router;"),
        ("bookstore-api/src/http.rs", "use axum::Router;"),
        ("bookstore-api/src/app.rs", "use axum::Router;"),
        ("bookstore-api/src/store/embedded/books.rs", "use rusqlite::params;"),
        ("perf-service/src/engine/docker/output.rs", "use bollard::Docker;"),
        ("perf-service/src/ledger/sqlite/upkeep.rs", "use rusqlite::params;"),
        ("perf-service/src/neighbours/redis.rs", "use ::redis::Client;"),
        ("perf-service/src/settings.rs", "let a = std::env::var(NAME);"),
        ("perf-service/src/engine/local.rs", "let a = std::env::temp_dir(); let b = std::env::consts::OS;"),
        ("telemetry/src/start.rs", "use opentelemetry::global;"),
    ] {
        passes(&format!("crates/{path}"), &format!("//! A file.\n\n{code}\n"));
    }
}

#[test]
fn errors_become_answers_in_one_file_a_service() {
    let answer = "//! Errors.\nimpl IntoResponse for ApiError {}\n".to_owned();
    let mut files = BTreeMap::from([
        ("crates/bookstore-api/src/http/errors.rs".to_owned(), answer.clone()),
        ("crates/llm-simulator/src/http/refusal.rs".to_owned(), answer.clone()),
    ]);
    assert_eq!(violations(&files), []);
    files.insert("crates/bookstore-api/src/http/other.rs".to_owned(), answer);
    let found = violations(&files);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].to_string().split(": ").next(), Some("crates/bookstore-api/src/http/other.rs:2"));
}

#[test]
fn the_top_level_and_the_machine_stay_out() {
    breaks("notes.txt", "", 1, "no name of the top level");
    breaks("scripts/a.py", "", 1, "no name of the top level");
    let home = walls::MACHINE_PATHS[0];
    breaks("README.md", &format!("see\n{home}a\n"), 2, "one machine only");
    breaks("k6/lib/a.js", &format!("open('{home}a')"), 1, "one machine only");
    passes("README.md", &format!("target{home}a"));
    passes(".github/workflows/pr.yaml", "on: push\n");
}
