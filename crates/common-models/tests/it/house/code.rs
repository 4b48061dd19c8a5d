//! Rust source reduced to what the compiler acts on outside tests, line for line. Knows no wall.

/// The source with comments, the insides of literals and test modules blanked; newlines stay, so
/// that line numbers do.
pub fn code_outside_tests(source: &str) -> String {
    without_test_modules(&without_comments_and_literals(source))
}

/// Numbers (from 1) of the lines of `code` that hold `needle` as whole words: `axum` is found in
/// `use axum::Router`, not in `axum_like`.
pub fn lines_with<'a>(code: &'a str, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
    let word = |character: char| character.is_alphanumeric() || character == '_';
    code.lines().enumerate().filter_map(move |(index, line)| {
        line.match_indices(needle)
            .any(|(at, _)| {
                let before = line[..at].chars().next_back().is_some_and(word);
                let after = line[at + needle.len()..].chars().next().is_some_and(word);
                let cut = before && needle.starts_with(word) || after && needle.ends_with(word);
                !cut
            })
            .then_some(index + 1)
    })
}

fn without_comments_and_literals(source: &str) -> String {
    let characters: Vec<char> = source.chars().collect();
    let at = |index: usize| characters.get(index).copied().unwrap_or('\0');
    let mut code = String::with_capacity(source.len());
    let mut index = 0;
    while index < characters.len() {
        let end = match (at(index), at(index + 1)) {
            ('/', '/') => end_of_line(&characters, index),
            ('/', '*') => end_of_block_comment(&characters, index),
            ('"', _) => end_of_string(&characters, index),
            ('r', '"' | '#') if !is_word(&characters, index) => end_of_raw_string(&characters, index),
            ('b', 'r') if !is_word(&characters, index) && matches!(at(index + 2), '"' | '#') => {
                end_of_raw_string(&characters, index + 1)
            }
            ('\'', '\\') => end_of_character(&characters, index),
            ('\'', _) if at(index + 2) == '\'' => index + 3,
            _ => index,
        };
        if end == index {
            code.push(at(index));
            index += 1;
        } else {
            code.extend((index..end).map(|inside| if at(inside) == '\n' { '\n' } else { ' ' }));
            index = end;
        }
    }
    code
}

/// Whether the character before belongs to the same identifier.
fn is_word(characters: &[char], index: usize) -> bool {
    index > 0 && characters.get(index - 1).is_some_and(|before| before.is_alphanumeric() || *before == '_')
}

fn end_of_line(characters: &[char], start: usize) -> usize {
    (start..characters.len()).find(|&index| characters[index] == '\n').unwrap_or(characters.len())
}

fn end_of_block_comment(characters: &[char], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut index = start;
    while index + 1 < characters.len() {
        match (characters[index], characters[index + 1]) {
            ('/', '*') => {
                depth += 1;
                index += 2;
            }
            ('*', '/') => {
                depth -= 1;
                index += 2;
                if depth == 0 {
                    return index;
                }
            }
            _ => index += 1,
        }
    }
    characters.len()
}

fn end_of_string(characters: &[char], start: usize) -> usize {
    let mut index = start + 1;
    while index < characters.len() {
        match characters[index] {
            '\\' => index += 2,
            '"' => return index + 1,
            _ => index += 1,
        }
    }
    characters.len()
}

fn end_of_character(characters: &[char], start: usize) -> usize {
    // After the backslash and what it escapes.
    (start + 3..characters.len())
        .find(|&index| characters[index] == '\'')
        .map_or(characters.len(), |index| index + 1)
}

fn end_of_raw_string(characters: &[char], start: usize) -> usize {
    let hashes = characters[start + 1..].iter().take_while(|character| **character == '#').count();
    let open = start + 1 + hashes;
    if characters.get(open) != Some(&'"') {
        return start; // a raw identifier such as r#type
    }
    (open + 1..characters.len())
        .find(|&index| {
            characters[index] == '"'
                && characters[index + 1..].iter().take(hashes).filter(|character| **character == '#').count()
                    == hashes
        })
        .map_or(characters.len(), |index| index + 1 + hashes)
}

/// Blanks `#[cfg(test)] mod name { … }` as rustfmt lays it out: up to the brace at the margin.
fn without_test_modules(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut lines = code.lines().peekable();
    while let Some(line) = lines.next() {
        let module = line == "#[cfg(test)]"
            && lines.peek().is_some_and(|next| next.starts_with("mod ") && next.trim_end().ends_with('{'));
        if module {
            kept.push('\n');
            for inside in lines.by_ref() {
                kept.push('\n');
                if inside == "}" {
                    break;
                }
            }
        } else {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[test]
fn comments_literals_and_tests_are_blanked_and_lines_stay() {
    let source = "//! axum\nuse a; // axum\n/* axum /* axum */\naxum */ fn f<'a>(b: &'a str) {}\n\
                  let c = '\"'; let d = \"axum \\\" axum\"; let e = r#\"axum \" axum\"#; let r#type = '\\'';\n\
                  use axum::Router;\n#[cfg(test)]\nmod tests {\n    use axum::Json;\n}\nuse axum as b;\n";
    let code = code_outside_tests(source);
    assert_eq!(code.lines().count(), source.lines().count());
    assert_eq!(lines_with(&code, "axum").collect::<Vec<_>>(), [6, 11], "{code}");
    assert!(code.contains("fn f<'a>(b: &'a str) {}"), "{code}");
    assert!(code.contains("let r#type ="), "{code}");
}

#[test]
fn needles_are_whole_words() {
    let code = "axum_like\nmy_axum\nuse axum;\nmemory::Cache\nin_memory::x\n";
    assert_eq!(lines_with(code, "axum").collect::<Vec<_>>(), [3]);
    assert_eq!(lines_with(code, "memory::").collect::<Vec<_>>(), [4]);
}
