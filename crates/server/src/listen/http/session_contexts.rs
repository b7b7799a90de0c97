//! The calls about the contexts of a session: what is mounted, and what is copied when.

use std::sync::Arc;

use agb_protocol::fields::Field;
use agb_protocol::object::Object;
use axum::extract::State;
use serde_json::{Value, json};

use super::Shared;
use super::answer::Answer;
use super::blocking::blocking;
use super::error::ApiError;
use super::params::Params;
use crate::auth::keys::Caller;
use crate::contexts::Wanted;
use crate::session::mounts::Mount;
use crate::session::sync_tasks::{Direction, SyncTask, Target};

/// Where programs find the files that are passed to and from a session. The directory is made when it is asked for.
const TRANSFER_PATH: &str = "/tmp/file_transfer";
/// The kind of internal context that there is.
const TRANSFER: &str = "file_transfer";

/// The parameter that names mounts.
const MOUNTS: &str = "persistenceDataList";

/// A mount as it was asked for.
pub(super) struct WantedMount {
    id: String,
    path: String,
    policy: String,
}

/// Reads `persistenceDataList` of `createSession`: `[{contextId, path, policy}]`, where `policy` is JSON, as a text or not.
pub(super) fn wanted_mounts(shared: &Shared, params: &Params) -> Result<Vec<WantedMount>, ApiError> {
    let invalid = || ApiError::invalid(MOUNTS, "it must be a list of objects with contextId, path and policy");
    let Some(list) = params.list(MOUNTS, Object::MOST_MEMBERS)? else { return Ok(Vec::new()) };
    let limit = shared.config.contexts.max_mounts;
    if list.len() > limit {
        return Err(ApiError::invalid(MOUNTS, format!("it has more than {limit} mounts (--max-mounts)")));
    }
    let mut wanted = Vec::new();
    for item in list {
        let item = item.fields().ok_or_else(invalid)?;
        let text = |name: &str| item.text(name).map(str::to_owned).filter(|text| !text.is_empty());
        let policy = match item.get("policy") {
            None => String::new(),
            Some(Field::Text(text)) => text.clone(),
            Some(Field::Json(policy)) if policy.starts_with('{') => policy.clone(),
            Some(Field::Json(_)) => return Err(invalid()),
        };
        let (id, path) = (text("contextId").ok_or_else(invalid)?, text("path").ok_or_else(invalid)?);
        wanted.push(WantedMount { id, path, policy });
    }
    Ok(wanted)
}

/// Finds the contexts of mounts, and whether they can be together.
pub(super) async fn mounts(
    shared: &Arc<Shared>,
    caller: &Arc<Caller>,
    wanted: Vec<WantedMount>,
) -> Result<Vec<Mount>, ApiError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let has_namespaces = shared.sessions.level().has_namespaces();
    let caller = Arc::clone(caller);
    let mounts: Vec<Mount> = blocking(&shared.contexts, caller.name.clone(), move |contexts| {
        let mount = |WantedMount { id, path, policy }: WantedMount| {
            let context = contexts.find(&caller.name, &Wanted::Id(id.trim().to_owned()))?;
            let mount = Mount::new(context, path, &policy)?;
            mount.keep_recycle_rule()?;
            Ok(mount)
        };
        wanted.into_iter().map(mount).collect()
    })
    .await?;
    for (index, mount) in mounts.iter().enumerate() {
        let inside = mount.inside();
        if mounts[..index].iter().any(|other| inside.starts_with(other.inside()) || other.inside().starts_with(&inside))
        {
            return Err(ApiError::invalid(MOUNTS, format!("the mount {} lies in another one", mount.path)));
        }
        if !has_namespaces && !["/home/user", "/tmp"].iter().any(|place| inside.starts_with(place)) {
            let hint = " without namespaces (agb-server doctor): mount it below /home/user or /tmp";
            return Err(ApiError::NotOffered { what: "a mount at such a path", hint });
        }
    }
    Ok(mounts)
}

