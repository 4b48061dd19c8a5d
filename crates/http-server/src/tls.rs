//! Certificates: those that an operator gives, and the one that a service makes for development.
//!
//! Owns what rustls is configured with: its provider, the protocols offered by ALPN, the check that
//! certificate and key belong together. Must not know sockets or requests. A key is never shown.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{InconsistentKeys, ServerConfig};

mod self_signed;

/// HTTPS beside plain HTTP.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// Port to bind; 0 for any free one.
    pub port: u16,
    /// What the service shows of itself.
    pub identity: TlsIdentity,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct TlsIdentity(Source);

#[derive(Clone)]
enum Source {
    Given(Arc<ServerConfig>),
    SelfSigned(PathBuf),
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Given(_) => formatter.write_str("TlsIdentity(given)"),
            Source::SelfSigned(folder) => write!(formatter, "TlsIdentity(self-signed in {folder:?})"),
        }
    }
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{0} cannot be read: {1}")]
    File(PathBuf, #[source] io::Error),
    /// A file holds no certificate or key.
    #[error("{0} holds no {1} in PEM form: {2}")]
    Pem(PathBuf, &'static str, #[source] pem::Error),
    /// The key belongs to another certificate.
    #[error("the key in {key} does not belong to the certificate in {certificate}")]
    Mismatch {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of the key.
        key: PathBuf,
    },
    /// rustls does not take them.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// A development certificate could not be made.
    #[error("no development certificate could be made: {0}")]
    Made(#[from] rcgen::Error),
    /// A development certificate could not be kept.
    #[error("{0} cannot be used for the development certificate: {1}; make the folder writable")]
    Kept(PathBuf, #[source] io::Error),
}

impl TlsError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File(..) => "tls_file",
            Self::Pem(..) => "tls_pem",
            Self::Mismatch { .. } => "tls_mismatch",
            Self::Unusable(_) => "tls_unusable",
            Self::Made(_) => "tls_made",
            Self::Kept(..) => "tls_kept",
        }
    }
}

/// What the settings of a service say about TLS, as text.
#[derive(Clone, Copy, Debug, Default)]
pub struct TlsOptions<'a> {
    /// `TLS_CERT_FILE`: a certificate with its chain, PEM.
    pub certificate: Option<&'a Path>,
    /// `TLS_KEY_FILE`: its key, PEM.
    pub key: Option<&'a Path>,
    /// `TLS_SELF_SIGNED`: make and keep a development certificate.
    pub self_signed: bool,
}

impl TlsOptions<'_> {
    /// Checks what was given: files are read, and key and certificate must fit. `None` where
    /// nothing asks for TLS. A development certificate is made when the service listens, in
    /// `folder`.
    ///
    /// # Errors
    /// In words, beginning with the setting's name.
    pub fn check(self, port: u16, folder: &Path) -> Result<Option<TlsSettings>, String> {
        let identity = match (self.certificate, self.key, self.self_signed) {
            (None, None, false) => return Ok(None),
            (None, None, true) => TlsIdentity(Source::SelfSigned(folder.to_owned())),
            (Some(certificate), Some(key), false) => TlsIdentity::from_files(certificate, key)
                .map_err(|error| format!("TLS_CERT_FILE and TLS_KEY_FILE: {error}"))?,
            (Some(_), None, _) => {
                return Err("TLS_KEY_FILE: is missing; a certificate needs its key".to_owned());
            }
            (None, Some(_), _) => {
                return Err("TLS_CERT_FILE: is missing; a key needs its certificate".to_owned());
            }
            (Some(_), Some(_), true) => {
                return Err(
                    "TLS_SELF_SIGNED: is true beside a certificate of your own; choose one".to_owned()
                );
            }
        };
        Ok(Some(TlsSettings { port, identity }))
    }
}

impl TlsIdentity {
    /// The certificate and key of these files.
    ///
    /// # Errors
    /// When a file cannot be read or holds something else, or the two do not belong together.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let unreadable = |file: &Path, what: &'static str| {
            let file = file.to_owned();
            move |error| match error {
                pem::Error::Io(error) => TlsError::File(file, error),
                error => TlsError::Pem(file, what, error),
            }
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect)
            .map_err(unreadable(certificate, "certificate"))?;
        if chain.is_empty() {
            return Err(unreadable(certificate, "certificate")(pem::Error::NoItemsFound));
        }
        let secret = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key, "private key"))?;
        match server_config(chain, secret) {
            Ok(config) => Ok(Self(Source::Given(Arc::new(config)))),
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                Err(TlsError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A development certificate, made and kept in `folder` when the service listens.
    #[must_use]
    pub const fn self_signed(folder: PathBuf) -> Self {
        Self(Source::SelfSigned(folder))
    }

    /// The configuration of the server, for these names where one has to be made.
    pub(crate) fn config(&self, names: &[String]) -> Result<Arc<ServerConfig>, TlsError> {
        match &self.0 {
            Source::Given(config) => Ok(Arc::clone(config)),
            Source::SelfSigned(folder) => {
                let (chain, key) = self_signed::kept_in(folder, names)?;
                Ok(Arc::new(server_config(chain, key)?))
            }
        }
    }
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The names that a development certificate is made for.
pub(crate) fn names(address: IpAddr, allowed_hosts: &[String]) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    if !address.is_unspecified() {
        names.push(address.to_string());
    }
    let hosts = allowed_hosts.iter().filter(|host| *host != "*");
    names.extend(hosts.map(|host| host.trim_matches(['[', ']']).to_ascii_lowercase()));
    // What is no name of the DNS could stand in no certificate, and no client could ask for it.
    names.retain(|name| ServerName::try_from(name.as_str()).is_ok());
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{TlsOptions, names};

    #[test]
    fn every_mistake_names_its_setting() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let made = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (one, other) = (made(), made());
        let certificate = write("a.crt", &one.cert.pem());
        let (key, foreign) = (
            write("a.key", &one.signing_key.serialize_pem()),
            write("b.key", &other.signing_key.serialize_pem()),
        );
        let (empty, missing) = (write("empty", "nothing"), folder.path().join("missing"));
        let check = |certificate: Option<&Path>, key: Option<&Path>, self_signed| {
            TlsOptions { certificate, key, self_signed }.check(7001, folder.path())
        };
        assert!(check(None, None, false).unwrap().is_none());
        assert!(check(None, None, true).unwrap().is_some());
        assert_eq!(check(Some(&certificate), Some(&key), false).unwrap().unwrap().port, 7001);
        for (certificate, key, self_signed, wanted) in [
            (Some(certificate.as_path()), None, false, "TLS_KEY_FILE: is missing"),
            (None, Some(key.as_path()), true, "TLS_CERT_FILE: is missing"),
            (Some(&certificate), Some(&key), true, "TLS_SELF_SIGNED: "),
            (Some(&certificate), Some(&foreign), false, "does not belong to"),
            (Some(&missing), Some(&key), false, "missing cannot be read"),
            (Some(&empty), Some(&key), false, "holds no certificate"),
            (Some(&certificate), Some(&empty), false, "holds no private key"),
        ] {
            let mistake = check(certificate, key, self_signed).unwrap_err();
            assert!(mistake.starts_with("TLS_") && mistake.contains(wanted), "{mistake}");
        }
    }

    #[test]
    fn a_development_certificate_names_loopback_and_the_allowed_hosts() {
        let hosts = ["Books.Example", "*", "[fe80::1]", "no name"].map(str::to_owned);
        assert_eq!(
            names([0, 0, 0, 0].into(), &hosts),
            ["127.0.0.1", "::1", "books.example", "fe80::1", "localhost"]
        );
    }
}
