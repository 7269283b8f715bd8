//! Who is at the other end: TLS 1.3 with certificates both ways, and the node's name in them.
//!
//! Only the cluster's own authority is trusted. A certificate names its node in one URI among its
//! alternative names, `stockade://node/<name>`; the name is read after the handshake and compared
//! with the peer table by the caller. (The DNS name is the same for all nodes: TLS wants one to ask
//! for, and it proves nothing.) The provider is named, never taken from the process, so that
//! another TLS user in the process cannot change it. Sessions are not resumed and no data is sent
//! early: each connection proves its node in full.

use std::path::Path;
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::TlsFiles;
use super::certificates::{CA_CERTIFICATE, NODE_CERTIFICATE, NODE_KEY};
use super::error::PeerError;
use crate::types::NodeName;

/// The DNS name in every node's certificate.
pub const SERVER_NAME: &str = "node.stockade.internal";
/// What stands before the node's name in the certificate's URI.
pub const URI_PREFIX: &str = "stockade://node/";
/// The protocol of the streams, newest first. See [`frame`](super::frame) for what it is.
pub const ALPN: &[&[u8]] = &[b"stockade/1"];

/// A certificate that names no node, or not clearly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("no certificate was shown")]
    None,
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    #[error("it has no URI {URI_PREFIX}<name> among its alternative names")]
    NoName,
    #[error("it names more than one node")]
    ManyNames,
    #[error("its URI names no node: a name {0}")]
    BadName(crate::types::InvalidName),
}

/// What both ends of the handshake need.
pub(super) struct Tls {
    pub client: Arc<QuicClientConfig>,
    pub server: Arc<QuicServerConfig>,
    /// When the own certificate expires, in seconds since 1970.
    pub expires: i64,
    /// Why the other nodes would not take the own certificate now, if they would not.
    pub distrust: Option<String>,
    pub prints: Prints,
}

/// Tells the files' contents apart without keeping the key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prints {
    pub ca: blake3::Hash,
    pub cert: blake3::Hash,
    pub key: blake3::Hash,
}

/// Reads the files and checks that the certificate is `me`'s.
pub(super) fn load(files: &TlsFiles, me: &NodeName) -> Result<Tls, PeerError> {
    let ca = read(&files.ca, CA)?;
    let cert = read(&files.cert, CERT)?;
    let key = read(&files.key, KEY)?;
    let prints = Prints { ca: blake3::hash(&ca), cert: blake3::hash(&cert), key: blake3::hash(&key) };
    let roots = Arc::new(roots(&ca, &files.ca)?);
    let chain = certificates(&cert, &files.cert, CERT)?;
    let leaf = chain.first().ok_or_else(|| no_certificate(&files.cert, CERT))?;
    let found = node_name(leaf).map_err(|source| PeerError::Identity { path: files.cert.clone(), source })?;
    if found != *me {
        return Err(PeerError::OtherNode { path: files.cert.clone(), found, me: me.clone() });
    }
    let expires = expiry(leaf);
    let distrust = distrust(&roots, &chain);
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|e| bad_file(&files.key, KEY, e))?;
    let (client, server) = configs(roots, chain, key).map_err(|problem| PeerError::Tls {
        cert: files.cert.clone(),
        key: files.key.clone(),
        problem,
    })?;
    Ok(Tls { client: Arc::new(client), server: Arc::new(server), expires, distrust, prints })
}

/// Why a node with these authorities would not take this certificate now, if it would not: it
/// is not signed by one of them, has expired, or is not yet valid.
fn distrust(roots: &Arc<RootCertStore>, chain: &[CertificateDer<'static>]) -> Option<String> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider()).build();
    let verifier = match verifier {
        Ok(verifier) => verifier,
        Err(error) => return Some(error.to_string()),
    };
    let (leaf, rest) = chain.split_first()?;
    verifier.verify_client_cert(leaf, rest, UnixTime::now()).err().map(|error| error.to_string())
}

type Configs = (QuicClientConfig, QuicServerConfig);

fn configs(
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Configs, String> {
    let provider = provider();
    let mut client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots.clone())
        .with_client_auth_cert(chain.clone(), key.clone_key())
        .map_err(|e| e.to_string())?;
    client.resumption = Resumption::disabled();
    client.alpn_protocols = ALPN.iter().map(|p| p.to_vec()).collect();

    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
        .build()
        .map_err(|e| e.to_string())?;
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| e.to_string())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|e| e.to_string())?;
    server.send_tls13_tickets = 0;
    server.alpn_protocols = ALPN.iter().map(|p| p.to_vec()).collect();

    let client = QuicClientConfig::try_from(client).map_err(|e| e.to_string())?;
    let server = QuicServerConfig::try_from(server).map_err(|e| e.to_string())?;
    Ok((client, server))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

const CA: &str = "the cluster's certificate";
const CERT: &str = "the node's certificate";
const KEY: &str = "the node's key";

fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, PeerError> {
    std::fs::read(path).map_err(|e| bad_file(path, what, e))
}

fn roots(pem: &[u8], path: &Path) -> Result<RootCertStore, PeerError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, path, CA)? {
        roots.add(certificate).map_err(|e| bad_file(path, CA, e))?;
    }
    if roots.is_empty() { Err(no_certificate(path, CA)) } else { Ok(roots) }
}

fn certificates(
    pem: &[u8],
    path: &Path,
    what: &'static str,
) -> Result<Vec<CertificateDer<'static>>, PeerError> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|e| bad_file(path, what, e))
}

fn bad_file(path: &Path, what: &'static str, problem: impl ToString) -> PeerError {
    PeerError::File { what, path: path.to_owned(), problem: problem.to_string() }
}

fn no_certificate(path: &Path, what: &'static str) -> PeerError {
    PeerError::File { what, path: path.to_owned(), problem: "no PEM certificate in it".to_owned() }
}

/// The node that a certificate (DER) names. Whoever signed it is not checked here.
///
/// # Errors
/// When it names none, or more than one.
pub fn node_name(certificate: &[u8]) -> Result<NodeName, IdentityError> {
    let (_, certificate) =
        X509Certificate::from_der(certificate).map_err(|e| IdentityError::Unreadable(e.to_string()))?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|e| IdentityError::Unreadable(e.to_string()))?
        .ok_or(IdentityError::NoName)?;
    let mut nodes = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix(URI_PREFIX),
        _ => None,
    });
    let name = nodes.next().ok_or(IdentityError::NoName)?;
    if nodes.next().is_some() {
        return Err(IdentityError::ManyNames);
    }
    NodeName::new(name).map_err(IdentityError::BadName)
}

/// The node at the other end of a connection whose handshake is over.
pub(super) fn peer_name(connection: &quinn::Connection) -> Result<NodeName, IdentityError> {
    let identity = connection.peer_identity().ok_or(IdentityError::None)?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().map_err(|_| IdentityError::None)?;
    node_name(chain.first().ok_or(IdentityError::None)?)
}

fn expiry(certificate: &[u8]) -> i64 {
    // A certificate whose name was read can be read.
    X509Certificate::from_der(certificate).map_or(0, |(_, c)| c.validity().not_after.timestamp())
}

impl TlsFiles {
    /// The files that [`certificates`](super::certificates) writes into a node's directory.
    pub fn in_directory(directory: &Path) -> TlsFiles {
        TlsFiles {
            ca: directory.join(CA_CERTIFICATE),
            cert: directory.join(NODE_CERTIFICATE),
            key: directory.join(NODE_KEY),
        }
    }
}