/// `POST /sdk/SyncContext`
///
/// Answers at once; `GetContextInfo` shows how far it is. Without a context and a path: all mounts.
pub(super) async fn sync(State(shared): State<Arc<Shared>>, params: Params) -> Result<Answer, ApiError> {
    let session = shared.find(&params.required("sessionId")?)?;
    let direction = match params.text("mode")? {
        None => Direction::Upload,
        Some(mode) => {
            Direction::parse(&mode).ok_or_else(|| ApiError::invalid("mode", "it must be upload or download"))?
        }
    };
    let targets = match (params.text("contextId")?, params.text("path")?) {
        (None, None) => session.contexts().mounts().iter().map(|mount| Target::Mount(Arc::clone(mount))).collect(),
        (Some(context), Some(path)) => {
            let target = session.contexts().target(context.trim(), &path)?;
            vec![target.ok_or(ApiError::NotMounted { context, path })?]
        }
        (Some(_), None) => return Err(ApiError::Missing("path")),
        (None, Some(_)) => return Err(ApiError::Missing("contextId")),
    };
    for target in targets {
        session.synchronise(target, direction)?;
    }
    Ok(Answer::default())
}

/// `GET /sdk/GetContextInfo`
pub(super) async fn info(State(shared): State<Arc<Shared>>, params: Params) -> Result<Answer, ApiError> {
    let session = shared.find(&params.required("sessionId")?)?;
    let (context, path, kind) = (params.text("contextId")?, params.text("path")?, params.text("taskType")?);
    if kind.as_deref().is_some_and(|kind| Direction::parse(kind).is_none()) {
        return Err(ApiError::invalid("taskType", "it must be upload or download"));
    }
    let matches = |task: &SyncTask| {
        context.as_deref().is_none_or(|context| task.context == context)
            && path.as_deref().is_none_or(|path| task.path.trim_end_matches('/') == path.trim_end_matches('/'))
            && kind.as_deref().is_none_or(|kind| Direction::parse(kind) == Some(task.direction))
    };
    let tasks: Value = session.contexts().tasks().iter().filter(|task| matches(task)).map(describe).collect();
    let status = json!([{ "type": "data", "data": tasks.to_string() }]);
    Ok(Answer::new(json!({ "contextStatus": status.to_string() })))
}

/// `POST /sdk/GetAndLoadInternalContext`
pub(super) async fn load_internal(State(shared): State<Arc<Shared>>, params: Params) -> Result<Answer, ApiError> {
    let session = shared.find(&params.required("sessionId")?)?;
    let read = |params: &Params| params.list("contextTypes", 100)?.ok_or(ApiError::Missing("contextTypes"));
    let (types, _params) = params.read(Some(&session), read).await?;
    let types: Option<Vec<String>> = types.into_iter().map(Field::into_text).collect();
    let types = types.ok_or_else(|| ApiError::invalid("contextTypes", "it must be a list of texts, as JSON"))?;
    if !types.iter().any(|kind| kind == TRANSFER) {
        return Ok(Answer::new(json!([])));
    }
    let activity = session.begin(0)?;
    let context = blocking(&shared.contexts, session.id().to_owned(), move |contexts| {
        let _activity = activity;
        if let Some(context) = session.contexts().transfer() {
            return Ok(context);
        }
        let workspace = session.workspace().map_err(|failure| crate::contexts::ContextError::System {
            action: "using the session",
            problem: failure.value,
        })?;
        let made = workspace.folder().add_mount(std::path::Path::new(TRANSFER_PATH));
        made.map_err(|error| crate::contexts::ContextError::System {
            action: "making the directory for transfers",
            problem: error.to_string(),
        })?;
        let made = contexts.create_transfer(workspace.folder().new_transfer(), session.id())?;
        Ok(session.contexts().keep_transfer(made))
    })
    .await?;
    Ok(Answer::new(json!([{ "contextId": context.id(), "contextType": TRANSFER, "contextPath": TRANSFER_PATH }])))
}

fn describe(task: &SyncTask) -> Value {
    let (status, error, finished) = match &task.end {
        None => ("Running", String::new(), 0),
        Some((at, Ok(()))) => ("Success", String::new(), *at),
        Some((at, Err(error))) => ("Failed", error.to_string(), *at),
    };
    json!({
        "contextId": task.context,
        "path": task.path,
        "errorMessage": error,
        "status": status,
        "startTime": task.started,
        "finishTime": finished,
        "taskType": task.direction.as_str(),
    })
}
