//! The token that guards what changes something or spends money.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

/// File in the data folder that keeps a generated token.
const FILE: &str = "api-token";
/// Random bytes of a generated token; twice as many hex digits.
const BYTES: usize = 24;

/// A bearer token.
#[derive(Clone, Debug)]
pub struct ApiToken(SecretString);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file could not be read or written.
    #[error("{0} cannot be used for the API token: {1}; set API_TOKEN or make the folder writable")]
    File(PathBuf, #[source] io::Error),
    /// The system gave no random bytes.
    #[error("no random bytes for an API token: {0}; set API_TOKEN")]
    Random(getrandom::Error),
}

impl ApiToken {
    /// A token given by the operator.
    #[must_use]
    pub const fn given(token: SecretString) -> Self {
        Self(token)
    }

    /// The token kept in `folder`, or a new one, kept there with mode 0600. The flag says whether
    /// it is new and should be shown once.
    ///
    /// # Errors
    /// When the file cannot be read or written, or there is no randomness.
    pub fn kept_in(folder: &Path) -> Result<(Self, bool), TokenError> {
        let file = folder.join(FILE);
        let failed = |error| TokenError::File(file.clone(), error);
        match fs::read_to_string(&file) {
            Ok(text) if !text.trim().is_empty() => return Ok((Self(text.trim().to_owned().into()), false)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let mut bytes = [0_u8; BYTES];
        getrandom::fill(&mut bytes).map_err(TokenError::Random)?;
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        fs::create_dir_all(folder).map_err(failed)?;
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&file)
            .and_then(|mut out| out.write_all(token.as_bytes()))
            .map_err(failed)?;
        Ok((Self(token.into()), true))
    }

    /// The token itself, to be shown once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether `offered` is the token, in a time that does not depend on where they differ.
    #[must_use]
    pub fn matches(&self, offered: &str) -> bool {
        let ours = self.0.expose_secret().as_bytes();
        let same = ours.iter().zip(offered.as_bytes()).fold(0_u8, |sum, (a, b)| sum | (a ^ b));
        ours.len() == offered.len() && same == 0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::ApiToken;

    #[test]
    fn a_generated_token_is_private_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (token, new) = ApiToken::kept_in(folder.path()).unwrap();
        assert!(new && token.reveal().len() == 48);
        let mode = folder.path().join("api-token").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (again, new) = ApiToken::kept_in(folder.path()).unwrap();
        assert!(!new && again.matches(token.reveal()));
        assert!(!again.matches("") && !again.matches(&token.reveal()[1..]));
        assert!(!format!("{token:?}").contains(token.reveal()));
    }
}
