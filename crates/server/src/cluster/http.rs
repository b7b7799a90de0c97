//! HTTP calls to the registry and to other servers: a connection each, so that none is half dead.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::http::uri::Authority;
use axum::http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::ClusterError;

/// 16 MiB: the records of ten thousand servers.
const MOST_ANSWER: usize = 16 << 20;

/// Makes HTTP/1.1 calls, with or without TLS as the URL says.
pub(crate) struct HttpClient {
    tls: TlsConnector,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// No process listens there.
    #[error("the connection was refused")]
    Refused,
    #[error("no connection: {0}")]
    NoConnection(String),
    #[error("no TLS: {0}")]
    NoTls(String),
    #[error("the answer broke off: {0}")]
    Broken(String),
}

impl HttpClient {
    /// Trusts the authorities in this file; without one the public ones.
    pub(crate) fn new(authorities: Option<&Path>, flag: &'static str) -> Result<Self, ClusterError> {
        let mut roots = RootCertStore::empty();
        match authorities {
            None => roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned()),
            Some(file) => {
                let wrong = |problem: String| ClusterError::Authority { flag, file: file.to_owned(), problem };
                let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
                let read = read.map_err(|error| wrong(error.to_string()))?;
                if read.is_empty() {
                    return Err(wrong("there is no certificate in it".to_owned()));
                }
                roots.add_parsable_certificates(read)
            }
        };
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has what the default versions need")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// What it trusts.
    pub(crate) fn tls_config(&self) -> ClientConfig {
        (**self.tls.config()).clone()
    }

    /// Sends a request to the server at `address` (scheme, host, port); its URI is the path. The connection lives as long as
    /// the answer's body, or what it was upgraded to. No time limit: that is the caller's.
    pub(crate) async fn send(&self, address: &str, request: Request<Body>) -> Result<Response<Incoming>, HttpError> {
        let target = Target::of(address).ok_or_else(|| HttpError::NoConnection(format!("{address:?} is not a URL")))?;
        let socket = target.connect().await?;
        if !target.is_https {
            return exchange(socket, request).await;
        }
        let name = ServerName::try_from(target.host.clone()).map_err(|error| HttpError::NoTls(error.to_string()))?;
        let socket = self.tls.connect(name, socket).await.map_err(|error| HttpError::NoTls(error.to_string()))?;
        exchange(socket, request).await
    }

    /// A short call with an answer of 16 MiB at most.
    pub(crate) async fn call(&self, address: &str, request: Request<Body>) -> Result<(StatusCode, Bytes), HttpError> {
        self.call_up_to(MOST_ANSWER, address, request).await
    }

    /// A short call with an answer of so many bytes at most. A longer one is broken.
    pub(crate) async fn call_up_to(
        &self,
        most: usize,
        address: &str,
        mut request: Request<Body>,
    ) -> Result<(StatusCode, Bytes), HttpError> {
        let host = address.split_once("://").map_or(address, |(_, host)| host);
        if let Ok(host) = host.parse() {
            request.headers_mut().entry(header::HOST).or_insert(host);
        }
        let response = self.send(address, request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), most).collect().await;
        let body = body.map_err(|error| HttpError::Broken(error.to_string()))?;
        Ok((status, body.to_bytes()))
    }
}

async fn exchange(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Body>,
) -> Result<Response<Incoming>, HttpError> {
    let broken = |error: hyper::Error| HttpError::Broken(error.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(broken)?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to another server broke");
        }
    });
    sender.send_request(request).await.map_err(broken)
}

struct Target {
    is_https: bool,
    host: String,
    port: u16,
}

impl Target {
    fn of(address: &str) -> Option<Self> {
        let uri: Uri = address.parse().ok()?;
        let is_https = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let authority: &Authority = uri.authority()?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { is_https, host, port: authority.port_u16().unwrap_or(if is_https { 443 } else { 80 }) })
    }

    async fn connect(&self) -> Result<TcpStream, HttpError> {
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::ConnectionRefused => HttpError::Refused,
            _ => HttpError::NoConnection(error.to_string()),
        })?;
        let _ = socket.set_nodelay(true); // slower without, not wrong
        Ok(socket)
    }
}

/// The IP address in a server's URL; `None` for names.
pub(super) fn host_address(url: &str) -> Option<IpAddr> {
    let host = url.split_once("://")?.1;
    if let Ok(address) = host.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_from_urls() {
        let of = |url| Target::of(url).map(|target| (target.is_https, target.host, target.port));
        assert_eq!(of("http://10.0.0.7:8080"), Some((false, "10.0.0.7".into(), 8080)));
        assert_eq!(of("https://a.example"), Some((true, "a.example".into(), 443)));
        assert_eq!(of("http://[::1]:1"), Some((false, "::1".into(), 1)));
        for bad in ["", "ftp://a", "a:1", "http://"] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(host_address("http://[::1]:80"), Some("::1".parse().expect("an address")));
        assert_eq!(host_address("http://a:80"), None);
    }
}
