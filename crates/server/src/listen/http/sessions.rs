//! The calls about sessions.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde_json::{Value, json};

use super::Shared;
use super::address::Address;
use super::answer::Answer;
use super::cluster::{asked_id, gather, is_passed_on};
use super::error::ApiError;
use super::labels;
use super::list_page::{own_page, page_token, parse_page_token};
use super::params::Params;
use super::session_contexts;
use super::session_options;
use crate::auth::keys::Caller;
use crate::observe::Released;
use crate::session::{NewSession, Session};
use crate::settings::Network;
use crate::tools;

/// `POST /mcp/createSession`
pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Arc<Caller>>,
    headers: HeaderMap,
    params: Params,
) -> Result<Answer, ApiError> {
    let address = address(&shared, &headers)?;
    if params.is_set("contextId") {
        let hint = ": mount it at a path by persistenceDataList";
        return Err(ApiError::NotOffered { what: "a context without a path", hint });
    }
    if let Some(id) = params.text("sessionId")? {
        let session = shared.find(&id)?;
        return Ok(Answer::new(describe(&session, &address)));
    }
    let asked = asked_id(&shared, &headers)?;
    if let Some(session) = asked.as_deref().and_then(|id| shared.sessions.find(id)) {
        return Ok(Answer::new(describe(&session, &address))); // asked again because the answer was lost
    }
    let of = Arc::clone(&shared);
    let read = move |params: &Params| {
        let new = NewSession {
            id: asked.or_else(|| of.cluster.as_ref().map(|cluster| cluster.incarnation().session_id())),
            image: of.config.images.find(params.text("imageId")?.as_deref())?,
            labels: labels::parse(params.object("labels")?, "labels")?,
            idle_timeout: idle_timeout(&of, params.number("timeout")?)?,
            mounts: Vec::new(),
            timeout: session_options::timeout(params)?,
            options: session_options::of_programs(&of, params)?,
            upstream: None,
        };
        Ok((new, session_contexts::wanted_mounts(&of, params)?))
    };
    let ((new, wanted), _params) = params.read(None, read).await?;
    let new = NewSession { mounts: session_contexts::mounts(&shared, &caller, wanted).await?, ..new };
    let session = shared.sessions.create(new)?;
    session.download_mounts()?;
    Ok(Answer::new(describe(&session, &address)))
}

/// `POST /mcp/getSession`
pub(super) async fn get(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    params: Params,
) -> Result<Answer, ApiError> {
    let session = shared.find(&params.required("sessionId")?)?;
    session.touch();
    let mut data = describe(&session, &address(&shared, &headers)?);
    data["status"] = json!(session.stage().as_str());
    Ok(Answer::new(data))
}

/// `POST /mcp/getSessionInfo`
///
/// Does not count as use: it is what is polled to see a session end.
pub(super) async fn info(State(shared): State<Arc<Shared>>, params: Params) -> Result<Answer, ApiError> {
    let session = shared.find(&params.required("sessionId")?)?;
    Ok(Answer::new(json!({ "sessionId": session.id(), "status": session.stage().as_str() })))
}

/// `GET /sdk/ListSession`
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    params: Params,
) -> Result<Answer, ApiError> {
    const DEFAULT_PAGE: u64 = 10;
    const LARGEST_PAGE: u64 = 100;
    let length = params.number("maxResults")?.unwrap_or(DEFAULT_PAGE);
    if length == 0 || length > LARGEST_PAGE {
        return Err(ApiError::invalid("maxResults", format!("it must be from 1 to {LARGEST_PAGE}")));
    }
    let after = match params.text("nextToken")? {
        None => None,
        Some(token) => Some(
            parse_page_token(&token)
                .ok_or_else(|| ApiError::invalid("nextToken", "it must be the nextToken of an earlier answer"))?,
        ),
    };
    let wanted = labels::parse(params.object("labels")?, "labels")?;
    let is_for_peer = is_passed_on(&headers);
    let own_length = usize::try_from(length).unwrap_or(usize::MAX);
    let mut page = own_page(&shared, after.as_ref(), &wanted, params.is_set("isAll"), own_length);
    if let Some(cluster) = shared.cluster.as_ref().filter(|_| !is_for_peer) {
        page = gather(&shared, cluster, (&uri, &headers), page, own_length).await?;
    }
    let next = page.items.last().filter(|_| page.has_more).map(|last| page_token(&last.place()));
    let data = page.items.iter().map(|item| {
        let mut data = json!({ "sessionId": item.id, "sessionStatus": item.status });
        if is_for_peer {
            data["createdMs"] = json!(item.created_ms);
        }
        data
    });
    Ok(Answer::new(data.collect())
        .beside("nextToken", json!(next))
        .beside("maxResults", json!(length))
        .beside("count", json!(page.count)))
}

/// `POST /mcp/releaseSession`
pub(super) async fn release(State(shared): State<Arc<Shared>>, params: Params) -> Result<Answer, ApiError> {
    let session = shared.find(&params.required("sessionId")?)?;
    shared.sessions.release(&session, Released::Asked).await;
    Ok(Answer::default())
}

