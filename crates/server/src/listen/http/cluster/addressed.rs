//! Which server a request is for, as its path says it.

use std::borrow::Cow;

use axum::extract::Request;
use axum::http::Method;

use super::super::api_key::key_of;
use super::super::{Shared, entry, proxy};
use crate::cluster::Incarnation;

/// What a request's path says about the server that it is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Addressed {
    /// Nothing: any server answers it.
    Any,
    /// It is for this one.
    Server { owner: Incarnation, kind: Kind },
    /// The parameters of a call with the API key say it.
    ByParameters,
}

/// What is passed on, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A call with the API key.
    Call,
    /// A WebSocket of a session.
    Socket,
    /// A call with a session's token.
    Link,
    /// A request to a port of a session.
    Port,
    /// A file by a signed URL.
    File,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Socket => "socket",
            Self::Link => "link",
            Self::Port => "port",
            Self::File => "file",
        }
    }
}

/// The paths of calls with the API key begin with one of these.
const CALLS: [&str; 4] = ["/mcp", "/sdk/", "/internet/", "/browser/"];

/// Which server a request is for, links excepted. Without any credential it is for any: its answer is a refusal that
/// says nothing of sessions.
pub(super) fn addressed(shared: &Shared, request: &Request) -> Addressed {
    let path = request.uri().path();
    if let Some(id) = first_segment(path, "/ws/") {
        return by_session(shared, request, &id, Kind::Socket);
    }
    if let Some(id) = first_segment(path, "/link/") {
        return by_session(shared, request, &id, Kind::Link);
    }
    if let Some(id) = first_segment(path, "/context-files/") {
        let owner = Incarnation::of_context(&id).or_else(|| shared.contexts_at().map(|peer| peer.inc));
        return owner.map_or(Addressed::Any, |owner| Addressed::Server { owner, kind: Kind::File });
    }
    let is_call = CALLS.iter().any(|prefix| path.starts_with(prefix)) && request.method() != Method::OPTIONS;
    // Nothing of a call but its head is read before its credential has been checked.
    let has_key = is_call && key_of(request).is_some_and(|key| shared.keys.find(key).is_some());
    if has_key { Addressed::ByParameters } else { Addressed::Any }
}

/// The server whose link a request is for.
pub(super) fn of_link(shared: &Shared, request: &Request) -> Option<Incarnation> {
    Incarnation::of_name(&proxy::link_name(shared, request)?)
}

fn by_session(shared: &Shared, request: &Request, id: &str, kind: Kind) -> Addressed {
    if request.method() == Method::OPTIONS || entry::token_of(shared, request.headers()).is_err() {
        return Addressed::Any;
    }
    Incarnation::of_session(id).map_or(Addressed::Any, |owner| Addressed::Server { owner, kind })
}

/// What follows the prefix, up to the next slash, as the routes see it.
fn first_segment<'a>(path: &'a str, prefix: &str) -> Option<Cow<'a, str>> {
    let segment = path.strip_prefix(prefix)?.split('/').next()?;
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    // A form's value: the same escapes, and a plus sign of its own meaning.
    let form = format!("x={}", segment.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(form.as_bytes()).next().map(|(_, value)| Cow::Owned(value.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_read_as_the_routes_read_them() {
        let session = |path| first_segment(path, "/ws/").map(Cow::into_owned);
        assert_eq!(session("/ws/session-1").as_deref(), Some("session-1"));
        assert_eq!(session("/ws/%73ession-1/x").as_deref(), Some("session-1"));
        assert_eq!(session("/ws/a%2Fb+c%26&d").as_deref(), Some("a/b+c&&d"));
        assert_eq!(session("/ws/").as_deref(), Some(""));
        assert_eq!(session("/link/session-1"), None);
    }
}
