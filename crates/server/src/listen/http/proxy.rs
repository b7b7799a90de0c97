//! Links to ports of sessions: HTTP/1.1 and what it upgrades to, streamed both ways.
//!
//! What answers is a program of the session, so it must not be able to act for this server:
//!
//! | link | whose origin a page has | what keeps it from acting for the server |
//! | --- | --- | --- |
//! | `https://<name>.<link-domain>/` | its own | the origin; cookies for other hosts than its own are dropped |
//! | `/l/<name>/…` | none: `Content-Security-Policy: sandbox` | calls of it say `Origin: null`, which the server's API refuses; cookies are dropped both ways |
//!
//! Neither gets this server's keys and tokens: an `Authorization` with one of its keys, and `X-Access-Token`, stay here.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::Body as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use super::Shared;
use super::cluster::HOP;
use super::error::ApiError;
use super::followed::{Followed, Progress};
use super::lent::{Driver, Lent};
use crate::links::LinkError;

/// On an answer that a program of a session has made.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfProgram;

/// What a link's request asks for.
struct Target {
    name: String,
    /// In front of the program's own paths; empty where the link has a host of its own.
    prefix: String,
    path_and_query: String,
}

/// The path that links without a host of their own begin with.
const PREFIX: &str = "/l/";

/// What speaks for a whole host, or the domain that it is in. Reports would tell a program the addresses of other links and
/// of signed files.
const FOR_THE_HOST: [&str; 13] = [
    "strict-transport-security",
    "alt-svc",
    "public-key-pins",
    "public-key-pins-report-only",
    "expect-ct",
    "expect-staple",
    "clear-site-data",
    "service-worker-allowed",
    "nel",
    "report-to",
    "reporting-endpoints",
    "set-cookie2",
    "set-login",
];

/// What speaks for an origin, which is this server's where a link is a path: a browser would ask for a password in its name,
/// and send that, or hints, keys and dictionaries, with calls to it.
const FOR_THE_ORIGIN: [&str; 16] = [
    "www-authenticate",
    "authentication-info",
    "accept-ch",
    "critical-ch",
    "accept-ch-lifetime",
    "origin-agent-cluster",
    "use-as-dictionary",
    "sec-session-registration",
    "secure-session-registration",
    "secure-session-challenge",
    "sec-session-challenge",
    "shared-storage-write",
    "observe-browsing-topics",
    "activate-storage-access",
    "attribution-reporting-register-source",
    "attribution-reporting-register-trigger",
];

/// Serves requests to links; the others go on.
pub(super) async fn serve(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let Some(target) = target(&shared, &request) else { return next.run(request).await };
    let in_path = !target.prefix.is_empty();
    if in_path && is_preflight(&request) {
        return cross_origin(StatusCode::NO_CONTENT.into_response(), &request.headers().clone());
    }
    let asked = request.headers().clone();
    let response = match forward(&shared, request, &target).await {
        Ok(response) => response,
        Err(error) => return error.into_response(),
    };
    let mut response = clean(response, in_path);
    if in_path {
        response = cross_origin(response, &asked);
    }
    response.extensions_mut().insert(OfProgram);
    response
}

/// The name of the link that a request is for, if it is for one.
pub(super) fn link_name(shared: &Shared, request: &Request) -> Option<String> {
    target(shared, request).map(|target| target.name)
}

fn target(shared: &Shared, request: &Request) -> Option<Target> {
    let all = request.uri().path_and_query().map_or("/", uri::PathAndQuery::as_str);
    if let Some(domain) = &shared.config.links.domain {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let host = host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
        let name = host.strip_suffix(&domain.to_ascii_lowercase()).and_then(|rest| rest.strip_suffix('.'));
        if let Some(name) = name {
            return Some(Target { name: name.to_owned(), prefix: String::new(), path_and_query: all.to_owned() });
        }
    }
    let rest = all.strip_prefix(PREFIX)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (name, path) = rest.split_at(end);
    let path_and_query = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Some(Target { name: name.to_owned(), prefix: format!("{PREFIX}{name}"), path_and_query })
}

