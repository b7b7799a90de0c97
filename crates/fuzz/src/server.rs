//! What clients send to the server.

use std::cell::RefCell;

use agb_protocol::service::{Request as Asked, parse_request};
use agb_server::{Config, Server};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::ServiceExt;

const KEY: &str = "the key of this target";

/// Routes that run nothing, whatever the body says: the session that they would need has a name that nobody guesses.
const ROUTES: [(&str, &str); 16] = [
    ("POST", "/mcp/createSession"),
    ("POST", "/mcp/getSession"),
    ("POST", "/mcp/getSessionInfo"),
    ("POST", "/mcp/releaseSession"),
    ("POST", "/mcp/releaseSessionAsync"),
    ("POST", "/mcp/refreshSessionIdleTime"),
    ("POST", "/mcp/getMcpResource"),
    ("POST", "/mcp/listTools"),
    ("POST", "/mcp"),
    ("GET", "/sdk/ListSession"),
    ("POST", "/sdk/SetLabel"),
    ("GET", "/sdk/GetLabel"),
    ("GET", "/internet/getLink"),
    ("POST", "/link/x/callTool"),
    ("POST", "/link/x/browserAccess"),
    ("GET", "/ws/x"),
];

struct Subject {
    runtime: Runtime,
    router: Router,
    _server: Server,
}

impl Subject {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _inside = runtime.enter();
        let mut config = Config::new(KEY.into());
        config.limits.max_sessions = 3;
        (config.limits.calls_per_second, config.limits.calls_burst) = (u32::MAX, u32::MAX);
        let server = Server::new(config).expect("a server");
        let router = server.router();
        drop(_inside);
        Self { runtime, router, _server: server }
    }
}

thread_local! {
    static SUBJECT: RefCell<Option<Subject>> = const { RefCell::new(None) };
}

/// The first byte chooses the route; the first line after it is the query, in as far as it can be one; the rest is the
/// body.
pub(crate) fn http(bytes: &[u8]) {
    let Some((&route, rest)) = bytes.split_first() else { return };
    let (method, path) = ROUTES[usize::from(route) % ROUTES.len()];
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let query = String::from_utf8_lossy(&rest[..end]).into_owned();
    let body = rest[end..].to_vec();
    let uri = format!("{path}?{query}");
    let request = Request::builder().method(method).header("host", "localhost").header("x-access-token", &query);
    let request = request.header("authorization", format!("Bearer {KEY}"));
    // What is no URI or header never comes as far as our routes.
    let Ok(request) = request.uri(uri).body(Body::from(body)) else { return };
    SUBJECT.with_borrow_mut(|subject| {
        let subject = subject.get_or_insert_with(Subject::new);
        let router = subject.router.clone();
        let (status, bytes) = subject.runtime.block_on(async {
            let response = router.oneshot(request).await.expect("it never fails");
            let status = response.status().as_u16();
            (status, response.into_body().collect().await.expect("a body").to_bytes())
        });
        let envelope: Value = serde_json::from_slice(&bytes).expect("every answer is JSON");
        assert_eq!(envelope["httpStatusCode"], status, "{envelope}");
        assert_eq!(envelope["success"], status == 200, "{envelope}");
        assert_ne!(envelope["code"], "InternalError", "{envelope}");
        assert!(!String::from_utf8_lossy(&bytes).contains(KEY), "the key is in {envelope}");
    });
}

/// Reads a client's message.
pub(crate) fn request(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(request) = parse_request(text) else { return };
    // Ours takes a little more than RFC 8259 does, such as control characters in strings.
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    assert!(value.is_object(), "a request is an object");
    let anew = parse_request(&value.to_string()).expect("it was one before");
    assert_eq!(without_time(anew), without_time(request), "written anew, it is the same");
}

/// A number of a thousand digits is not written as it was read, to the last of them.
fn without_time(mut request: Asked) -> Asked {
    if let Asked::Start { start, .. } = &mut request {
        start.timeout_s = None;
    }
    request
}
