//! What signed URLs open: `PUT` and `GET` of one file of a context, without a key.

use std::fs::File;
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cap_std::fs::OpenOptions;

use super::Shared;
use super::blocking::blocking;
use super::error::ApiError;
use super::file_body::{self, HELD, Patience};
use crate::budget::Budget;
use crate::contexts::{BadUrl, Context, ContextError, ContextPath, SignedMethod, SignedQuery, SignedTransfer, Upload};
use crate::listen::paced::Pace;
use crate::session::Session;
use crate::workspace::{ActAs, Workspace, identity};

type Id = Result<Path<String>, PathRejection>;
type SignedUrl = Result<Query<SignedQuery>, QueryRejection>;

/// `GET /context-files/{id}?path&expires&signature`: the file's bytes, with ranges and an entity tag.
pub(super) async fn download(
    State(shared): State<Arc<Shared>>,
    id: Id,
    url: SignedUrl,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Signed { context, path, transfer } = check(&shared, SignedMethod::Get, id, url).await?;
    let session = context.session().and_then(|id| shared.sessions.find(id));
    let held = budget(&shared, session.as_deref()).charge(HELD)?;
    let file = blocking(&shared.contexts, context.id().to_owned(), move |_| match (context.open(&path), session) {
        // What passes through is the session's own file.
        (Err(ContextError::NoFile { .. }), Some(session)) => open_in_session(&session, &path),
        (opened, _) => Ok(opened?.0),
    });
    file_body::send_during(file.await?, &headers, (held, transfer))
}

fn open_in_session(session: &Session, path: &ContextPath) -> Result<File, ContextError> {
    let unusable = |problem| ContextError::System { action: "using the session", problem };
    let workspace = session.workspace().map_err(|failure| unusable(failure.value))?;
    let missing = || ContextError::NoFile { path: path.shown() };
    let at = workspace.folder().locate(&path.shown()).map_err(|_| missing())?;
    let failed = |error: std::io::Error| ContextError::of_file("opening the file", &path.shown(), &error);
    let _acting = ActAs::user(workspace.slot().user()).map_err(failed)?;
    Ok(at.open(OpenOptions::new().read(true)).map_err(failed)?.0.into_std())
}

/// `PUT /context-files/{id}?path&expires&signature`: stores the body as the file, whole or not at all, and answers its
/// entity tag.
pub(super) async fn upload(
    State(shared): State<Arc<Shared>>,
    id: Id,
    url: SignedUrl,
    request: Request,
) -> Result<Response, ApiError> {
    let Signed { context, path, transfer: _transfer } = check(&shared, SignedMethod::Put, id, url).await?;
    let session = context.session().and_then(|id| shared.sessions.find(id));
    let _held = budget(&shared, session.as_deref()).charge(HELD)?;
    let (workspace, upload) = blocking(&shared.contexts, context.id().to_owned(), move |_| {
        // What passes through counts as the session's.
        let workspace = session.map(|session| session.workspace()).transpose();
        let workspace = workspace
            .map_err(|failure| ContextError::System { action: "using the session", problem: failure.value })?;
        workspace.as_ref().map_or(Ok(()), |workspace| workspace.take_disk(0, 1))?;
        Ok((workspace, context.upload(path)?))
    })
    .await?;
    let time = shared.contexts.settings().max_transfer_time;
    let receiving = receive(request.into_body(), upload, workspace, &shared);
    let tag = match tokio::time::timeout(time, receiving).await {
        Ok(tag) => tag?,
        Err(_) => return Err(ApiError::TooSlow { seconds: time.as_secs() }),
    };
    let mut response = StatusCode::OK.into_response();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Of whose bytes a body is a part: its session's, or else the server's.
fn budget<'a>(shared: &'a Shared, session: Option<&'a Session>) -> &'a Arc<Budget> {
    session.map_or(&shared.budget, Session::budget)
}

async fn receive(
    body: Body,
    upload: Upload,
    workspace: Option<Arc<Workspace>>,
    shared: &Shared,
) -> Result<String, ApiError> {
    let (limits, id) = (&shared.config.limits, upload.context_id().to_owned());
    let pace = Pace { time: limits.write_timeout, per_minute: shared.contexts.settings().upload_rate };
    let patience = Patience { silence: limits.read_timeout, pace: Some(pace) };
    let upload = file_body::receive(body, upload, patience, move |upload: &mut Upload, pieces: &[Bytes]| {
        let length = pieces.iter().map(Bytes::len).sum::<usize>() as u64;
        workspace.as_ref().map_or(Ok(()), |workspace| workspace.take_disk(length, 0)).map_err(ContextError::from)?;
        Ok(pieces.iter().try_for_each(|piece| upload.write(piece))?)
    })
    .await?;
    let meta = blocking(&shared.contexts, id, move |_| upload.commit(false)).await?;
    Ok(file_body::entity_tag(identity(&meta)))
}

/// What a signed URL opens.
struct Signed {
    context: Arc<Context>,
    path: ContextPath,
    /// Held as long as bytes go over the URL.
    transfer: SignedTransfer,
}

/// Nothing of the body is read, and no context is looked for, before the signature is known to be good.
async fn check(shared: &Arc<Shared>, method: SignedMethod, id: Id, url: SignedUrl) -> Result<Signed, ApiError> {
    let (Ok(Path(id)), Ok(Query(url))) = (id, url) else { return Err(BadUrl::Signature.into()) };
    shared.contexts.signer().check(method, &id, &url, SystemTime::now())?;
    let path = ContextPath::of_file(&url.path)?;
    let context = blocking(&shared.contexts, id.clone(), move |contexts| contexts.find_signed(&id)).await?;
    let transfer = shared.contexts.begin_transfer(&context)?;
    Ok(Signed { context, path, transfer })
}
