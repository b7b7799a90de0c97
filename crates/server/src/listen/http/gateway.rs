//! The calls of a gateway: passed on to the upstream as they are. Of an answer that describes a session, address and token
//! are replaced by this server's own.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use agb_client::agb_core::http::{HttpResponse, Method, counted};
use agb_client::agb_core::operations::{CreateSession, Forward, SessionData};
use agb_protocol::Secret;
use agb_protocol::object::Object;
use axum::body::Body as HttpBody;
use axum::extract::{Extension, FromRequest, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Router, http};
use serde_json::{Value, json};

use super::answer::Code;
use super::api_key::key_of;
use super::error::ApiError;
use super::params::{Body, BodyBudget, Params};
use super::{Shared, charged, health, sessions, tools};
use crate::budget::{Budget, Charge};
use crate::gateway::{Account, Upstream, kept_size};
use crate::observe::Released;
use crate::session::{NewSession, Session};
use crate::tools::{apart, is_of_runs};
use crate::workspace::ProgramOptions;

/// What may be taken by reading what describes a session. That has a few kilobytes; its list of tools may have a hundred.
const MOST_OF_SESSION: usize = 8 << 20;

/// What is kept of it: addresses, and who serves its tools. 256 KiB: a thousand tools.
const MOST_KEPT: usize = 256 << 10;

/// The routes that need an API key.
pub(super) fn routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let pass = || -> MethodRouter<Arc<Shared>> { get(pass_on).post(pass_on) };
    Router::new()
        .route("/mcp/createSession", post(create))
        .route("/mcp/getSession", post(take_up))
        .route("/mcp/releaseSession", post(release))
        .route("/mcp/releaseSessionAsync", post(release))
        .route("/mcp", pass())
        .route("/mcp/{*rest}", pass())
        .route("/sdk/{*rest}", pass())
        .route("/internet/{*rest}", pass())
        .route("/browser/{*rest}", pass())
        .route("/metrics", get(health::metrics))
        .route_layer(from_fn_with_state(Arc::clone(shared), check_key))
}

/// The key that a call came with.
#[derive(Clone)]
struct Key(Secret);

/// Checks the key where the gateway has clients of its own; else leaves that to the upstream.
async fn check_key(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let Some(gateway) = &shared.gateway else { return ApiError::Defect.into_response() };
    if has_steps(request.uri().path()) {
        return ApiError::NoRoute("such path".to_owned()).into_response();
    }
    let Some(key) = key_of(&request).map(str::to_owned) else { return ApiError::NoKey.into_response() };
    let caller = if gateway.passes_keys_on() {
        if request.uri().path() == "/metrics" {
            return ApiError::WrongKey.into_response(); // no key is this server's own
        }
        Some(gateway.caller(&key))
    } else {
        shared.keys.find(&key)
    };
    let Some(caller) = caller else { return ApiError::WrongKey.into_response() };
    if let Err(wait) = caller.bucket.take() {
        return ApiError::TooOften { wait }.into_response();
    }
    let account = match gateway.account(&key) {
        Ok(account) => account,
        Err(error) => return ApiError::from(error).into_response(),
    };
    let budget = gateway.budget_of(&account).cloned();
    if let Some(budget) = &budget {
        request.extensions_mut().insert(BodyBudget(Arc::clone(budget)));
    }
    request.extensions_mut().insert(account);
    request.extensions_mut().insert(Key(key.into()));
    let answer = next.run(request).await;
    charged::charge(answer, budget.as_ref().unwrap_or(&shared.budget)).unwrap_or_else(IntoResponse::into_response)
}

/// What answers for this account are counted by.
fn budget<'a>(shared: &'a Shared, account: &Account) -> &'a Arc<Budget> {
    shared.gateway.as_ref().and_then(|gateway| gateway.budget_of(account)).unwrap_or(&shared.budget)
}

/// Whether a path has `.` or `..` in it, however it is written: then it means another path to the upstream, and so one that
/// is not passed on.
fn has_steps(path: &str) -> bool {
    let path = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    path.split(['/', '\\']).any(|name| name == "." || name == "..")
}

async fn pass_on(
    State(shared): State<Arc<Shared>>,
    Extension(account): Extension<Arc<Account>>,
    request: Request,
) -> Result<Response, ApiError> {
    let uri = request.uri().clone();
    let Call { call, _charge } = read(&shared, request).await?;
    if is_tool(&call.target) {
        let params = params_of(uri, &call, budget(&shared, &account)).await;
        let (name, id) = (params.text("name")?.unwrap_or_default(), params.text("sessionId")?.unwrap_or_default());
        // The upstream has not checked the key: only who took the session up learns of its runs.
        let is_of_runs = |session: &Session| {
            session.upstream().is_some_and(|upstream| upstream.is_of(&account)) && is_of_runs(&name, session)
        };
        if shared.sessions.find(&id).is_some_and(|session| is_of_runs(&session)) {
            return tools::call(State(shared), params).await;
        }
    }
    let (answer, _counted) = account.forward(&call, budget(&shared, &account)).await?;
    Ok(response(answer))
}

