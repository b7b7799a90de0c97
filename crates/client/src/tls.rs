//! TLS for all transports: rustls with *ring*, and the certificates that are trusted.
//!
//! Trusted are the platform's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` take their place), those of the file that
//! `NODE_EXTRA_CA_CERTS` names, and those that the client was given. Where the platform has none, and in Node, whose own
//! list it is, Mozilla's authorities are trusted too. `NODE_TLS_REJECT_UNAUTHORIZED=0` is refused in words.

use std::io;
use std::sync::{Arc, OnceLock};

use agb_core::DisconnectReason;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ConfigBuilder, WantsVerifier};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::wire::{Wire, broken};

/// What a client trusts.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    /// Certificates of authorities, PEM.
    authorities: Vec<String>,
    /// Mozilla's list as well.
    with_bundled: bool,
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl Trust {
    pub(crate) fn new(authorities: Vec<String>, with_bundled: bool) -> Self {
        Self { authorities, with_bundled, config: OnceLock::new() }
    }

    /// Whether what was given as a certificate is one.
    pub(crate) fn check(authorities: &[String]) -> Result<(), String> {
        for pem in authorities {
            parse(pem.as_bytes())?;
        }
        Ok(())
    }

    /// Made at the first `https:` or `wss:` connection, since reading the machine's certificates takes milliseconds and
    /// a machine may have none. Clients without certificates of their own share one for the process.
    ///
    /// # Errors
    /// What is wrong with the certificates, for a person.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, String> {
        static SHARED: [OnceLock<Result<Arc<ClientConfig>, String>>; 2] = [const { OnceLock::new() }; 2];
        let cell = match &*self.authorities {
            [] => &SHARED[usize::from(self.with_bundled)],
            _ => &self.config,
        };
        cell.get_or_init(|| self.make().map(Arc::new)).clone()
    }

    fn make(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = |authorities| Verifier::new_with_extra_roots(authorities, Arc::clone(&provider));
        // Those of the machine alone: beside others nothing says that it has none, as a slim image has not.
        let machine = if self.with_bundled { None } else { verifier(Vec::new()).ok() };
        let authorities = self.authorities(machine.is_none())?;
        let verifier = match machine {
            Some(verifier) if authorities.is_empty() => verifier,
            _ => verifier(authorities).map_err(|error| message(&error))?,
        };
        let builder = builder().map_err(|error| message(&error))?;
        Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
    }

    /// What is trusted beside the machine's own authorities.
    fn authorities(&self, with_bundled: bool) -> Result<Vec<CertificateDer<'static>>, String> {
        let mut authorities = Vec::new();
        for pem in &self.authorities {
            authorities.extend(parse(pem.as_bytes())?);
        }
        authorities.extend(extra_of_node());
        if with_bundled {
            authorities.extend_from_slice(webpki_root_certs::TLS_SERVER_ROOT_CERTS);
        }
        Ok(authorities)
    }

    /// TLS over this connection.
    pub(crate) async fn connect(&self, host: &str, tcp: TcpStream) -> Result<Box<dyn Wire>, DisconnectReason> {
        self.connect_over(host, Box::new(tcp)).await
    }

    /// TLS over this connection, which may itself lead through a proxy.
    pub(crate) async fn connect_over(
        &self,
        host: &str,
        wire: Box<dyn Wire>,
    ) -> Result<Box<dyn Wire>, DisconnectReason> {
        let connector = TlsConnector::from(self.config().map_err(broken)?);
        let server = ServerName::try_from(host.to_owned())
            .map_err(|_| broken(format!("{host} is not a name that a certificate can be for")))?;
        let connected = connector.connect(server, wire).await;
        let connected = connected.map_err(|error| match problem(&error) {
            Some(problem) => DisconnectReason::Untrusted(format!("{host}: {problem}")),
            None if is_plain(&error) => broken(format!("{host}: {NOT_TLS}")),
            None => broken(format!("TLS with {host} failed: {error}")),
        })?;
        Ok(Box::new(connected))
    }
}

/// For connections that are not encrypted: reqwest wants a configuration all the same. It trusts nobody.
pub(crate) fn unused() -> Result<ClientConfig, String> {
    let builder = builder().map_err(|error| message(&error))?;
    Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
}

fn message(error: &rustls::Error) -> String {
    format!("TLS cannot be set up: {error}; install the system's CA certificates (Debian: ca-certificates)")
}

