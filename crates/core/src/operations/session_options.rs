//! What a session has that others do not: the extension `sessionOptions` of the server's protocol.

use std::fmt;

use serde_json::Value;

use crate::json::{self, Object};

/// What a session has that others do not. `Debug` shows the names of variables only: their values may be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SessionOptions {
    /// Environment variables of all its programs.
    pub envs: Vec<(String, String)>,
    /// What its programs reach; as all others of the service when absent.
    pub network: Option<SessionNetwork>,
    /// Seconds after which it is released, whatever goes on in it.
    pub timeout_s: Option<u64>,
}

/// What a session's programs reach over the network: never more than the service's programs do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionNetwork {
    /// Nothing.
    None,
    /// These domains by HTTP and HTTPS: `example.org`, `*.example.org` for all below it, `example.org:8443`.
    Allow(Vec<String>),
}

impl SessionOptions {
    /// The name in a session's `extensions` under which a service says that it keeps to them.
    pub const EXTENSION: &str = "sessionOptions";

    /// Reads them from a JSON object, as bindings give them: `{envs, network, timeoutS}`. `None`: it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Some(Value::Object(fields)) = json::parse(text) else { return None };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let envs = match json::field(&fields, &["envs"]) {
            None => Vec::new(),
            Some(envs) => {
                let pairs = envs.as_object()?.iter();
                pairs.map(|(name, value)| Some((name.clone(), text(value)?))).collect::<Option<_>>()?
            }
        };
        let network = match json::field(&fields, &["network"]) {
            None => None,
            Some(Value::String(name)) if name == "none" => Some(SessionNetwork::None),
            Some(other) => {
                let rules = other.get("allow")?.as_array()?.iter().map(text).collect::<Option<_>>()?;
                Some(SessionNetwork::Allow(rules))
            }
        };
        Some(Self { envs, network, timeout_s: json::count(&fields, &["timeoutS"]) })
    }

    /// Whether a session with them is as every other one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds them to the body of `createSession`.
    pub(super) fn write(&self, body: &mut Object) {
        if !self.envs.is_empty() {
            let envs = self.envs.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
            body.insert("envs".to_owned(), Value::Object(envs));
        }
        match &self.network {
            None => {}
            Some(SessionNetwork::None) => drop(body.insert("network".to_owned(), "none".into())),
            Some(SessionNetwork::Allow(rules)) => {
                let rules = super::object([("allow", rules.as_slice().into())]);
                body.insert("network".to_owned(), rules);
            }
        }
        if let Some(seconds) = self.timeout_s {
            body.insert("timeoutS".to_owned(), seconds.into());
        }
    }
}

impl fmt::Debug for SessionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionOptions")
            .field("envs", &self.envs.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("network", &self.network)
            .field("timeout_s", &self.timeout_s)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_are_read_and_written_as_they_are() {
        for given in [
            json!({}),
            json!({"envs": {"A": "SECRET"}, "network": "none", "timeoutS": 60}),
            json!({"network": {"allow": ["example.org"]}}),
        ] {
            let options = SessionOptions::parse(&given.to_string()).expect("they are options");
            let mut body = Object::new();
            options.write(&mut body);
            assert_eq!(Value::Object(body), given);
            assert!(!format!("{options:?}").contains("SECRET"));
        }
        for wrong in [r#"{"envs":{"A":1}}"#, r#"{"network":"all"}"#, r#"{"network":{"allow":[1]}}"#, "[]", ""] {
            assert_eq!(SessionOptions::parse(wrong), None, "{wrong}");
        }
    }
}
