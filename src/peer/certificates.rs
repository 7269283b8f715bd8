//! A cluster's own certificates: one authority, and a certificate for each node.
//!
//! ```text
//! <ca dir>/ca.crt  ca.key                 the authority; the key is needed only to issue
//! <node dir>/ca.crt  node.crt  node.key   what a node runs with
//! ```
//!
//! Keys are ECDSA P-256, which all common tools read. Files have mode 0600 and directories made here
//! 0700; a directory that was there keeps its mode. The authority lives [`AUTHORITY_YEARS`], a
//! node's certificate [`NODE_YEARS`], both from a day before now, so that a slow clock does not
//! refuse them. A node's certificate serves both ends of a link, and names its node as
//! [`tls`](super::tls) says. An authority made by other tools works as well, as long as its key is
//! PKCS#8 PEM.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::tls::{SERVER_NAME, URI_PREFIX};
use crate::types::NodeName;

pub const CA_CERTIFICATE: &str = "ca.crt";
pub const CA_KEY: &str = "ca.key";
pub const NODE_CERTIFICATE: &str = "node.crt";
pub const NODE_KEY: &str = "node.key";

/// How long the authority's certificate is valid, in years of 365 days.
pub const AUTHORITY_YEARS: u64 = 10;
/// How long a node's certificate is valid, in years of 365 days.
pub const NODE_YEARS: u64 = 2;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MODE: u32 = 0o600;

/// Why a certificate was not made. Files that were there are as they were.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// Overwriting it would cut off every node that trusts it.
    #[error("{0} exists: there is an authority already; use it, or choose another directory")]
    Exists(PathBuf),
    #[error("{path} is not an authority's: {problem}")]
    NotAnAuthority { path: PathBuf, problem: String },
    #[error("making a certificate failed: {0}")]
    Making(#[from] rcgen::Error),
}

/// The authority that signs the certificates of one cluster's nodes.
#[derive(Debug)]
pub struct ClusterAuthority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl ClusterAuthority {
    /// Makes a new authority in `directory`, which is made if missing.
    ///
    /// # Errors
    /// When there is one already, or the files cannot be written.
    pub fn create(directory: &Path) -> Result<ClusterAuthority, CertificateError> {
        let key_file = directory.join(CA_KEY);
        let certificate_file = directory.join(CA_CERTIFICATE);
        if let Some(file) = [&key_file, &certificate_file].into_iter().find(|file| file.exists()) {
            return Err(CertificateError::Exists(file.clone()));
        }
        let key = KeyPair::generate()?;
        let params = authority_params();
        let certificate = params.self_signed(&key)?.pem();
        make_directory(directory)?;
        write(&key_file, &key.serialize_pem())?;
        write(&certificate_file, &certificate)?;
        Ok(ClusterAuthority { certificate, issuer: Issuer::new(params, key) })
    }

    /// Takes up the authority in `directory`.
    ///
    /// # Errors
    /// When its files cannot be read, or its certificate and key do not belong together.
    pub fn load(directory: &Path) -> Result<ClusterAuthority, CertificateError> {
        let certificate_file = directory.join(CA_CERTIFICATE);
        let key_file = directory.join(CA_KEY);
        let certificate = read(&certificate_file)?;
        let not_ours = |path: &Path, problem: String| CertificateError::NotAnAuthority {
            path: path.to_owned(),
            problem,
        };
        let key = KeyPair::from_pem(&read(&key_file)?).map_err(|e| not_ours(&key_file, e.to_string()))?;
        check_authority(&certificate, &key).map_err(|e| not_ours(&certificate_file, e))?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key)
            .map_err(|e| not_ours(&certificate_file, e.to_string()))?;
        Ok(ClusterAuthority { certificate, issuer })
    }

    /// Writes a new certificate and key for `node` into `directory`, in place of any there, and
    /// the authority's certificate beside them.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn issue(&self, node: &NodeName, directory: &Path) -> Result<(), CertificateError> {
        let key = KeyPair::generate()?;
        let certificate = node_params(node)?.signed_by(&key, &self.issuer)?.pem();
        make_directory(directory)?;
        write(&directory.join(NODE_KEY), &key.serialize_pem())?;
        write(&directory.join(NODE_CERTIFICATE), &certificate)?;
        write(&directory.join(CA_CERTIFICATE), &self.certificate)
    }
}

fn authority_params() -> CertificateParams {
    let mut params = params("Stockade cluster authority", AUTHORITY_YEARS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn node_params(node: &NodeName) -> Result<CertificateParams, rcgen::Error> {
    let mut params = params(&format!("Stockade node {node}"), NODE_YEARS);
    params.subject_alt_names = vec![
        SanType::DnsName(SERVER_NAME.try_into()?),
        SanType::URI(format!("{URI_PREFIX}{node}").try_into()?),
    ];
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn params(name: &str, years: u64) -> CertificateParams {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().min(LATEST_CLOCK);
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = epoch + now.saturating_sub(DAY);
    params.not_after = epoch + now + DAY * 365 * years as u32;
    params
}

/// Certificates cannot say dates after the year 9999; a clock that is past 7970 is wrong.
const LATEST_CLOCK: Duration = Duration::from_secs(6_000 * 365 * 24 * 60 * 60);

/// The certificate is an authority's, and `key` is its key.
fn check_authority(pem: &str, key: &KeyPair) -> Result<(), String> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| e.to_string())?;
    let (_, certificate) = X509Certificate::from_der(&der).map_err(|e| e.to_string())?;
    if !certificate.is_ca() {
        return Err("it may not sign certificates".to_owned());
    }
    if certificate.public_key().raw != key.subject_public_key_info() {
        return Err(format!("{CA_KEY} beside it is another certificate's key"));
    }
    Ok(())
}

fn make_directory(directory: &Path) -> Result<(), CertificateError> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|e| at(directory, e))
}

