//! Which image a name stands for.
//!
//! Owns pinning: a container is made from a digest and not from a tag, which may be moved between
//! one run and the next. Pure.

/// An image as it is on the daemon's machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    /// What a container is made from: `name@sha256:…` where a registry gave the image a digest,
    /// else the image's id.
    pub(super) pinned: String,
}

impl Image {
    /// The image that `name` stands for, with the id and the digests that the daemon knows.
    pub(super) fn of(name: &str, id: &str, digests: &[String]) -> Self {
        if name.contains("@sha256:") {
            return Self { pinned: name.to_owned() };
        }
        let repository = repository(name);
        let digest = digests.iter().find(|digest| {
            digest.split_once('@').is_some_and(|(from, _)| self::repository(from) == repository)
        });
        let pinned = digest.map_or(if id.is_empty() { name } else { id }, String::as_str);
        Self { pinned: pinned.to_owned() }
    }

    /// Enough of the digest or id to tell it from others.
    pub(super) fn short(&self) -> &str {
        let digits = self.pinned.rsplit_once("sha256:").and_then(|(_, digits)| digits.get(..12));
        digits.unwrap_or(&self.pinned)
    }
}

/// A name without tag; a registry's port is none.
fn repository(name: &str) -> &str {
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    let tag = name.get(last..).and_then(|rest| rest.find(':')).map(|colon| last + colon);
    let name = tag.and_then(|tag| name.get(..tag)).unwrap_or(name);
    name.strip_prefix("docker.io/").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::{Image, repository};

    #[test]
    fn a_digest_is_preferred_to_an_id_and_an_id_to_a_tag() {
        let digests = ["other/k6@sha256:00".to_owned(), "grafana/k6@sha256:1234567890abcdef".to_owned()];
        let image = Image::of("grafana/k6:1.1.0", "sha256:aa", &digests);
        assert_eq!(
            (image.pinned.as_str(), image.short()),
            ("grafana/k6@sha256:1234567890abcdef", "1234567890ab")
        );
        assert_eq!(Image::of("docker.io/grafana/k6:1", "sha256:aa", &digests), image);
        assert_eq!(Image::of("grafana/k6:1.1.0", "sha256:aa", &digests[..1]).pinned, "sha256:aa");
        assert_eq!(Image::of("grafana/k6:1.1.0", "", &[]).pinned, "grafana/k6:1.1.0");
        assert_eq!(Image::of("k6@sha256:77", "sha256:aa", &[]).pinned, "k6@sha256:77");
    }

    #[test]
    fn a_port_is_no_tag() {
        for (name, wanted) in [
            ("host:5000/k6:2", "host:5000/k6"),
            ("host:5000/k6", "host:5000/k6"),
            ("k6:1", "k6"),
            ("k6", "k6"),
        ] {
            assert_eq!(repository(name), wanted);
        }
    }
}