fn parse(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err("a certificate of an authority is not PEM (`-----BEGIN CERTIFICATE-----`)".into()),
    }
}

/// The authorities that Node trusts beside its own. As in Node, a file that cannot be read is told of and left out.
fn extra_of_node() -> Vec<CertificateDer<'static>> {
    let Some(path) = std::env::var_os("NODE_EXTRA_CA_CERTS").filter(|path| !path.is_empty()) else { return Vec::new() };
    let read = std::fs::read(&path).map_err(|error| error.to_string()).and_then(|pem| parse(&pem));
    read.unwrap_or_else(|reason| {
        tracing::warn!(target: "agb::connection", reason, "the certificates of NODE_EXTRA_CA_CERTS are left out");
        Vec::new()
    })
}

/// What to say of a server that answers a TLS handshake with something else.
pub(crate) const NOT_TLS: &str = "the server does not speak TLS: write `http://` in front of its name";

/// What is wrong with a server's certificate and what to do, if that is why a connection failed.
pub(crate) fn problem(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    match find(error)? {
        rustls::Error::InvalidCertificate(error) => Some(describe(error)),
        _ => None,
    }
}

/// Whether the other side does not speak TLS.
pub(crate) fn is_plain(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(find(error), Some(rustls::Error::InvalidMessage(_)))
}

/// The TLS library's own error, however deep: an I/O error shows the source of what it wraps, not the thing itself.
fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(own) = error.downcast_ref() {
            return Some(own);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn describe(error: &CertificateError) -> String {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
        UnknownIssuer,
    };
    let (reason, remedy) = match error {
        UnknownIssuer => (
            "its certificate is from an authority that is not trusted here (UnknownIssuer)".into(),
            "trust the authority: `config.ca`, NODE_EXTRA_CA_CERTS, SSL_CERT_FILE or the system's store",
        ),
        Expired | ExpiredContext { .. } => {
            ("its certificate has expired".into(), "renew it, or check this machine's clock")
        }
        NotValidYet | NotValidYetContext { .. } => {
            ("its certificate is not valid yet".into(), "check this machine's clock")
        }
        NotValidForName | NotValidForNameContext { .. } => {
            ("its certificate is for another name".into(), "use a name that the certificate is for, or have it renewed")
        }
        other => (format!("its certificate is refused: {other}"), "have it replaced, or trust its authority"),
    };
    let is_off = std::env::var_os("NODE_TLS_REJECT_UNAUTHORIZED").is_some_and(|value| value == "0");
    let note = if is_off { "; NODE_TLS_REJECT_UNAUTHORIZED=0 is not honoured here" } else { "" };
    format!("{reason}: {remedy}{note}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_trusts_the_same_is_made_once() {
        let (first, second) = (Trust::default().config(), Trust::default().config());
        match (first, second) {
            (Ok(first), Ok(second)) => assert!(Arc::ptr_eq(&first, &second)),
            (Err(first), Err(second)) => assert_eq!(first, second),
            _ => panic!("two answers"),
        }
        assert!(Trust::new(vec![], true).config().is_ok(), "a machine without certificates has the bundled ones");
    }

    #[test]
    fn the_bundled_ones_stand_beside_those_that_were_given() {
        let key = rcgen::generate_simple_self_signed(["h".to_owned()]).expect("a certificate");
        let trust = Trust::new(vec![key.cert.pem()], false);
        let count = |with_bundled| trust.authorities(with_bundled).expect("it is one").len();
        assert_eq!(count(true), count(false) + webpki_root_certs::TLS_SERVER_ROOT_CERTS.len());
    }

    #[test]
    fn a_certificate_that_is_none_is_refused() {
        for pem in ["", "x", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            assert!(Trust::check(&[pem.to_owned()]).is_err(), "{pem}");
        }
        let key = rcgen::generate_simple_self_signed(["h".to_owned()]).expect("a certificate");
        assert_eq!(Trust::check(&[key.cert.pem()]), Ok(()));
        assert!(Trust::new(vec![key.cert.pem()], false).config().is_ok());
    }

    #[test]
    fn the_problem_is_found_however_deep() {
        let error = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error));
        assert!(problem(&error).expect("it is found").contains("UnknownIssuer"));
        assert_eq!(problem(&io::Error::other("x")), None);
    }
}
