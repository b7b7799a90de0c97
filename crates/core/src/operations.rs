//! The service's HTTP calls, each a value that knows its request and reads its answer (wire protocol, part 1, "HTTP").
//!
//! | type | call |
//! | --- | --- |
//! | [`CreateSession`] | `POST /mcp/createSession` |
//! | [`GetSession`] | `POST /mcp/getSession` |
//! | [`GetSessionInfo`] | `POST /mcp/getSessionInfo` |
//! | [`ListSessions`] | `GET /sdk/ListSession` |
//! | [`ReleaseSession`] | `POST /mcp/releaseSession`, `POST /mcp/releaseSessionAsync` with [`DeleteSession`] |
//! | [`RefreshIdleTime`] | `POST /mcp/refreshSessionIdleTime` |
//! | [`SetLabels`], [`GetLabels`] | `POST /sdk/SetLabel`, `GET /sdk/GetLabel` |
//! | [`ListTools`] | `POST /mcp/listTools` |
//! | [`CallTool`], [`RunCode`] | `POST /mcp` or `POST <linkUrl>/callTool`, as [`ToolRoute`] says |
//! | [`GetDetails`] | `POST /mcp/getMcpResource` |
//! | [`GetLink`] | `GET /internet/getLink` |
//! | [`GrantAccess`] | `POST <linkUrl>/browserAccess` (ours) |
//! | [`contexts`] | `/sdk/…Context…` |
//! | [`RunCommand`], [`CommandInfo`], [`ProgramInfo`], [`files`], [`SessionMetrics`] | tools, as procedures of one or more calls |
//!
//! What the document shows in several spellings or quotings is read in all of them; what is missing without being
//! needed is `None` or empty; only an answer without the one thing that was asked for is
//! [`Malformed`](crate::error::ApiError::Malformed).

/// Makes a type the JSON object of these fields: without derived code, for which a page would pay.
macro_rules! json_object {
    ($type:ident as $value:ident { $($name:literal: $field:expr),* $(,)? }) => {
        impl From<$type> for serde_json::Value {
            fn from($value: $type) -> Self {
                $crate::operations::object([$(($name, $field.into())),*])
            }
        }
    };
}

mod call_tool;
mod command;
pub mod contexts;
mod create_session;
mod delete_session;
mod desktop;
mod details;
pub mod files;
mod forward;
mod get_session;
mod labels;
mod link;
mod list_runs;
mod list_sessions;
mod metrics;
mod run_code;
mod session_access;
mod session_data;
mod session_options;
mod tool;
mod toolbox;

pub use call_tool::{CallTool, ToolRoute};
pub use command::{CommandOutput, RunCommand};
pub use create_session::{ClientInfo, CreateSession};
pub use delete_session::{DeleteSession, DeleteStep, ReleaseSession};
pub use desktop::CallIfOffered;
pub use details::{GetDetails, SessionDetails};
pub use forward::{Forward, ForwardTool};
pub use get_session::{GetSession, GetSessionInfo, RefreshIdleTime, SessionStatus};
pub use labels::{GetLabels, SetLabels};
pub use link::GetLink;
pub use list_runs::{CommandInfo, ProgramInfo};
pub use list_sessions::{ListSessions, SessionListing, SessionPage};
pub use metrics::SessionMetrics;
pub use run_code::RunCode;
pub use session_access::{AccessScope, GrantAccess, IncompleteAccess, SessionAccess};
pub use session_data::SessionData;
pub use session_options::{SessionNetwork, SessionOptions};
pub use tool::{ListTools, Tool};
pub use toolbox::Toolbox;

pub use crate::tool_result::ToolResult;

use serde_json::Value;

use crate::http::{HttpRequest, Method, Repeat};
use crate::json::Object;

/// A `POST` whose body names a session and nothing else.
fn post_session(path: &str, session_id: &str, repeat: Repeat) -> HttpRequest {
    let body = Object::from_iter([(String::from("sessionId"), session_id.into())]);
    HttpRequest::new(Method::Post, path, repeat).body(body)
}

/// A JSON object of these fields.
pub(crate) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
pub(crate) mod played;
