//! A gateway's calls of a session's link that have a body or an answer of any size: passed on as they come, both ways, in
//! the memory of a few pieces.

use std::sync::Arc;
use std::time::Duration;

use agb_client::agb_core::http::Method;
use agb_client::{LinkAnswer, LinkCall};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::{Router, http};
use futures_util::{StreamExt, TryStreamExt};

use super::Shared;
use super::answer::Code;
use super::entry::Entry;
use super::error::ApiError;

/// What of a call the upstream is told. A client's own tokens, cookies and addresses are not its business.
const PASSED_ON: [&str; 7] =
    ["range", "if-range", "if-match", "if-none-match", "content-type", "upload-offset", "upload-complete"];

/// What of an answer a client is told. Whatever else the upstream says may concern the gateway alone.
const PASSED_BACK: [HeaderName; 8] = [
    header::ACCEPT_RANGES,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::RETRY_AFTER,
    HeaderName::from_static("x-request-id"),
];

/// How long a question about a watch may wait beside the [quiet time](crate::Limits): our own server lets it wait so long.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long packing or unpacking a folder may take beside the same: as long as the client waits for it.
const LONGEST_PACKING: Duration = Duration::from_secs(600);

/// The routes of files, which every method reaches: the upstream says which it takes.
pub(super) fn files() -> Router<Arc<Shared>> {
    ["", "/archive", "/watch", "/progress"].into_iter().fold(Router::new(), |router, below| {
        router.route(&format!("/link/{{session}}/files{below}"), axum::routing::any(pass_on))
    })
}

async fn pass_on(
    State(shared): State<Arc<Shared>>,
    Extension(Entry { session, grant }): Extension<Entry>,
    request: Request,
) -> Result<Response, ApiError> {
    let upstream = session.upstream().ok_or(ApiError::Defect)?;
    let method = match *request.method() {
        http::Method::GET | http::Method::HEAD => Method::Get,
        http::Method::POST => Method::Post,
        http::Method::PUT => Method::Put,
        http::Method::DELETE => Method::Delete,
        ref other => {
            return Err(ApiError::WrongMethod { method: other.clone(), path: request.uri().path().to_owned() });
        }
    };
    let target = below_link(request.uri()).ok_or_else(|| ApiError::NoRoute("such path".to_owned()))?;
    // A question about a watch waits, and keeps the session in use; a file is a use while it is passed on.
    let waits = method == Method::Get && request.uri().path().ends_with("/watch");
    let permit = if waits { Some(session.connect(&grant)?) } else { None };
    let activity = if waits { None } else { Some(session.begin(0)?) };
    session.touch();
    let more = match () {
        () if waits => LONGEST_WAIT,
        () if is_archive(request.uri()) => LONGEST_PACKING,
        () => Duration::ZERO,
    };
    let quiet = shared.config.limits.read_timeout + more;
    let headers = told(request.headers());
    let body = (method == Method::Put).then(|| {
        let pieces = request.into_body().into_data_stream();
        pieces.map_err(std::io::Error::other).boxed()
    });
    let answer = upstream.forward_to_link(LinkCall { method, target, headers, body, quiet }).await?;
    Ok(response(answer, (permit, activity)))
}

/// Whether a call packs a folder, or carries an archive that is unpacked at its end.
fn is_archive(uri: &http::Uri) -> bool {
    uri.path().ends_with("/archive")
        || uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "archive=tar"))
}

/// Path and query behind the link of the session.
fn below_link(uri: &http::Uri) -> Option<String> {
    let whole = uri.path_and_query()?.as_str();
    let (_, below) = whole.strip_prefix("/link/")?.split_once('/')?;
    Some(format!("/{below}"))
}

fn told(headers: &HeaderMap) -> Vec<(&'static str, Vec<u8>)> {
    let of = |name: &'static str| headers.get_all(name).into_iter().map(move |value| (name, value.as_bytes().to_vec()));
    PASSED_ON.into_iter().flat_map(of).collect()
}

/// The answer as it comes, holding something until its last byte has gone or the client has.
fn response(answer: LinkAnswer, held: impl Send + Sync + 'static) -> Response {
    let LinkAnswer { status, headers, body } = answer;
    let body = body.map_err(|error| {
        tracing::debug!(%error, "the upstream cut an answer");
        std::io::Error::other(error)
    });
    let mut response = Response::new(Body::from_stream(body.inspect(move |_| {
        let _ = &held;
    })));
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.status_mut() = status;
    let is_answer = status.is_success() || status == StatusCode::NOT_MODIFIED;
    response.extensions_mut().insert(Code(if is_answer { "ok" } else { "UpstreamRefused" }));
    for (name, value) in headers {
        let name = PASSED_BACK.into_iter().find(|known| known.as_str() == name);
        if let (Some(name), Ok(value)) = (name, HeaderValue::from_bytes(&value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_the_link_stays_as_it_came() {
        let below = |text: &'static str| below_link(&http::Uri::from_static(text));
        assert_eq!(below("/link/s-1/files?path=%2Fa%20b").as_deref(), Some("/files?path=%2Fa%20b"));
        assert_eq!(below("http://h/link/s-1/files/watch?watch=w").as_deref(), Some("/files/watch?watch=w"));
        assert_eq!(below("/link/s-1"), None);
    }

    #[test]
    fn tokens_are_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("x-access-token", "t"), ("authorization", "Bearer k"), ("cookie", "c"), ("range", "bytes=1-")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        assert_eq!(told(&headers), [("range", b"bytes=1-".to_vec())]);
    }
}
