//! A session of the upstream's, as this server uses it.

use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use agb_client::agb_core::operations::{ForwardTool, SessionData, ToolResult, ToolRoute};
use agb_client::{Error, LinkAnswer, LinkCall, Rooms, Session, SharedRoom, Tool};
use agb_protocol::fields::{Field, Fields};
use thiserror::Error;

use super::Account;
use super::counted::Counted;
use crate::budget::{Budget, Charge, OverBudget};
use crate::random;
use crate::settings::{GATEWAY_EXTENSIONS, PASSED_EXTENSIONS};

/// What this server does for a session, by what the session's service does: a bit for each of [`PASSED_EXTENSIONS`].
static SETS: LazyLock<Vec<Vec<&'static str>>> = LazyLock::new(|| {
    let set = |bits: usize| {
        let passed = PASSED_EXTENSIONS.iter().enumerate().filter(move |(place, _)| bits >> place & 1 == 1);
        // Input that is numbered is taken once on the way here; what happens between the two services is told.
        let numbered = if bits & 1 == 1 { &["stdinSeq"][..] } else { &[] };
        GATEWAY_EXTENSIONS.iter().chain(passed.map(|(_, name)| name)).chain(numbered).copied().collect()
    };
    (0..1 << PASSED_EXTENSIONS.len()).map(set).collect()
});

/// A session of the upstream's. Clones share its connection there.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    session: Session,
    /// Keeps the account known while somebody has a session of it.
    account: Arc<Account>,
    budget: Arc<OnceLock<Arc<Budget>>>,
}

/// Why the upstream was not asked, or did not answer.
#[derive(Debug, Error)]
pub(crate) enum UpstreamError {
    /// What was asked for has been done.
    #[error(
        "the call was executed, but with its answer more than {} bytes would be held for clients (--session-buffers, \
         --buffers): look at what it has done before you make it again", .0.most()
    )]
    OverBudget(OverBudget),
    #[error("the upstream service did not answer: {0}")]
    Client(#[from] Error),
}

impl Upstream {
    /// What the upstream said of a session, to be used in this account's name. Nothing is sent.
    pub(crate) fn new(account: &Arc<Account>, mut data: SessionData) -> Self {
        keep_what_is_asked(&mut data);
        let budget = Arc::new(OnceLock::<Arc<Budget>>::new());
        let counted = Arc::clone(&budget);
        let rooms: Rooms = Arc::new(move || -> SharedRoom {
            match counted.get() {
                Some(budget) => Counted::new(budget).shared(),
                None => Arc::new(|_: usize| Ok(())), // nothing comes for a session that nobody has yet
            }
        });
        Self { session: account.session(data, rooms), account: Arc::clone(account), budget }
    }

    /// Counts what its connections hold, from the first one on.
    pub(crate) fn count(&self, budget: &Arc<Budget>) {
        let _ = self.budget.set(Arc::clone(budget)); // it is one session's
    }

    pub(crate) fn id(&self) -> &str {
        self.session.id()
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// What this server does beyond part 1 of the wire for the session.
    pub(crate) fn extensions(&self) -> &'static [&'static str] {
        let of_service = &self.session.data().extensions;
        let has = |name: &str| of_service.iter().any(|known| known == name);
        let bits = PASSED_EXTENSIONS.iter().enumerate().filter(|(_, name)| has(name)).map(|(place, _)| 1 << place);
        &SETS[bits.sum::<usize>()]
    }

    /// Passes a call on to the session's link there.
    pub(crate) async fn forward_to_link(&self, call: LinkCall) -> Result<LinkAnswer, UpstreamError> {
        Ok(self.session.forward_to_link(call).await?)
    }

    /// Whether it is used in this account's name.
    pub(crate) fn is_of(&self, account: &Arc<Account>) -> bool {
        Arc::ptr_eq(&self.account, account)
    }

    /// Whether the service says, to who took it up, that there is no such session.
    pub(crate) async fn is_gone(&self, budget: &Arc<Budget>) -> bool {
        self.account.has_no(self.id(), budget).await
    }

    /// Whether the two are one session with the same token and address.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let (one, other) = (self.session.data(), other.session.data());
        one.token == other.token && one.ws_url == other.ws_url && one.link_url == other.link_url
    }

    /// Calls a tool, by the way that the upstream offers. Nothing is read of the arguments. The answer is counted while it
    /// comes, and so is what reading it takes, before it is read: the second is what the result takes at most.
    pub(crate) async fn call_tool(
        &self,
        name: &str,
        args: &Fields,
        budget: &Arc<Budget>,
    ) -> Result<(ToolResult, Charge), UpstreamError> {
        let call = Arc::new(ForwardTool {
            name: name.to_owned(),
            arguments: args.to_json(),
            expected: time_of(args),
            route: ToolRoute::choose(self.session.data(), name, random::hex::<16>()),
        });
        let counted = Counted::new(budget);
        let answered = self.session.call_apart(&call, &counted.shared()).await;
        let answered = answered.map_err(|error| counted.problem(error))?;
        Ok((answered.value, counted.charge()))
    }
}

/// Of the tools nobody asks for more than who serves them: what they are for, and what they take, is mostly long.
fn keep_what_is_asked(data: &mut SessionData) {
    data.tools.retain(|tool| !tool.server.is_empty());
    for tool in &mut data.tools {
        let Tool { description, input_schema, tool, .. } = tool;
        (*description, *input_schema, *tool) = Default::default();
    }
    data.tools.shrink_to_fit();
}

/// How many bytes are kept of what a service said of a session.
pub(crate) fn kept_size(data: &SessionData) -> usize {
    let tools = data.tools.iter().filter(|tool| !tool.server.is_empty());
    let tools = tools.map(|tool| size_of::<Tool>() + tool.name.len() + tool.server.len());
    let extensions = data.extensions.iter().map(|name| size_of::<String>() + name.len());
    let texts = [
        &data.image_id,
        &data.ws_url,
        &data.link_url,
        &data.resource_url,
        &data.app_instance_id,
        &data.resource_id,
        &data.task_id,
        &data.network_interface_ip,
        &data.status,
    ];
    let texts = texts.into_iter().flatten().map(String::len);
    let sizes = texts.chain(tools).chain(extensions);
    data.session_id.len() + data.token.expose().len() + sizes.sum::<usize>()
}

/// How long a tool may rightly take, by the names that `run_code` and `shell` have for it.
fn time_of(args: &Fields) -> Duration {
    let seconds = |name: &str| args.get(name).filter(|field| matches!(field, Field::Json(_)))?.number();
    let limit = seconds("timeout_s").or_else(|| seconds("timeout_ms").map(|milliseconds| milliseconds / 1000.0));
    limit.and_then(|limit| Duration::try_from_secs_f64(limit).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_tools_only_who_serves_them_is_kept() {
        let tool = |name: &str, server: &str| Tool {
            name: name.into(),
            server: server.into(),
            description: "d".repeat(10_000),
            input_schema: "{}".repeat(10_000),
            tool: name.into(),
        };
        let mut data = SessionData::default();
        data.tools = vec![tool("shell", "s"), tool("nobodys", "")];
        let size = kept_size(&data);
        assert!(size < 200, "{size}");
        keep_what_is_asked(&mut data);
        assert_eq!((data.server_of("shell"), data.tools.len(), kept_size(&data)), (Some("s"), 1, size));
        assert_eq!(data.tools[0].description.capacity() + data.tools[0].input_schema.capacity(), 0);
    }
}