/// Whether a call calls a tool.
fn is_tool(target: &str) -> bool {
    target == "/mcp" || target.starts_with("/mcp?")
}

/// `POST /mcp/createSession`
async fn create(
    State(shared): State<Arc<Shared>>,
    Extension(account): Extension<Arc<Account>>,
    Extension(key): Extension<Key>,
    request: Request,
) -> Result<Response, ApiError> {
    shared.sessions.check_room()?; // before the upstream has one that nobody hears of
    let headers = request.headers().clone();
    let Call { call, _charge } = read(&shared, request).await?;
    let described = described(account.forward(&call, budget(&shared, &account)).await?).await?;
    let id = described.data.as_ref().map(|data| data.session_id.clone());
    match show(&shared, (&account, &key), &headers, described).await {
        Err(error) => {
            if let Some(session_id) = id {
                let release = Forward {
                    method: Method::Post,
                    target: "/mcp/releaseSession".to_owned(),
                    body: Some(json!({ "sessionId": session_id }).to_string()),
                    expected: Duration::ZERO,
                };
                if let Err(lost) = account.forward(&release, &shared.budget).await {
                    tracing::warn!(session = session_id, error = %lost, "a session that was not taken up stays at the upstream");
                }
            }
            Err(error)
        }
        shown => shown,
    }
}

/// `POST /mcp/getSession`
async fn take_up(
    State(shared): State<Arc<Shared>>,
    Extension(account): Extension<Arc<Account>>,
    Extension(key): Extension<Key>,
    request: Request,
) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    let Call { call, _charge } = read(&shared, request).await?;
    let described = described(account.forward(&call, budget(&shared, &account)).await?).await?;
    show(&shared, (&account, &key), &headers, described).await
}

/// `POST /mcp/releaseSession`, `/mcp/releaseSessionAsync`: once the upstream has said yes, runs and accesses end here.
///
/// It may say yes to everybody, of a session that is another's. So a key that did not take the session up ends nothing here,
/// unless the session is gone for who did.
async fn release(
    State(shared): State<Arc<Shared>>,
    Extension(account): Extension<Arc<Account>>,
    request: Request,
) -> Result<Response, ApiError> {
    let uri = request.uri().clone();
    let Call { call, _charge } = read(&shared, request).await?;
    let budget = budget(&shared, &account);
    let params = params_of(uri, &call, budget).await;
    let (answer, _counted) = account.forward(&call, budget).await?;
    let length = answer.body.len();
    let judge = move || ((200..300).contains(&answer.status) && succeeded(&answer.body), answer);
    let (is_done, answer) = apart(budget, length, judge).await.ok_or(ApiError::Defect)?;
    if is_done
        && let Some(session) = params.text("sessionId")?.and_then(|id| shared.sessions.find(&id))
        && let Some(upstream) = session.upstream()
        && (upstream.is_of(&account) || upstream.is_gone(budget).await)
    {
        shared.sessions.release(&session, Released::Asked).await;
    }
    Ok(response(answer))
}

/// What came, as it is passed on, and the bytes that it holds as long.
struct Call {
    call: Forward,
    _charge: Option<Charge>,
}

async fn read(shared: &Arc<Shared>, request: Request) -> Result<Call, ApiError> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let (method, body, charge) = if request.method() == http::Method::GET {
        (Method::Get, None, None)
    } else {
        let body = Body::from_request(request, shared).await?;
        let (text, charge) = body.parse(|text| Some(text.to_owned())).await?;
        (Method::Post, Some(text).filter(|text| !text.is_empty()), Some(charge))
    };
    // A tool takes as long as its program.
    let expected = if is_tool(&target) { shared.config.limits.max_run_timeout } else { Duration::ZERO };
    Ok(Call { call: Forward { method, target, body, expected }, _charge: charge })
}

/// The parameters of a call, read off the runtime's thread where that takes long; none where they are none.
async fn params_of(uri: http::Uri, call: &Forward, whose: &Arc<Budget>) -> Params {
    let body = call.body.clone().unwrap_or_default();
    apart(whose, body.len(), move || Params::parse(&uri, &body).unwrap_or_default()).await.unwrap_or_default()
}

/// An answer, the session that it describes if it does, and what both take.
struct Described {
    answer: HttpResponse,
    data: Option<SessionData>,
    charge: Charge,
}

