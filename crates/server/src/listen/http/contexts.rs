//! The calls about contexts. All parameters are in the query, also of `POST`.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::Shared;
use super::answer::Answer;
use super::blocking::{blocking, remove_later};
use super::error::ApiError;
use super::params::Params;
use super::sessions::address;
use crate::auth::keys::Caller;
use crate::contexts::{Context, ContextPath, Entry, SignedMethod, Wanted, remove_tree};
use crate::time_text;

/// `GET /sdk/ListContexts`
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Arc<Caller>>,
    params: Params,
) -> Result<Answer, ApiError> {
    let page = page_size(&params, "maxResults", 10)?;
    let after = params.text("nextToken")?;
    let all = blocking(&shared.contexts, caller.name.clone(), move |contexts| contexts.list(&caller.name)).await?;
    let first = match &after {
        None => 0,
        Some(token) => {
            let id = token.strip_prefix("after-").unwrap_or_default();
            let place = all.iter().position(|context| context.id() == id);
            1 + place.ok_or_else(|| ApiError::invalid("nextToken", "it must be the nextToken of an earlier answer"))?
        }
    };
    let shown = all.get(first..).unwrap_or_default().iter().take(page);
    let shown: Vec<_> = shown.map(|context| describe(context)).collect();
    let next = match all.get(first + shown.len()..) {
        Some([_, ..]) => json!(format!("after-{}", all[first + shown.len() - 1].id())),
        _ => Value::Null,
    };
    Ok(Answer::new(Value::Array(shown))
        .beside("nextToken", next)
        .beside("maxResults", json!(page))
        .beside("totalCount", json!(all.len())))
}

/// `GET /sdk/GetContext`
pub(super) async fn get(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Arc<Caller>>,
    params: Params,
) -> Result<Answer, ApiError> {
    let (id, name) = (trimmed(&params, "id")?, trimmed(&params, "name")?);
    let create = flag(&params, "allowCreate")?;
    let context = match (id, name) {
        (Some(_), _) if create => {
            return Err(ApiError::invalid("allowCreate", "a context is created by its name, not by an id"));
        }
        (Some(id), _) => {
            blocking(&shared.contexts, caller.name.clone(), move |contexts| {
                contexts.find(&caller.name, &Wanted::Id(id))
            })
            .await?
        }
        (None, Some(name)) if create => {
            blocking(&shared.contexts, caller.name.clone(), move |contexts| {
                contexts.find_or_create(&caller.name, &name)
            })
            .await?
        }
        (None, Some(name)) => {
            blocking(&shared.contexts, caller.name.clone(), move |contexts| {
                contexts.find(&caller.name, &Wanted::Name(name))
            })
            .await?
        }
        (None, None) => return Err(ApiError::Missing("name or id")),
    };
    Ok(Answer::new(describe(&context)))
}

/// `POST /sdk/ModifyContext`
pub(super) async fn modify(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Arc<Caller>>,
    params: Params,
) -> Result<Answer, ApiError> {
    let (id, name) = (id(&params)?, params.required("name")?);
    blocking(&shared.contexts, caller.name.clone(), move |contexts| contexts.rename(&caller.name, &id, name.trim()))
        .await?;
    Ok(Answer::default())
}

/// `POST /sdk/DeleteContext`
pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Arc<Caller>>,
    params: Params,
) -> Result<Answer, ApiError> {
    let id = id(&params)?;
    blocking(&shared.contexts, caller.name.clone(), move |contexts| {
        let aside = contexts.delete(&caller.name, &id)?;
        remove_later(contexts, move || remove_tree(&aside));
        Ok(())
    })
    .await?;
    Ok(Answer::default())
}

/// `POST /sdk/ClearContext`
///
/// Answers when the files are out of sight; `GetContext` tells by its `state` when they are gone.
pub(super) async fn clear(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Arc<Caller>>,
    params: Params,
) -> Result<Answer, ApiError> {
    let id = id(&params)?;
    blocking(&shared.contexts, caller.name.clone(), move |contexts| {
        let context = contexts.find(&caller.name, &Wanted::Id(id))?;
        if let Some(trash) = context.begin_clear()? {
            remove_later(contexts, move || context.finish_clear(&trash));
        }
        Ok(())
    })
    .await?;
    Ok(Answer::default())
}

/// `POST /sdk/GetContextFileUploadUrl`
pub(super) async fn upload_url(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Arc<Caller>>,
    headers: HeaderMap,
    params: Params,
) -> Result<Answer, ApiError> {
    sign(&shared, &caller, &headers, &params, SignedMethod::Put).await
}