fn read(path: &Path) -> Result<String, CertificateError> {
    fs::read_to_string(path).map_err(|e| at(path, e))
}

/// Writes a file whole or not at all: under another name first, which then takes its place.
fn write(path: &Path, text: &str) -> Result<(), CertificateError> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    write_draft(&draft, text).map_err(|e| at(&draft, e))?;
    fs::rename(&draft, path).map_err(|e| at(path, e))
}

fn write_draft(draft: &Path, text: &str) -> io::Result<()> {
    // One left over from an interrupted run may have another mode.
    match fs::remove_file(draft) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn at(path: &Path, source: io::Error) -> CertificateError {
    CertificateError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::peer::{PeerError, TlsFiles, tls};

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn issued_files_load_for_their_node_only() {
        let dir = tempfile::tempdir().unwrap();
        let authority = ClusterAuthority::create(&dir.path().join("ca")).unwrap();
        let node = dir.path().join("eu-1");
        authority.issue(&name("eu-1"), &node).unwrap();

        let files = TlsFiles::in_directory(&node);
        let tls = tls::load(&files, &name("eu-1")).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        assert!((now + 729 * 86_400..now + 731 * 86_400).contains(&tls.expires));
        let other = tls::load(&files, &name("us-1")).err().unwrap();
        assert!(matches!(other, PeerError::OtherNode { .. }), "{other}");
    }

    #[test]
    fn what_is_made_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (ca, node) = (dir.path().join("new/ca"), dir.path().join("new/eu-1"));
        ClusterAuthority::create(&ca).unwrap().issue(&name("eu-1"), &node).unwrap();
        assert_eq!([mode(&ca), mode(&node)], [0o700; 2]);
        for file in fs::read_dir(&ca).unwrap().chain(fs::read_dir(&node).unwrap()) {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
        }
        assert_eq!(fs::read_dir(&node).unwrap().count(), 3);
    }

    #[test]
    fn an_authority_is_never_overwritten_and_can_be_taken_up() {
        let dir = tempfile::tempdir().unwrap();
        let first = ClusterAuthority::create(dir.path()).unwrap();
        assert!(matches!(ClusterAuthority::create(dir.path()), Err(CertificateError::Exists(_))));
        let again = ClusterAuthority::load(dir.path()).unwrap();
        assert_eq!(first.certificate, again.certificate);
        again.issue(&name("eu-1"), &dir.path().join("eu-1")).unwrap();
        // A certificate may be issued anew in place.
        again.issue(&name("eu-1"), &dir.path().join("eu-1")).unwrap();
        tls::load(&TlsFiles::in_directory(&dir.path().join("eu-1")), &name("eu-1")).unwrap();
    }

    #[test]
    fn another_authoritys_key_or_a_nodes_certificate_is_no_authority() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let authority = ClusterAuthority::create(&one).unwrap();
        ClusterAuthority::create(&two).unwrap();
        fs::copy(two.join(CA_KEY), one.join(CA_KEY)).unwrap();
        let error = ClusterAuthority::load(&one).unwrap_err().to_string();
        assert!(error.contains("another certificate's key"), "{error}");

        let node = dir.path().join("node");
        authority.issue(&name("eu-1"), &node).unwrap();
        fs::rename(node.join(NODE_CERTIFICATE), node.join(CA_CERTIFICATE)).unwrap();
        fs::rename(node.join(NODE_KEY), node.join(CA_KEY)).unwrap();
        let error = ClusterAuthority::load(&node).unwrap_err().to_string();
        assert!(error.contains("may not sign"), "{error}");
    }

    #[test]
    fn bad_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        ClusterAuthority::create(dir.path()).unwrap().issue(&name("eu-1"), dir.path()).unwrap();
        let good = TlsFiles::in_directory(dir.path());
        let empty = dir.path().join("empty");
        fs::write(&empty, "").unwrap();
        let missing = dir.path().join("missing");
        for bad in [&empty, &missing] {
            let cases = [
                TlsFiles { ca: bad.clone(), ..good.clone() },
                TlsFiles { cert: bad.clone(), ..good.clone() },
                TlsFiles { key: bad.clone(), ..good.clone() },
            ];
            for files in cases {
                let error = tls::load(&files, &name("eu-1")).err().unwrap().to_string();
                assert!(error.contains(bad.to_str().unwrap()), "{error}");
            }
        }
        let swapped = TlsFiles { key: dir.path().join(CA_KEY), ..good };
        assert!(matches!(tls::load(&swapped, &name("eu-1")), Err(PeerError::Tls { .. })));
    }
}
