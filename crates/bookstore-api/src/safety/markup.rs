//! Markup in an answer that was to be plain text: tags, entities, Markdown, templates, structures.
//! Emphasis is no harm and many models cannot let it be: it is taken off, not refused.

use std::sync::LazyLock;

use regex::{Regex, RegexSet};
use unicode_normalization::UnicodeNormalization;

#[expect(clippy::expect_used, reason = "constants, which a test compiles")]
static ANYWHERE: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSet::new([
        // Tags, comments, marks of chat templates.
        r"<[a-zA-Z/!?|%<]|[|%?/-]>|<\s*/",
        // Entities, escapes.
        r"&#|&(?:lt|gt|quot|apos|nbsp|colon|sol|period|lpar|rpar|lsqb|rsqb|excl|grave|num|amp;(?:#|lt|gt|quot))\b",
        r"\\u\{?[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\u\{|%3[cCeE]|%[0-9a-fA-F]{2}%[0-9a-fA-F]{2}",
        // Markdown: links, images, references, code.
        r"\]\(|!\[|\]\[|```|~~~|\[\[|\]\]|^\[[^\]]*\]:",
        // Templates and structures.
        r"\{\{|\}\}|\$\{|\{%|%\}|\{#|<\$|\{\x22|\{'|\[\{|\}\]|\x22\}|\x22:\s?[\x22\[{]",
        r"(?i)\[/?(?:url|img|b|i|u|code|quote|inst|sys|system|assistant|user|size|color|link)\b|\\href|\\url\{|\\begin\{|<\|",
        // Emphasis in the midst of a word, or doubled and left over.
        r"\*\*|__",
    ])
    .expect("constant patterns")
});

#[expect(clippy::expect_used, reason = "a constant, which a test compiles")]
static LINE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:#{1,6}|>+|\|.*|[-=*_~+]{1,}|`{1,3}.*|:::.*|[•▪◦‣].*)$").expect("constant pattern")
});

/// Whether a word, its emphasis off, is markup; at the beginning of a line other things are.
pub(crate) fn is_markup(word: &str, line_start: bool) -> bool {
    let plain: String = word.nfkc().collect();
    // Hardly a word has any sign that markup is made of.
    let signs = |text: &str| {
        text.contains(['<', '>', '&', '\\', '%', '[', ']', '{', '}', '$', '`', '~', '*', '_', '"', '!'])
    };
    if !(signs(word) || signs(&plain) || line_start) {
        return false;
    }
    ANYWHERE.is_match(word) || ANYWHERE.is_match(&plain) || (line_start && LINE.is_match(&plain))
}

/// A word without the marks of emphasis around it. `open` says that emphasis was begun.
pub(crate) fn without_emphasis(word: &str, open: &mut bool) -> String {
    const MARKS: [char; 3] = ['*', '_', '`'];
    let mut text = word.to_owned();
    let lead: String =
        text.chars().take_while(|c| matches!(c, '(' | '"' | '“' | '\'' | '‘' | '«' | '—')).collect();
    let rest = text.get(lead.len()..).unwrap_or("").to_owned();
    let bare = rest.trim_start_matches(MARKS);
    let marks = rest.len() - bare.len();
    let starts = bare
        .chars()
        .next()
        .is_some_and(|c| c.is_alphanumeric() || matches!(c, '"' | '“' | '‘' | '\'' | '(' | '«'));
    if (1..=3).contains(&marks) && starts {
        *open = true;
        text = format!("{lead}{bare}");
    }
    if *open {
        let end = text.trim_end_matches(|c: char| !c.is_alphanumeric() && !MARKS.contains(&c));
        let tail = text.get(end.len()..).unwrap_or("").to_owned();
        let core = end.trim_end_matches(MARKS);
        if core.len() < end.len() {
            *open = false;
            text = format!("{core}{tail}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{is_markup, without_emphasis};

    #[test]
    fn markup_is_told_from_prose() {
        for word in [
            "<b>",
            "</p>",
            "<script>alert(1)</script>",
            "＜script＞",
            "<!--",
            "[a](b)",
            "](http",
            "![x]",
            "```",
            "a```b",
            "&lt;script&gt;",
            "&#60;",
            "\\u003cscript",
            "%3Cscript",
            "{{x}}",
            "${x}",
            "{\"a\":1}",
            "<|im_end|>",
            "[INST]",
            "[url=x]",
            "[[x]]",
            "a**b",
            "__init__",
        ] {
            assert!(is_markup(word, false), "{word}");
        }
        for word in ["#", "##", ">", "---", "|a|", "***"] {
            assert!(is_markup(word, true) && word != "a", "{word}");
        }
        for word in [
            "<3", "5", "AT&T", "[sic]", "R&D", "#1", "C#", "—", "(1984)", "100%", "{a}", "M*A*S*H", "“x”",
            "[...]", "-",
        ] {
            assert!(!is_markup(word, false), "{word}");
        }
    }

    #[test]
    fn emphasis_is_taken_off() {
        let plain = |text: &str| {
            let mut open = false;
            text.split(' ').map(|word| without_emphasis(word, &mut open)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            plain("**Summary:** In *Moby-Dick*, a (_very_) `odd` captain"),
            "Summary: In Moby-Dick, a (very) odd captain"
        );
        assert_eq!(
            plain("*The Old Man and the Sea*. A* search, M*A*S*H"),
            "The Old Man and the Sea. A* search, M*A*S*H"
        );
    }
}
