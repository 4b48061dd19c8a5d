//! The development certificate: made once, kept with a private key of mode 0600, and made anew when
//! it has expired or does not name a host under which the service is reached.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use super::TlsError;

const CERTIFICATE: &str = "tls-development.crt";
const KEY: &str = "tls-development.key";
/// Longer ones are refused by Apple's clients.
const VALID_FOR: Duration = Duration::from_secs(397 * DAY);
/// One that ends sooner than this is replaced already at a start.
const RENEWED_BEFORE: Duration = Duration::from_secs(14 * DAY);
const DAY: u64 = 24 * 3_600;

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The certificate kept in `folder` if it is still good for `names`, else a new one.
pub(super) fn kept_in(folder: &Path, names: &[String]) -> Result<Identity, TlsError> {
    if let Some(kept) = kept(folder, names) {
        return Ok(kept);
    }
    let now = SystemTime::now();
    let (certificate, key) = make(names, now - Duration::from_secs(DAY), now + VALID_FOR)?;
    fs::create_dir_all(folder).map_err(|error| TlsError::Kept(folder.to_owned(), error))?;
    // The key first: a crash between the two leaves a pair that does not fit, which is made anew.
    write(folder, KEY, &key, 0o600)?;
    write(folder, CERTIFICATE, &certificate, 0o644)?;
    tracing::info!(folder = %folder.display(), "made a development certificate; browsers will warn of it");
    kept(folder, names).ok_or_else(|| {
        TlsError::Kept(folder.join(CERTIFICATE), io::Error::other("it is not what was written"))
    })
}

/// What is kept, if it fits together, names all of `names`, and lasts.
fn kept(folder: &Path, names: &[String]) -> Option<Identity> {
    let certificate = CertificateDer::from_pem_file(folder.join(CERTIFICATE)).ok()?;
    let key = PrivateKeyDer::from_pem_file(folder.join(KEY)).ok()?;
    let soon = UnixTime::since_unix_epoch(
        UnixTime::now().as_secs().checked_add(RENEWED_BEFORE.as_secs()).map(Duration::from_secs)?,
    );
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).ok()?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()?;
    let good = |name: &String| {
        ServerName::try_from(name.clone())
            .is_ok_and(|name| verifier.verify_server_cert(&certificate, &[], &name, &[], soon).is_ok())
    };
    let fits = super::server_config(vec![certificate.clone()], key.clone_key()).is_ok();
    (fits && names.iter().all(good)).then(|| (vec![certificate.clone()], key))
}

/// Certificate and key as PEM.
fn make(names: &[String], from: SystemTime, to: SystemTime) -> Result<(String, String), TlsError> {
    let mut parameters = CertificateParams::new(names.to_vec())?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "bookstore development");
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.not_before = from.into();
    parameters.not_after = to.into();
    let key = KeyPair::generate()?;
    Ok((parameters.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// Writes beside and renames, so that nobody reads half a file.
fn write(folder: &Path, name: &str, text: &str, mode: u32) -> Result<(), TlsError> {
    let (file, beside) = (folder.join(name), folder.join(format!("{name}.new")));
    let written = match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&beside)
            .and_then(|mut out| out.write_all(text.as_bytes()).and_then(|()| out.sync_all()))
            .and_then(|()| fs::rename(&beside, &file)),
    };
    written.map_err(|error| TlsError::Kept(file, error))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, SystemTime};

    use super::{CERTIFICATE, DAY, KEY, kept_in, make};

    #[test]
    fn it_is_private_kept_and_made_anew_when_it_has_expired_or_lacks_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let first = kept_in(&path, &names).unwrap().0;
        assert_eq!(path.join(KEY).metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(kept_in(&path, &names).unwrap().0, first, "the same one again");
        assert_eq!(kept_in(&path, &names[..1]).unwrap().0, first, "more names than needed do no harm");

        let more = [names.as_slice(), &["books.example".to_owned()]].concat();
        let second = kept_in(&path, &more).unwrap().0;
        assert_ne!(second, first, "a name was lacking");

        let now = SystemTime::now();
        let day = |days: u64| Duration::from_secs(days * DAY);
        let (certificate, key) = make(&more, now - day(400), now - day(3)).unwrap();
        fs::write(path.join(CERTIFICATE), &certificate).unwrap();
        fs::write(path.join(KEY), &key).unwrap();
        let third = kept_in(&path, &more).unwrap().0;
        assert_ne!(fs::read_to_string(path.join(CERTIFICATE)).unwrap(), certificate, "it had expired");

        fs::write(path.join(KEY), "no key").unwrap();
        assert_ne!(kept_in(&path, &more).unwrap().0, third, "the key was gone");
        assert_eq!(path.join(KEY).metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
