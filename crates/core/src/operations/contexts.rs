//! Contexts: files that outlive sessions, and how a session gets and keeps them (`/sdk/…Context…`).
//!
//! | procedure | calls |
//! | --- | --- |
//! | [`ListContexts`], [`FindContext`] | `GET /sdk/ListContexts`, `GET /sdk/GetContext` |
//! | [`rename_context`], [`delete_context`] | `POST /sdk/ModifyContext`, `POST /sdk/DeleteContext` |
//! | [`clear_context`], [`ClearContext`] | `POST /sdk/ClearContext`, then `GetContext` until it is available |
//! | [`upload_url`], [`download_url`], [`delete_file`], [`ListFiles`] | the files of a context |
//! | [`TaskFilter::info`], [`SyncContext`], [`Settle`] | `GET /sdk/GetContextInfo`, `POST /sdk/SyncContext` |
//! | [`transfer_context`] | `POST /sdk/GetAndLoadInternalContext` |

use serde_json::Value;

use crate::error::ApiError;
use crate::http::{Answered, HttpRequest, Method, Repeat};
use crate::json::{self, Object};
use crate::procedure::{Reply, Single};

mod clear;
mod files;
mod find;
mod sync;
mod tasks;

pub use clear::{ClearContext, ClearState, clear_context, clear_state};
pub use files::{ContextFile, ContextFiles, FileUrl, ListFiles, delete_file, download_url, upload_url};
pub use find::{Context, ContextPage, FindContext, ListContexts, delete_context, rename_context};
pub use sync::{Settle, SyncContext, SyncMode, await_task};
pub use tasks::{ContextTask, TaskFilter, TransferContext, transfer_context};

/// A call with everything in its query.
fn request(method: Method, path: &str, repeat: Repeat, query: &[(&'static str, &str)]) -> HttpRequest {
    query.iter().fold(HttpRequest::new(method, path, repeat), |request, (name, value)| request.query(name, *value))
}

/// Reads what a call answers from `data` and what is beside it.
fn read<T>(
    request: HttpRequest,
    read: impl Fn(Value, &Object) -> Option<T> + Send + 'static,
    missing: &'static str,
) -> Single<T> {
    Single::new(request, move |answered: Answered<Reply>| {
        let Answered { value, request_id } = answered;
        let (data, fields) = value.into_service();
        match read(json::unquote(data), &fields) {
            Some(value) => Ok(Answered { value, request_id }),
            None => Err(malformed(missing, request_id)),
        }
    })
}

fn malformed(problem: &str, request_id: String) -> ApiError {
    ApiError::Malformed(crate::error::Malformed {
        status: 200,
        problem: problem.to_owned(),
        request_id,
        ..crate::error::Malformed::default()
    })
}

/// The objects of a list; what is none is left out, and no list is an empty one.
fn objects(value: Value) -> Vec<Object> {
    match json::unquote(value) {
        Value::Array(items) => items.into_iter().filter_map(|item| json::unquote_object(item).ok()).collect(),
        _ => Vec::new(),
    }
}