/// `POST /mcp/releaseSessionAsync`
///
/// Answers when the session is gone, or after a moment while it is still going: a client that looks at once, and then
/// each second, finds it gone at the first look.
pub(super) async fn release_async(State(shared): State<Arc<Shared>>, params: Params) -> Result<Answer, ApiError> {
    const MOMENT: Duration = Duration::from_millis(500);
    let session = shared.find(&params.required("sessionId")?)?;
    let _ = tokio::time::timeout(MOMENT, shared.sessions.release(&session, Released::Asked)).await;
    Ok(Answer::default())
}

/// `POST /mcp/refreshSessionIdleTime`
pub(super) async fn refresh(State(shared): State<Arc<Shared>>, params: Params) -> Result<Answer, ApiError> {
    shared.find(&params.required("sessionId")?)?.touch();
    Ok(Answer::default())
}

/// `POST /mcp/getMcpResource`
pub(super) async fn resource(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    params: Params,
) -> Result<Answer, ApiError> {
    let session = shared.find(&params.required("sessionId")?)?;
    let url = address(&shared, &headers)?.http(&link_path(&session));
    let mut data = session_options::describe(&session);
    data["sessionId"] = json!(session.id());
    data["resourceUrl"] = json!(url);
    data["desktopInfo"] = Value::Null;
    Ok(Answer::new(data))
}

/// `GET /internet/getLink`
///
/// A URL that opens one port of the session for a while, by HTTP or, for the protocols `ws` and `wss`, by WebSocket.
pub(super) async fn link(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    params: Params,
) -> Result<Answer, ApiError> {
    let session = shared.find(&params.required("sessionId")?)?;
    let settings = &shared.config.links;
    let is_ws = match params.text("protocolType")?.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("http" | "https") => false,
        Some("ws" | "wss") => true,
        Some(_) => return Err(ApiError::invalid("protocolType", "it must be http, https, ws or wss")),
    };
    let port = params.number("port")?.unwrap_or(u64::from(*settings.ports.start()));
    let port = u16::try_from(port).ok().filter(|port| settings.ports.contains(port)).ok_or_else(|| {
        let (first, last) = (settings.ports.start(), settings.ports.end());
        ApiError::invalid("port", format!("it must be from {first} to {last} (--link-ports)"))
    })?;
    if !session.level().has_namespaces() || shared.config.network == Network::Host {
        let hint =
            ": its programs have no network of their own (--network, --isolation), reach their ports on localhost";
        return Err(ApiError::NotOffered { what: "a link to a port of the session", hint });
    }
    session.touch();
    let address = address(&shared, &headers)?;
    let name = shared.links.create(&session, port, settings)?;
    let (address, path) = match &settings.domain {
        Some(domain) => (address.with_host(&format!("{name}.{domain}")), "/".to_owned()),
        None => (address, format!("/l/{name}/")),
    };
    let url = if is_ws { address.ws(&path) } else { address.http(&path) };
    Ok(Answer::new(json!({ "url": url })))
}

/// What belongs to a desktop or a browser, which a code space has not.
pub(super) async fn no_desktop(State(shared): State<Arc<Shared>>, params: Params) -> Result<Answer, ApiError> {
    shared.find(&params.required("sessionId")?)?;
    let hint = ": this server runs code spaces only; use an image of AGB's own service such as agb-browser-use-1";
    Err(ApiError::NotOffered { what: "a browser", hint })
}

/// Everything a client needs to use a session.
fn describe(session: &Session, address: &Address) -> Value {
    let options = session_options::describe(session);
    json!({
        "sessionId": session.id(),
        "success": true,
        "errMsg": "",
        "appInstanceId": format!("local-{}", session.ordinal()),
        "resourceId": session.id(),
        "resourceUrl": address.http(&link_path(session)),
        "taskId": "",
        "networkInterfaceIp": "",
        "linkUrl": address.http(&link_path(session)),
        "wsUrl": address.ws(&format!("/ws/{}", session.id())),
        "token": session.token().expose(),
        "toolList": tools::list(),
        "imageId": session.image().id(),
        "extensions": session.extensions(),
        "isolation": session.level().name(),
        "envs": options["envs"],
        "network": options["network"],
        "timeoutS": options["timeoutS"],
    })
}

pub(super) fn link_path(session: &Session) -> String {
    format!("/link/{}", session.id())
}

pub(super) fn address(shared: &Shared, headers: &HeaderMap) -> Result<Address, ApiError> {
    match &shared.address {
        Some(address) => Ok(address.clone()),
        None => Address::of_request(headers, shared.tls.is_some())
            .ok_or_else(|| ApiError::invalid("Host", "this server's address is made from it: send host and port")),
    }
}

fn idle_timeout(shared: &Shared, asked: Option<u64>) -> Result<Duration, ApiError> {
    let limits = &shared.config.limits;
    let Some(seconds) = asked else { return Ok(limits.idle_timeout) };
    let most = limits.max_idle_timeout;
    match Duration::from_secs(seconds) {
        timeout if !timeout.is_zero() && timeout <= most => Ok(timeout),
        _ => Err(ApiError::invalid("timeout", format!("it must be from 1 to {} seconds", most.as_secs()))),
    }
}