async fn forward(shared: &Arc<Shared>, mut request: Request, target: &Target) -> Result<Response, ApiError> {
    let (link, session) = shared.links.find(&target.name)?;
    session.touch();
    let upgrade = upgrade_of(request.headers());
    let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let permit = link.permit(&session)?;
    let (mut parts, body) = request.into_parts();
    // Among them the permit of the client's connection, which lasts as long as what it was upgraded to.
    let extensions = std::mem::take(&mut parts.extensions);
    parts.uri = target.path_and_query.parse::<Uri>().map_err(|_| ApiError::invalid("path", "it is not a URI"))?;
    parts.version = axum::http::Version::HTTP_11;
    prepare(shared, &mut parts.headers, target, link.port, upgrade.as_ref());
    let answer_time = shared.config.links.answer_time;
    let late = || LinkError::NoAnswer { port: link.port, seconds: answer_time.as_secs() };
    // A connection that a program has kept may be closed at the very moment: what is safe to be said again goes over it.
    let is_safe = upgrade.is_none() && matches!(parts.method, Method::GET | Method::HEAD) && body.is_end_stream();
    if is_safe && let Some(mut connection) = session.ports().take_idle(link.port) {
        let mut again = Request::new(Body::empty());
        (*again.method_mut(), *again.uri_mut()) = (parts.method.clone(), parts.uri.clone());
        *again.headers_mut() = parts.headers.clone();
        let progress = Progress::default();
        match progress.silent_for(answer_time, connection.send_request(again)).await {
            Some(Ok(answer)) => {
                progress.end(); // it has no body
                let over = Box::pin(link.over(&session));
                let (port, sending) = (link.port, progress);
                return Ok(Lent { session, port, connection, driver: None, sending, permit }.answer(answer, over));
            }
            Some(Err(_)) => {}
            None => return Err(late().into()),
        }
    }
    let broken = |error: hyper::Error| {
        ApiError::Link(LinkError::Unreachable { port: link.port, error: std::io::Error::other(error) })
    };
    let stream = link.connect(&session).await?;
    let (mut connection, driving) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driving = tokio::spawn(async move {
        if let Err(error) = driving.with_upgrades().await {
            tracing::debug!(%error, "a link's connection broke");
        }
    });
    let driver = Driver::new(driving.abort_handle());
    let body = Followed::new(body, Box::pin(link.over(&session)));
    let progress = body.progress();
    let sent = connection.send_request(Request::from_parts(parts, Body::new(body)));
    let answer = progress.silent_for(answer_time, sent).await.ok_or_else(late)?;
    let mut answer = answer.map_err(broken)?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let over = Box::pin(link.over(&session));
        let (port, driver, sending) = (link.port, Some(driver), progress);
        return Ok(Lent { session, port, connection, driver, sending, permit }.answer(answer, over));
    }
    driver.detach(); // it ends with the protocol before the upgrade
    if let Some(client) = client {
        let program = hyper::upgrade::on(&mut answer);
        let over = link.over(&session);
        tokio::spawn(async move {
            let _permits = (extensions, permit);
            let copying = async {
                let (Ok(client), Ok(program)) = tokio::join!(client, program) else { return };
                // Each direction has one buffer: who does not read is not read from.
                let _ = copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(program)).await;
            };
            tokio::select! {
                () = copying => {}
                () = over => tracing::debug!("a link's connection was closed: it has expired, or its session has gone"),
            }
        });
    }
    Ok(answer.map(Body::new))
}

/// What is asked to be upgraded to, if the client asks for that.
pub(super) fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let connection = headers.get_all(header::CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    let asks = connection.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    asks.then(|| headers.get(header::UPGRADE).cloned()).flatten()
}

/// Makes the client's headers those of a request to the program.
fn prepare(shared: &Shared, headers: &mut HeaderMap, target: &Target, port: u16, upgrade: Option<&HeaderValue>) {
    let host = headers.get(header::HOST).cloned();
    remove_hop_by_hop(headers, upgrade);
    let key = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let key = key.and_then(|value| value.split_once(' ')).map(|(_, key)| key.trim());
    if key.is_some_and(|key| shared.keys.find(key).is_some()) {
        headers.remove(header::AUTHORIZATION);
    }
    headers.remove("x-access-token");
    // Which run of which server has passed it on is none of a program's business.
    headers.remove(HOP);
    if !target.prefix.is_empty() {
        headers.remove(header::COOKIE);
        set(headers, HeaderName::from_static("x-forwarded-prefix"), &target.prefix);
    }
    if let Some(host) = host {
        headers.insert("x-forwarded-host", host);
    }
    // Development servers answer to the name that they know themselves by only.
    set(headers, header::HOST, &format!("localhost:{port}"));
}

/// Takes out of a program's answer what would reach beyond its link.
fn clean(mut response: Response, in_path: bool) -> Response {
    let switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    let upgrade = switching.then(|| headers.get(header::UPGRADE).cloned()).flatten();
    remove_hop_by_hop(headers, upgrade.as_ref());
    for name in FOR_THE_HOST {
        headers.remove(name);
    }
    if in_path {
        for name in FOR_THE_ORIGIN {
            headers.remove(name);
        }
    }
    let cookies: Vec<HeaderValue> = headers.get_all(header::SET_COOKIE).into_iter().cloned().collect();
    headers.remove(header::SET_COOKIE);
    if in_path {
        const SANDBOX: &str = "sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts";
        headers.append(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
    } else {
        let own = cookies.into_iter().filter(|cookie| !names_domain(cookie));
        for cookie in own {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
    // The name is the key: it is not told to other sites.
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("same-origin"));
    response
}

fn names_domain(cookie: &HeaderValue) -> bool {
    let text = String::from_utf8_lossy(cookie.as_bytes()).to_ascii_lowercase();
    text.split(';').skip(1).any(|part| part.trim_start().starts_with("domain"))
}

/// A page without an origin may call its own server by the link, and whoever knows the name may anyway.
fn cross_origin(mut response: Response, asked: &HeaderMap) -> Response {
    let Some(origin) = asked.get(header::ORIGIN) else { return response };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    headers.remove(header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
    for (name, allowed) in [
        (header::ACCESS_CONTROL_REQUEST_METHOD, header::ACCESS_CONTROL_ALLOW_METHODS),
        (header::ACCESS_CONTROL_REQUEST_HEADERS, header::ACCESS_CONTROL_ALLOW_HEADERS),
    ] {
        if let Some(value) = asked.get(name) {
            headers.insert(allowed, value.clone());
        }
    }
    response
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Removes headers that are between two neighbours only, but for an `upgrade` that goes through.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    agb_egress::remove_hop_by_hop(headers);
    if let Some(upgrade) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, upgrade.clone());
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
