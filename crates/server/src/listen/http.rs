//! The HTTP side: routes, the key, and the envelope around every answer.

mod access;
mod address;
mod answer;
mod api_key;
mod blocking;
mod browser;
mod charged;
mod cluster;
mod context_files;
mod contexts;
mod entry;
pub(super) mod error;
mod file_body;
mod file_call;
mod file_error;
mod file_watch;
mod files;
mod folders;
mod followed;
mod gateway;
mod gateway_link;
mod handshake;
mod health;
mod labels;
mod lent;
mod link;
mod list_page;
mod origins;
mod params;
mod proxy;
mod runs;
mod session_contexts;
mod session_options;
mod sessions;
mod shared;
mod tools;
mod written;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use agb_protocol::AccessScope;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::FutureExt;
use tokio::time::Instant;

pub(crate) use self::address::Address;
pub use self::address::InvalidPublicUrl;
use self::answer::Code;
use self::entry::Needs;
pub(crate) use self::error::ApiError;
pub use self::origins::InvalidOrigin;
pub(crate) use self::origins::Origins;
pub(crate) use self::shared::Shared;
use crate::shorten::shown;

/// All routes of a server.
pub(crate) fn routes(shared: Arc<Shared>) -> Router {
    let with_key = if shared.gateway.is_some() { gateway::routes(&shared) } else { own_routes(&shared) };
    let admitted = |needs, routes: Router<Arc<Shared>>| {
        routes.route_layer(from_fn_with_state((Arc::clone(&shared), needs), entry::admit))
    };
    let (read, run) = (Needs::Scope(AccessScope::Read), Needs::Scope(AccessScope::Run));
    let runs = Router::new()
        .route("/link/{session}/runs/{invocation}", post(runs::say))
        .route("/link/{session}/runs/{invocation}/events", get(runs::watch));
    let own_files = || {
        Router::new()
            .route("/link/{session}/files", get(files::read).put(files::write).delete(files::discard))
            .route("/link/{session}/files/watch", get(file_watch::news).post(file_watch::begin).delete(file_watch::end))
            .route("/link/{session}/files/archive", post(folders::pack))
            .route("/link/{session}/files/progress", get(files::progress))
    };
    let files = if shared.gateway.is_some() { gateway_link::files() } else { own_files() };
    let part_1 = Router::new().route("/link/{session}/callTool", post(link::call));
    let accesses = Router::new().route("/link/{session}/browserAccess", post(access::give));
    let mut with_token = Router::new().route("/ws/{session}", get(link::connect)).merge(admitted(run, part_1));
    if !shared.config.plain_wire {
        with_token =
            with_token.merge(admitted(read, runs)).merge(admitted(run, files)).merge(admitted(Needs::Owner, accesses));
    }
    let open = Router::new()
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/cluster/alive", get(health::alive))
        .route("/context-files/{id}", get(context_files::download).put(context_files::upload));
    let routes = with_key.merge(with_token).merge(open).fallback(no_route).method_not_allowed_fallback(wrong_method);
    let routes = cluster::forward_calls(routes, &shared)
        .layer(from_fn_with_state(Arc::clone(&shared), browser::guard))
        .layer(from_fn_with_state(Arc::clone(&shared), proxy::serve));
    cluster::forward_links(routes, &shared)
        .layer(from_fn(catch_panics))
        .layer(map_response(protect))
        .layer(from_fn_with_state(Arc::clone(&shared), measure))
        .with_state(shared)
}

/// The routes that need the API key.
fn own_routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    Router::new()
        .route("/mcp/createSession", post(sessions::create))
        .route("/mcp/getSession", post(sessions::get))
        .route("/mcp/getSessionInfo", post(sessions::info))
        .route("/mcp/releaseSession", post(sessions::release))
        .route("/mcp/releaseSessionAsync", post(sessions::release_async))
        .route("/mcp/refreshSessionIdleTime", post(sessions::refresh))
        .route("/mcp/getMcpResource", post(sessions::resource))
        .route("/mcp/listTools", post(tools::list))
        .route("/mcp", post(tools::call))
        .route("/sdk/ListSession", get(sessions::list))
        .route("/sdk/SetLabel", post(labels::set))
        .route("/sdk/GetLabel", get(labels::get))
        .route("/sdk/ListContexts", get(contexts::list))
        .route("/sdk/GetContext", get(contexts::get))
        .route("/sdk/ModifyContext", post(contexts::modify))
        .route("/sdk/DeleteContext", post(contexts::delete))
        .route("/sdk/ClearContext", post(contexts::clear))
        .route("/sdk/GetContextFileUploadUrl", post(contexts::upload_url))
        .route("/sdk/GetContextFileDownloadUrl", post(contexts::download_url))
        .route("/sdk/DeleteContextFile", post(contexts::delete_file))
        .route("/sdk/DescribeContextFiles", post(contexts::describe_files))
        .route("/sdk/SyncContext", post(session_contexts::sync))
        .route("/sdk/GetContextInfo", get(session_contexts::info))
        .route("/sdk/GetAndLoadInternalContext", post(session_contexts::load_internal))
        .route("/internet/getLink", get(sessions::link))
        .route("/browser/init", post(sessions::no_desktop))
        .route("/internet/getCdpLink", post(sessions::no_desktop))
        .route("/metrics", get(health::metrics))
        .route_layer(from_fn_with_state(Arc::clone(shared), api_key::check))
}

async fn no_route(uri: Uri) -> ApiError {
    ApiError::NoRoute(shown(uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::WrongMethod { method, path: shown(uri.path()) }
}

/// Counts the call, and how long it took.
async fn measure(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let begin = Instant::now();
    // A connection may have sent sixteen calls one behind the other: others have their turn between them.
    tokio::task::yield_now().await;
    let mut response = next.run(request).await;
    // Whoever comes back finds another server, or this one started anew.
    if !shared.sessions.is_open() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let code = response.extensions().get::<Code>().map_or("ok", |Code(code)| code);
    shared.metrics.called(code, begin.elapsed());
    response
}

/// No answer of this server is a page: browsers are told to treat none as one, whatever a program has put into it.
///
/// There is no `Strict-Transport-Security`: it binds every port of a host, and this host is often `localhost`.
async fn protect(mut response: Response) -> Response {
    if response.extensions().get::<proxy::OfProgram>().is_some() {
        return response; // a program's page, which is not of this server's origin
    }
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A panic is a defect of ours; even then the client gets an answer, and the others notice nothing.
async fn catch_panics(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!(path, "a call broke off by a panic");
            ApiError::Defect.into_response()
        }
    }
}
