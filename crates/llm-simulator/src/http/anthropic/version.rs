//! The versions of Anthropic's API, which a header chooses, and what the newest took away.
//!
//! Source: <https://platform.claude.com/docs/en/api/versioning> and
//! <https://platform.claude.com/docs/en/api/migration-2026-10-21>.

/// A version of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// `2023-06-01`, and `2023-01-01`, which differs in an endpoint only that is not here.
    Of2023,
    /// `2026-10-21`: no `temperature`, `top_p` and `top_k`, no documents of the assistant, no
    /// citations in what the user says.
    Of2026,
}

impl Version {
    /// The version by its name.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "2023-06-01" | "2023-01-01" => Some(Self::Of2023),
            "2026-10-21" => Some(Self::Of2026),
            _ => None,
        }
    }
}
