//! What a session's programs are given beyond those of other sessions.

use agb_sandbox::Policy;

use crate::settings::Network;

/// What a session's programs are given beyond those of other sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProgramOptions {
    /// Environment variables, over those of the image.
    pub(crate) envs: Vec<(String, String)>,
    /// A network of the session's own, which is not wider than that of the server's programs.
    pub(crate) network: Option<Network>,
}

impl ProgramOptions {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// These variables over others.
    pub(crate) fn over(&self, mut env: Vec<(String, String)>) -> Vec<(String, String)> {
        env.retain(|(name, _)| !self.envs.iter().any(|(own, _)| own == name));
        env.extend(self.envs.iter().cloned());
        env
    }

    /// Gives a policy the session's own network. `servers` are the variables that tell of the server's.
    pub(crate) fn restrict(&self, policy: &mut Policy, servers: &[(String, String)]) {
        let Some(network) = &self.network else { return };
        policy.network = network.of_sandbox();
        policy.env.retain(|entry| !servers.contains(entry));
        let own = network.environment();
        let new = own.into_iter().filter(|(name, _)| !policy.env.iter().any(|(known, _)| known == name));
        let new: Vec<_> = new.collect();
        policy.env.extend(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_variables_come_over_others() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let options = ProgramOptions { envs: vec![pair("A", "own"), pair("B", "2")], network: None };
        let env = options.over(vec![pair("A", "image"), pair("C", "3")]);
        assert_eq!(env, [pair("C", "3"), pair("A", "own"), pair("B", "2")]);
        assert!(!options.is_default() && ProgramOptions::default().is_default());
    }
}
