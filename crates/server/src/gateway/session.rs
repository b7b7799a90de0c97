//! A session of the upstream's, as this server uses it.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use agb_client::agb_core::operations::{ForwardTool, SessionData, ToolResult, ToolRoute};
use agb_client::{Error, LinkAnswer, LinkCall, Session};
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
    pub(crate) fn new(account: &Arc<Account>, data: SessionData) -> Self {
        Self { session: account.session(data), account: Arc::clone(account) }
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

/// How long a tool may rightly take, by the names that `run_code` and `shell` have for it.
fn time_of(args: &Fields) -> Duration {
    let seconds = |name: &str| args.get(name).filter(|field| matches!(field, Field::Json(_)))?.number();
    let limit = seconds("timeout_s").or_else(|| seconds("timeout_ms").map(|milliseconds| milliseconds / 1000.0));
    limit.and_then(|limit| Duration::try_from_secs_f64(limit).ok()).unwrap_or_default()
}
