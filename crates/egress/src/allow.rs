//! The domains that programs may reach.

use std::fmt;
use std::str::FromStr;

use crate::name::{BadName, Name};

/// The domains that programs may reach. The default is none.
///
/// | rule | what it allows |
/// | --- | --- |
/// | `example.org` | this name, ports 80 and 443 |
/// | `*.example.org` | every name below it, at any depth, but not itself; ports 80 and 443 |
/// | `example.org:8443`, `*.example.org:8443` | the same, this port only |
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// Names below `name`, instead of this one.
    below: bool,
    name: Name,
    port: Option<u16>,
}

/// A rule that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{rule:?} cannot be allowed: {problem}; write example.org, *.example.org for the names below it, or example.org:8443"
)]
pub struct BadRule {
    rule: String,
    problem: String,
}

impl Allow {
    /// Whether programs may connect there.
    #[must_use]
    pub fn permits(&self, name: &Name, port: u16) -> bool {
        self.rules.iter().any(|rule| {
            let named = if rule.below { name.is_below(&rule.name) } else { *name == rule.name };
            named && rule.port.map_or(port == 80 || port == 443, |allowed| allowed == port)
        })
    }

    /// The first of other rules that permits more than these do.
    #[must_use]
    pub fn first_beyond(&self, others: &Self) -> Option<String> {
        let is_within = |other: &Rule| self.rules.iter().any(|rule| rule.covers(other));
        let beyond = others.rules.iter().find(|other| !is_within(other))?;
        Some(Self { rules: vec![beyond.clone()] }.to_string())
    }

    /// The rule that would permit it.
    #[must_use]
    pub fn rule_for(name: &Name, port: u16) -> String {
        if port == 80 || port == 443 { name.to_string() } else { format!("{name}:{port}") }
    }
}

impl Rule {
    /// Whether this permits all that another one does.
    fn covers(&self, other: &Self) -> bool {
        let named = match (self.below, other.below) {
            (false, false) => self.name == other.name,
            (false, true) => false,
            (true, false) => other.name.is_below(&self.name),
            (true, true) => other.name == self.name || other.name.is_below(&self.name),
        };
        let is_usual = |port: u16| port == 80 || port == 443;
        named
            && match (self.port, other.port) {
                (None, None) => true,
                (None, Some(port)) => is_usual(port),
                (Some(port), other) => other == Some(port),
            }
    }
}

impl FromStr for Allow {
    type Err = BadRule;

    /// Rules with commas between.
    fn from_str(text: &str) -> Result<Self, BadRule> {
        Ok(Self { rules: text.split(',').map(|rule| parse(rule.trim())).collect::<Result<_, _>>()? })
    }
}

fn parse(text: &str) -> Result<Rule, BadRule> {
    let bad = |problem: String| BadRule { rule: text.chars().take(100).collect(), problem };
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => {
            let port = port.parse().ok().filter(|port| *port != 0);
            (host, Some(port.ok_or_else(|| bad("the port is not one of 1 to 65535".to_owned()))?))
        }
        _ => (text, None),
    };
    let (below, host) = host.strip_prefix("*.").map_or((false, host), |rest| (true, rest));
    let name = Name::parse(host).map_err(|error: BadName| bad(error.to_string()))?;
    if below && !name.as_str().contains('.') {
        return Err(bad("it would be everything that ends so".to_owned()));
    }
    Ok(Rule { below, name, port })
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rule) in self.rules.iter().enumerate() {
            let (comma, star) = (if index > 0 { "," } else { "" }, if rule.below { "*." } else { "" });
            write!(f, "{comma}{star}{}", rule.name)?;
            if let Some(port) = rule.port {
                write!(f, ":{port}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_within_others_permit_nothing_more() {
        let own: Allow = "example.org,*.index.test,registry.example:8443".parse().expect("rules");
        for (others, beyond) in [
            ("example.org", None),
            ("example.org:443", None),
            ("example.org:8080", Some("example.org:8080")),
            ("*.example.org", Some("*.example.org")),
            ("a.index.test,*.b.index.test", None),
            ("*.index.test", None),
            ("index.test", Some("index.test")),
            ("*.index.test:22", Some("*.index.test:22")),
            ("registry.example:8443", None),
            ("registry.example", Some("registry.example")),
            ("example.org,evil.test", Some("evil.test")),
        ] {
            let others: Allow = others.parse().expect("rules");
            assert_eq!(own.first_beyond(&others).as_deref(), beyond, "{others}");
        }
    }

    #[test]
    fn rules_say_what_they_mean() {
        let allow: Allow = "Example.org, *.index.test,registry.example:8443,*.a.example:1".parse().expect("rules");
        assert_eq!(allow.to_string(), "example.org,*.index.test,registry.example:8443,*.a.example:1");
        let permits = |name: &str, port| allow.permits(&Name::parse(name).expect("a name"), port);
        for (name, port, expected) in [
            ("example.org", 443, true),
            ("EXAMPLE.ORG.", 80, true),
            ("example.org", 22, false),
            ("www.example.org", 443, false),
            ("index.test", 443, false),
            ("files.index.test", 443, true),
            ("a.b.index.test", 80, true),
            ("evilindex.test", 443, false),
            ("index.test.evil.net", 443, false),
            ("registry.example", 8443, true),
            ("registry.example", 443, false),
            ("x.a.example", 1, true),
        ] {
            assert_eq!(permits(name, port), expected, "{name}:{port}");
            let name = Name::parse(name).expect("a name");
            let rule: Allow = Allow::rule_for(&name, port).parse().expect("a rule");
            assert!(rule.permits(&name, port));
        }
        assert!(!Allow::default().permits(&Name::parse("example.org").expect("a name"), 443));
        for bad in [
            "",
            "a,",
            "*",
            "*.org",
            "*.*.org",
            "127.0.0.1",
            "[::1]:80",
            "::1",
            "a:0",
            "a:x",
            "a:99999",
            "http://a",
            "a/b",
        ] {
            assert!(bad.parse::<Allow>().is_err(), "{bad}");
        }
    }
}
