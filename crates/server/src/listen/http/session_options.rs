//! The extension `sessionOptions` of `createSession`: what one session has that others do not.
//!
//! | field | what it is |
//! | --- | --- |
//! | `envs` | an object of texts: environment variables of every program of the session |
//! | `network` | `none`, or `{"allow": ["example.org", …]}`: never more than this server's programs reach |
//! | `timeoutS` | seconds after which the session is released, whatever goes on in it |

use std::time::Duration;

use agb_protocol::fields::Field;
use serde_json::{Value, json};

use super::Shared;
use super::error::ApiError;
use super::params::Params;
use crate::session::Session;
use crate::settings::Network;
use crate::workspace::ProgramOptions;

/// Environment variables of a session, and what they take in bytes: what a shell's own environment has, several times.
const MAX_ENVS: usize = 200;
const MAX_ENV_BYTES: usize = 64 * 1024;
/// Rules of a session's network.
const MAX_RULES: usize = 200;
/// A year: who wants more wants a session without a limit.
const MAX_TIMEOUT: u64 = 365 * 86_400;

/// What the programs of a new session get.
pub(super) fn of_programs(shared: &Shared, params: &Params) -> Result<ProgramOptions, ApiError> {
    Ok(ProgramOptions { envs: envs(params)?, network: network(shared, params)? })
}

/// How long a new session may live, if it says so.
pub(super) fn timeout(params: &Params) -> Result<Option<Duration>, ApiError> {
    match params.number("timeoutS")? {
        None => Ok(None),
        Some(seconds @ 1..=MAX_TIMEOUT) => Ok(Some(Duration::from_secs(seconds))),
        Some(_) => Err(ApiError::invalid("timeoutS", format!("it must be from 1 to {MAX_TIMEOUT} seconds"))),
    }
}

/// What a session has, as it is told to clients.
pub(super) fn describe(session: &Session) -> Value {
    let options = session.options();
    let envs: std::collections::BTreeMap<_, _> = options.envs.iter().cloned().collect();
    let network = match options.network.as_ref().unwrap_or(&session.config().network) {
        Network::Allow(rules) => {
            let rules = rules.to_string();
            json!({ "allow": rules.split(',').collect::<Vec<_>>() })
        }
        network => json!(network.to_string()),
    };
    json!({ "envs": envs, "network": network, "timeoutS": session.timeout().map(|timeout| timeout.as_secs()) })
}

fn envs(params: &Params) -> Result<Vec<(String, String)>, ApiError> {
    let invalid = || ApiError::invalid("envs", "it must be an object of texts, with names that an environment takes");
    let mut envs = Vec::new();
    for (name, value) in params.object("envs")?.unwrap_or_default() {
        let Field::Text(value) = value else { return Err(invalid()) };
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(invalid());
        }
        envs.push((name, value));
    }
    let length: usize = envs.iter().map(|(name, value)| name.len() + value.len()).sum();
    if envs.len() > MAX_ENVS || length > MAX_ENV_BYTES {
        let problem = format!("it has more than {MAX_ENVS} variables or {MAX_ENV_BYTES} bytes");
        return Err(ApiError::invalid("envs", problem));
    }
    Ok(envs)
}

/// The network of a session's own; `None`: that of every session.
fn network(shared: &Shared, params: &Params) -> Result<Option<Network>, ApiError> {
    let servers = &shared.config.network;
    let invalid = |problem: String| ApiError::invalid("network", problem);
    let asked = match params.object("network") {
        Ok(None) => return Ok(None),
        Ok(Some(fields)) => {
            let rules =
                || format!("it must be none, or {{\"allow\": [\"example.org\", …]}} with at most {MAX_RULES} texts");
            let is_alone = fields.len() == 1;
            let list = fields.get("allow").filter(|_| is_alone).and_then(|allow| allow.items(MAX_RULES));
            let list = list.and_then(|items| items.into_iter().map(Field::into_text).collect::<Option<Vec<_>>>());
            let list = list.filter(|list| !list.is_empty()).ok_or_else(|| invalid(rules()))?;
            // A rule of a list is one, whatever is in it.
            if list.iter().any(|rule| rule.contains(',')) {
                return Err(invalid(rules()));
            }
            Network::Allow(list.join(",").parse().map_err(|error| invalid(format!("{error}")))?)
        }
        Err(_) => {
            let text = params.text("network")?.unwrap_or_default();
            // Each costs several times what it has in text, and is compared with each of the server's.
            if text.matches(',').count() >= MAX_RULES {
                return Err(invalid(format!("it has more than {MAX_RULES} rules")));
            }
            text.parse().map_err(|error| invalid(format!("{error}")))?
        }
    };
    if asked == *servers {
        return Ok(None);
    }
    let wider = |what: &str| {
        let problem =
            format!("{what} is more than this server's programs reach ({servers}); start it with a wider --network");
        Err(invalid(problem))
    };
    match (&asked, servers) {
        (Network::None, _) => Ok(Some(asked)),
        (Network::Host, _) => wider("host"),
        (Network::Allow(rules), Network::None) => wider(&rules.to_string()),
        (Network::Allow(rules), Network::Allow(own)) => match own.first_beyond(rules) {
            None => Ok(Some(asked)),
            Some(rule) => wider(&rule),
        },
        (Network::Allow(_), Network::Host) if !shared.sessions.level().has_namespaces() => {
            let hint = ": programs here have no network of their own (--isolation)";
            Err(ApiError::NotOffered { what: "a network that allows some domains", hint })
        }
        (Network::Allow(_), Network::Host) => Ok(Some(asked)),
    }
}
