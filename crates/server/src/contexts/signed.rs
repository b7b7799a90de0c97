//! Signed URLs: each opens one file of one context for one method until a time.

use std::fmt;
use std::time::{Duration, SystemTime};

use data_encoding::BASE64URL_NOPAD;
use form_urlencoded::Serializer;
use ring::hmac;
use thiserror::Error;

use super::ContextPath;
use crate::unix_time::unix_seconds;

/// Signs URLs and checks them. The key is made when the server starts, so a URL does not outlive its server.
pub(crate) struct UrlSigner {
    key: hmac::Key,
    lasts: Duration,
}

/// What a signed URL is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignedMethod {
    Get,
    Put,
}

impl SignedMethod {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
        }
    }
}

/// Why a signed URL opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum BadUrl {
    #[error("the URL is not signed by this server for this file and method: ask for a new one")]
    Signature,
    #[error("the URL has expired: ask for a new one")]
    Expired,
}

/// The path of signed URLs; the context's id follows.
pub(crate) const SIGNED_PATH: &str = "/context-files";

impl UrlSigner {
    /// A signer with a key of its own.
    pub(crate) fn new(lasts: Duration) -> Self {
        let mut key = [0_u8; 32];
        getrandom::fill(&mut key).expect("the operating system gives random bytes");
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key), lasts }
    }

    /// The path and query of a URL, and when it expires, in seconds since the Unix epoch.
    pub(crate) fn sign(
        &self,
        method: SignedMethod,
        context: &str,
        path: &ContextPath,
        now: SystemTime,
    ) -> (String, u64) {
        let expires = unix_seconds(now + self.lasts);
        let shown = path.shown();
        let tag = hmac::sign(&self.key, &message(method, context, &shown, expires));
        let query = Serializer::new(String::new())
            .append_pair("path", &shown)
            .append_pair("expires", &expires.to_string())
            .append_pair("signature", &BASE64URL_NOPAD.encode(tag.as_ref()))
            .finish();
        (format!("{SIGNED_PATH}/{context}?{query}"), expires)
    }

    /// Checks what a URL says. The signature comes first: a forged URL learns nothing from the rest.
    pub(crate) fn check(
        &self,
        method: SignedMethod,
        context: &str,
        url: &SignedQuery,
        now: SystemTime,
    ) -> Result<(), BadUrl> {
        let tag = BASE64URL_NOPAD.decode(url.signature.as_bytes()).map_err(|_| BadUrl::Signature)?;
        let message = message(method, context, &url.path, url.expires);
        hmac::verify(&self.key, &message, &tag).map_err(|_| BadUrl::Signature)?;
        if unix_seconds(now) < url.expires { Ok(()) } else { Err(BadUrl::Expired) }
    }
}

impl fmt::Debug for UrlSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlSigner").field("lasts", &self.lasts).finish_non_exhaustive()
    }
}

/// The query of a signed URL.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct SignedQuery {
    pub(crate) path: String,
    expires: u64,
    signature: String,
}

/// What is signed. Only the path may contain a line end, and it comes last: no two URLs have the same text.
fn message(method: SignedMethod, context: &str, path: &str, expires: u64) -> Vec<u8> {
    format!("{}\n{context}\n{expires}\n{path}", method.as_str()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn query(url: &str) -> SignedQuery {
        let (_, query) = url.split_once('?').expect("a query");
        let value = |name| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find(|(key, _)| key == name).expect("it is there").1.into_owned()
        };
        SignedQuery {
            path: value("path"),
            expires: value("expires").parse().expect("a number"),
            signature: value("signature"),
        }
    }

    #[test]
    fn a_url_opens_one_file_for_one_method_for_a_while() {
        let (signer, now) = (UrlSigner::new(HOUR), SystemTime::now());
        let path = ContextPath::of_file("/tmp/a b&c=é.txt").expect("a path");
        let (url, expires) = signer.sign(SignedMethod::Put, "ctx-1", &path, now);
        assert!(url.starts_with("/context-files/ctx-1?path=%2Ftmp%2Fa") && !url.contains(' '), "{url}");
        assert_eq!(expires, unix_seconds(now) + 3600);
        let good = query(&url);
        assert_eq!(good.path, "/tmp/a b&c=é.txt");
        assert_eq!(signer.check(SignedMethod::Put, "ctx-1", &good, now), Ok(()));
        assert_eq!(signer.check(SignedMethod::Put, "ctx-1", &good, now + HOUR), Err(BadUrl::Expired));
        let bad = [
            (SignedMethod::Get, "ctx-1", good.clone()),
            (SignedMethod::Put, "ctx-2", good.clone()),
            (SignedMethod::Put, "ctx-1", SignedQuery { path: "/tmp/b".into(), ..good.clone() }),
            (SignedMethod::Put, "ctx-1", SignedQuery { expires: expires + 1, ..good.clone() }),
            (SignedMethod::Put, "ctx-1", SignedQuery { signature: String::new(), ..good.clone() }),
        ];
        for (method, context, query) in bad {
            assert_eq!(signer.check(method, context, &query, now), Err(BadUrl::Signature), "{query:?}");
        }
        assert_eq!(UrlSigner::new(HOUR).check(SignedMethod::Put, "ctx-1", &good, now), Err(BadUrl::Signature));
    }
}
