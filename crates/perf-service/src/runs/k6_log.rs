//! What k6 complained of: the last errors of its log, for a reason that a person can act on.
//!
//! Owns the log's format, a JSON object a line. Pure.

use serde::Deserialize;

/// Errors told; the first ones seldom say more than the last.
const MOST: usize = 3;
/// Longest text of one.
const LONGEST: usize = 400;

#[derive(Deserialize)]
struct Entry {
    level: String,
    msg: String,
}

/// The last errors in the end of a log. Where there is none, the last lines that are no entries: a
/// crash of k6 does not write JSON. `folders` are names of places that mean nothing to the reader.
#[must_use]
pub fn last_errors(tail: &[u8], folders: &[&str]) -> Vec<String> {
    let text = String::from_utf8_lossy(tail);
    let (mut errors, mut strays) = (Vec::new(), Vec::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match serde_json::from_str::<Entry>(line) {
            Ok(entry) if matches!(entry.level.as_str(), "error" | "fatal" | "panic") => {
                errors.push(entry.msg);
            }
            Ok(_) => {}
            Err(_) => strays.push(line.to_owned()),
        }
    }
    let mut told = if errors.is_empty() { strays } else { errors };
    // What is said again and again is told once.
    told.dedup();
    let first = told.len().saturating_sub(MOST);
    told.into_iter().skip(first).map(|text| readable(&text, folders)).collect()
}

fn readable(text: &str, folders: &[&str]) -> String {
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for folder in folders {
        text = text.replace(folder, "");
    }
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::last_errors;

    #[test]
    fn the_last_errors_are_told_without_folders() {
        let log = r#"{"level":"warning","msg":"Request Failed","time":"t"}
{"level":"error","msg":"one","time":"t"}
{"level":"info","msg":"two","time":"t"}
{"level":"error","msg":"Error: no\n\tat setup (file:///data/runs/1/scripts/scenarios/smoke.js:3:98(21))\n","hint":"script exception"}
cut off at the beg"#;
        assert_eq!(
            last_errors(log.as_bytes(), &["file:///data/runs/1/scripts/"]),
            ["one", "Error: no at setup (scenarios/smoke.js:3:98(21))"]
        );
    }

    #[test]
    fn a_crash_is_told_by_its_last_lines() {
        let log =
            "{\"level\":\"info\",\"msg\":\"x\"}\npanic: boom\n\ngoroutine 1 [running]:\nmain.main()\nexit\n";
        assert_eq!(last_errors(log.as_bytes(), &[]), ["goroutine 1 [running]:", "main.main()", "exit"]);
        let again = "{\"level\":\"error\",\"msg\":\"no room\"}\n".repeat(5);
        assert_eq!(last_errors(again.as_bytes(), &[]), ["no room"]);
        assert!(last_errors(b"", &[]).is_empty());
        assert_eq!(last_errors(&[b'x'; 5_000], &[])[0].len(), 400);
        assert_eq!(last_errors(b"\xff\xfe", &[]).len(), 1);
    }
}