/// Reads what describes a session, off the runtime's thread where that takes long. Trees, those of quoted JSON included, are
/// counted before they are made.
///
/// # Errors
/// When it is too large to be read: it may have the upstream's token, and is not passed on.
async fn described((answer, charge): (HttpResponse, Charge)) -> Result<Described, ApiError> {
    let (length, whose) = (answer.body.len(), Arc::clone(charge.budget()));
    let read = move || {
        let charge = Rc::new(RefCell::new(charge));
        let (taken, over) = (Rc::clone(&charge), Rc::new(Cell::new(None)));
        let refused = Rc::clone(&over);
        let ask = move |trees: usize| {
            if trees > MOST_OF_SESSION {
                return Err("it is larger than what describes a session".to_owned());
            }
            taken.borrow_mut().resize(length + trees).map_err(|problem| {
                refused.set(Some(problem));
                problem.to_string()
            })
        };
        let data = match counted(&CreateSession::default(), &answer, &Secret::default(), ask) {
            Ok(read) => read.ok().map(|answered| answered.value),
            Err(reason) => {
                return Err(over.get().map_or(ApiError::Unreadable(reason), ApiError::AnswerOverBudget));
            }
        };
        if data.as_ref().is_some_and(|data| kept_size(data) > MOST_KEPT) {
            return Err(ApiError::Unreadable(
                "it describes a session with more than a gateway keeps of one".to_owned(),
            ));
        }
        let charge = Rc::into_inner(charge).ok_or(ApiError::Defect)?.into_inner();
        Ok(Described { answer, data, charge })
    };
    apart(&whose, length, read).await.ok_or(ApiError::Defect)?
}

/// Takes up the session that an answer describes, and shows it as one of this server. Another answer stays as it is.
async fn show(
    shared: &Arc<Shared>,
    (account, key): (&Arc<Account>, &Key),
    headers: &HeaderMap,
    described: Described,
) -> Result<Response, ApiError> {
    let Described { answer, data, charge } = described;
    let Some(data) = data else { return Ok(response(answer)) };
    let Some(gateway) = &shared.gateway else { return Err(ApiError::Defect) };
    let account = gateway.remember(key.0.expose(), account);
    let new = NewSession {
        image: shared.config.images.find(None)?, // nothing is made of it
        labels: Default::default(),
        idle_timeout: shared.config.limits.idle_timeout,
        timeout: None,
        mounts: Vec::new(),
        options: ProgramOptions::default(),
        id: None,
        upstream: None,
    };
    let session = shared.sessions.take_up(new, Upstream::new(&account, data))?;
    let address = sessions::address(shared, headers)?;
    let ours = [
        ("linkUrl", json!(address.http(&sessions::link_path(&session)))),
        ("wsUrl", json!(address.ws(&format!("/ws/{}", session.id())))),
        ("token", json!(session.token().expose())),
        ("extensions", json!(session.extensions())),
    ];
    let length = answer.body.len();
    let write = move || replace(&answer.body, ours).map(|body| HttpResponse { body, ..answer });
    Ok(response(apart(charge.budget(), length, write).await.ok_or(ApiError::Defect)??))
}

/// Puts this server's address and token into what describes a session. Its trees are those that were counted when it was read.
fn replace(body: &str, ours: [(&str, Value); 4]) -> Result<String, ApiError> {
    let unreadable = |error: serde_json::Error| ApiError::Unreadable(error.to_string());
    let mut answer: Value = serde_json::from_str(body).map_err(unreadable)?;
    let Some(data) = answer.get_mut("data") else { return Err(ApiError::Unreadable("it has no data".to_owned())) };
    // Some services send it as a text.
    if let Value::String(text) = data {
        *data = serde_json::from_str(text).map_err(unreadable)?;
    }
    let Value::Object(fields) = data else { return Err(ApiError::Unreadable("its data is not an object".to_owned())) };
    fields.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    Ok(answer.to_string())
}

/// Whether the envelope says so. One that says nothing has succeeded.
fn succeeded(body: &str) -> bool {
    Object::parse(body).and_then(|envelope| envelope.get("success")).is_none_or(|success| success.text() != "false")
}

fn response(answer: HttpResponse) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = Response::new(HttpBody::from(answer.body));
    *response.status_mut() = status;
    response.extensions_mut().insert(Code(if status.is_success() { "ok" } else { "UpstreamRefused" }));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(id) = answer.request_id_header.and_then(|id| HeaderValue::from_str(&id).ok()) {
        headers.insert("x-request-id", id);
    }
    if let Some(wait) = answer.retry_after {
        headers.insert(header::RETRY_AFTER, wait.as_secs().into());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_means_another_one_is_told() {
        for path in
            ["/mcp/../metrics", "/mcp/./x", "/sdk/%2e%2E/x", "/mcp/.%2e/x", "/mcp/a%2f..%2fx", "/mcp/..\\x", "/mcp/.."]
        {
            assert!(has_steps(path), "{path}");
        }
        for path in ["/mcp", "/mcp/createSession", "/mcp/a..b", "/mcp/...", "/sdk/.hidden/x."] {
            assert!(!has_steps(path), "{path}");
        }
    }
}
