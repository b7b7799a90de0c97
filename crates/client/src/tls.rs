//! TLS for both transports: rustls with *ring*, and the certificates that the machine trusts.

use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, ConfigBuilder, WantsVerifier};
use rustls_platform_verifier::BuilderVerifierExt;

/// The one configuration of this process. Made at the first `https:` or `wss:` connection, since reading the machine's
/// certificates takes milliseconds and a machine may have none.
///
/// # Errors
/// What is wrong with the machine's certificates, for a person.
pub(crate) fn config() -> Result<Arc<ClientConfig>, String> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    CONFIG.get_or_init(|| make().map(Arc::new).map_err(|error| message(&error))).clone()
}

/// For connections that are not encrypted: reqwest wants a configuration all the same. It trusts nobody.
pub(crate) fn unused() -> Result<ClientConfig, String> {
    let builder = builder().map_err(|error| message(&error))?;
    Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

fn make() -> Result<ClientConfig, rustls::Error> {
    Ok(builder()?.with_platform_verifier()?.with_no_client_auth())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
}

fn message(error: &rustls::Error) -> String {
    format!("TLS cannot be set up: {error}; install the system's CA certificates (Debian: ca-certificates)")
}

#[cfg(test)]
mod tests {
    #[test]
    fn is_made_once() {
        let (first, second) = (super::config(), super::config());
        match (first, second) {
            (Ok(first), Ok(second)) => assert!(std::sync::Arc::ptr_eq(&first, &second)),
            (Err(first), Err(second)) => assert_eq!(first, second),
            _ => panic!("two answers"),
        }
    }
}