/// `POST /sdk/GetContextFileDownloadUrl`
pub(super) async fn download_url(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Arc<Caller>>,
    headers: HeaderMap,
    params: Params,
) -> Result<Answer, ApiError> {
    sign(&shared, &caller, &headers, &params, SignedMethod::Get).await
}

async fn sign(
    shared: &Arc<Shared>,
    caller: &Arc<Caller>,
    headers: &HeaderMap,
    params: &Params,
    method: SignedMethod,
) -> Result<Answer, ApiError> {
    let address = address(shared, headers)?;
    let path = ContextPath::of_file(&params.required("filePath")?)?;
    let context = find(shared, caller, params).await?;
    let (url, expires) = shared.contexts.signer().sign(method, context.id(), &path, SystemTime::now());
    Ok(Answer::new(json!({ "url": address.http(&url), "expireTime": expires })))
}

/// `POST /sdk/DeleteContextFile`
pub(super) async fn delete_file(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Arc<Caller>>,
    params: Params,
) -> Result<Answer, ApiError> {
    let path = ContextPath::of_file(&params.required("filePath")?)?;
    let context = find(&shared, &caller, &params).await?;
    blocking(&shared.contexts, caller.name.clone(), move |_| context.remove(&path)).await?;
    Ok(Answer::default())
}

/// `POST /sdk/DescribeContextFiles`
pub(super) async fn describe_files(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Arc<Caller>>,
    params: Params,
) -> Result<Answer, ApiError> {
    let folder = ContextPath::parse(&params.text("parentFolderPath")?.unwrap_or_default())?;
    let page = params.number("pageNumber")?.unwrap_or(1);
    if page == 0 {
        return Err(ApiError::invalid("pageNumber", "it must be 1 or more"));
    }
    let page_size = page_size(&params, "pageSize", 50)?;
    let context = find(&shared, &caller, &params).await?;
    let page = usize::try_from(page).unwrap_or(usize::MAX);
    let mut held = shared.budget.nothing();
    let listing =
        blocking(&shared.contexts, caller.name.clone(), move |_| context.list(&folder, page, page_size, &mut held))
            .await?;
    let entries = listing.entries.iter().map(describe_file).collect();
    Ok(Answer::new(Value::Array(entries)).beside("count", json!(listing.total)))
}

/// The caller's context that `contextId` names.
pub(super) async fn find(
    shared: &Arc<Shared>,
    caller: &Arc<Caller>,
    params: &Params,
) -> Result<Arc<Context>, ApiError> {
    let wanted = Wanted::Id(params.required("contextId")?.trim().to_owned());
    let caller = Arc::clone(caller);
    blocking(&shared.contexts, caller.name.clone(), move |contexts| contexts.find(&caller.name, &wanted)).await
}

fn describe(context: &Context) -> Value {
    let meta = context.meta();
    json!({
        "id": meta.id,
        "name": meta.name,
        "createTime": meta.created,
        "lastUsedTime": meta.last_used,
        "state": context.state(),
    })
}

fn describe_file(entry: &Entry) -> Value {
    let path = entry.path.shown();
    json!({
        "fileId": path,
        "fileName": entry.path.as_path().file_name().unwrap_or_default().to_string_lossy(),
        "filePath": path,
        "fileType": if entry.is_dir { "directory" } else { "file" },
        "gmtCreate": time_text::to_the_second(entry.created),
        "gmtModified": time_text::to_the_second(entry.modified),
        "size": entry.size,
        "status": "available",
    })
}

fn id(params: &Params) -> Result<String, ApiError> {
    trimmed(params, "id")?.ok_or(ApiError::Missing("id"))
}

fn trimmed(params: &Params, name: &'static str) -> Result<Option<String>, ApiError> {
    Ok(params.text(name)?.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
}

fn flag(params: &Params, name: &'static str) -> Result<bool, ApiError> {
    match params.text(name)?.as_deref() {
        None | Some("false" | "False") => Ok(false),
        Some("true" | "True") => Ok(true),
        Some(_) => Err(ApiError::invalid(name, "it must be true or false")),
    }
}

fn page_size(params: &Params, name: &'static str, default: u64) -> Result<usize, ApiError> {
    const LARGEST: u64 = 1000;
    match params.number(name)?.unwrap_or(default) {
        size @ 1..=LARGEST => Ok(usize::try_from(size).unwrap_or(usize::MAX)),
        _ => Err(ApiError::invalid(name, format!("it must be from 1 to {LARGEST}"))),
    }
}
