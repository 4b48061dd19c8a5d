//! The checks: paths and texts in, violations out. Reads no file; what the walls are stands in
//! `walls.rs`.

use std::collections::BTreeMap;
use std::fmt;

use super::code::{code_outside_tests, lines_with};
use super::walls::{
    DEPENDENCY_WALLS, EMPTY_NAMES, For, MACHINE_PATHS, SERVICES, SOURCE_WALLS, SourceWall, TOP_LEVEL,
};

/// A rule broken.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path in the repository.
    pub file: String,
    /// Line from 1.
    pub line: usize,
    /// The rule.
    pub wall: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.file, self.line, self.wall)
    }
}

/// Everything that is broken in a repository of these files.
pub fn violations(files: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in files {
        let mut add = |line: usize, wall: &str| {
            found.push(Violation { file: path.clone(), line, wall: wall.to_owned() });
        };
        machine_paths(text, &mut add);
        top_level(path, &mut add);
        if let Some(inside) = path.strip_prefix("crates/") {
            if inside.ends_with(".rs") {
                names(inside, &mut add);
                header(text, &mut add);
                source_walls(inside, text, &mut add);
            } else if let Some(name) = inside.strip_suffix("/Cargo.toml") {
                dependency_walls(name, text, &mut add);
            }
        }
    }
    found.extend(error_responses(files));
    found
}

fn machine_paths(text: &str, add: &mut impl FnMut(usize, &str)) {
    for (index, line) in text.lines().enumerate() {
        for start in MACHINE_PATHS {
            let absolute = line.match_indices(start).any(|(at, _)| {
                !line[..at].ends_with(|before: char| before.is_alphanumeric() || "_-.})".contains(before))
            });
            if absolute {
                add(index + 1, &format!("{start} exists on one machine only: name no absolute path"));
            }
        }
    }
}

fn top_level(path: &str, add: &mut impl FnMut(usize, &str)) {
    let name = path.split('/').next().unwrap_or(path);
    if !name.starts_with('.') && !TOP_LEVEL.contains(&name) {
        add(1, &format!("{name} is no name of the top level: find it a room in {}", TOP_LEVEL.join(", ")));
    }
}

fn names(inside: &str, add: &mut impl FnMut(usize, &str)) {
    for part in inside.trim_end_matches(".rs").split('/') {
        if EMPTY_NAMES.contains(&part) {
            add(1, &format!("`{part}` names nothing: a module is named by a noun of the domain"));
        }
    }
}

fn header(text: &str, add: &mut impl FnMut(usize, &str)) {
    if !text.starts_with("//!") {
        add(1, "every file opens with `//!`: what it owns and what it must not know");
    }
}

fn source_walls(inside: &str, text: &str, add: &mut impl FnMut(usize, &str)) {
    let applies = |wall: &&SourceWall| {
        wall.files.iter().any(|pattern| matches(pattern, inside))
            && !wall.except.iter().any(|pattern| matches(pattern, inside))
    };
    let code = code_outside_tests(text);
    for wall in SOURCE_WALLS.iter().filter(applies) {
        let code = wall.harmless.iter().fold(code.clone(), |code, harmless| code.replace(harmless, ""));
        for word in wall.words {
            for line in lines_with(&code, word) {
                add(line, &format!("`{word}`: {}", wall.wall));
            }
        }
    }
}

fn dependency_walls(name: &str, manifest: &str, add: &mut impl FnMut(usize, &str)) {
    for (line, dependency) in dependencies(manifest) {
        for wall in DEPENDENCY_WALLS {
            let allowed = match wall.allowed {
                For::Only(crates) => crates.contains(&name),
                For::NotFor(crates) => !crates.contains(&name),
            };
            if !allowed && wall.dependencies.iter().any(|pattern| matches(pattern, dependency)) {
                add(line, &format!("{name} depends on {dependency}: {}", wall.wall));
            }
        }
    }
}

/// Lines and names of what a manifest depends on outside tests and build scripts.
fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (index, line) in manifest.lines().map(str::trim).enumerate() {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            inside = section == "dependencies" || section.ends_with(".dependencies");
            let named = section.strip_prefix("dependencies.");
            found.extend(
                named.or_else(|| Some(section.split_once(".dependencies.")?.1)).map(|name| (index + 1, name)),
            );
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or(line);
            found.push((index + 1, name.trim_matches('"')));
        }
    }
    found
}

/// In each service, one file at most turns errors into answers.
fn error_responses(files: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut found = Vec::new();
    for service in SERVICES {
        let sources = format!("crates/{service}/src/");
        let places: Vec<(&String, usize)> = files
            .iter()
            .filter(|(path, _)| path.starts_with(&sources))
            .filter_map(|(path, text)| {
                Some((path, lines_with(&code_outside_tests(text), "IntoResponse for").next()?))
            })
            .collect();
        if let [first, rest @ ..] = places.as_slice() {
            found.extend(rest.iter().map(|(path, line)| Violation {
                file: (*path).clone(),
                line: *line,
                wall: format!("`impl IntoResponse for` stands in one file a service, here {}", first.0),
            }));
        }
    }
    found
}

/// Whether `text` is as `pattern` says; `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|left| {
            left.char_indices()
                .map(|(at, _)| at)
                .chain([left.len()])
                .any(|at| left.get(at..).is_some_and(|end| matches(rest, end)))
        }),
    }
}
