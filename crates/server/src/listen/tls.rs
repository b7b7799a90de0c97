//! The server's certificate: read from files, and again when they change, so that a renewed one needs no restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use crate::settings::TlsFiles;

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The certificate cannot be read.
    #[error("the certificate {file} cannot be used: {problem}; give a PEM file with --tls-cert")]
    Cert {
        /// As it was given.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The key cannot be read, or is another certificate's.
    #[error(
        "the private key {file} cannot be used: {problem}; give the certificate's own as a PEM file with --tls-key"
    )]
    Key {
        /// As it was given.
        file: PathBuf,
        /// What is wrong with it. Nothing of the key.
        problem: String,
    },
}

/// The certificate that handshakes are made with.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsFiles,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Tls {
    pub(crate) fn new(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let current = RwLock::new(Arc::new(read(&files)?));
        Ok(Arc::new(Self { files, current }))
    }

    /// Reads the files again. After an error the certificate is what it was.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let read = Arc::new(read(&self.files)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    pub(crate) fn files(&self) -> [&Path; 2] {
        [&self.files.cert, &self.files.key]
    }

    /// TLS 1.2 and 1.3 with the library's defaults; HTTP/1.1 is what this server speaks.
    pub(crate) fn acceptor(self: &Arc<Self>) -> TlsAcceptor {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has what the default versions need")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

impl ResolvesServerCert for Tls {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let TlsFiles { cert, key } = files;
    let bad_cert = |problem: String| TlsError::Cert { file: cert.clone(), problem };
    let bad_key = |problem: String| TlsError::Key { file: key.clone(), problem };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| bad_cert(error.to_string()))?;
    if chain.is_empty() {
        return Err(bad_cert("there is none in it".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| bad_key(error.to_string()))?;
    CertifiedKey::from_der(chain, private, &ring::default_provider()).map_err(|error| match error {
        rustls::Error::InvalidCertificate(_) => bad_cert(error.to_string()),
        _ => bad_key(error.to_string()),
    })
}
