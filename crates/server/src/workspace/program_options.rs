//! What a session's programs are given beyond those of other sessions.

use agb_sandbox::Policy;

/// What a session's programs are given beyond those of other sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProgramOptions {
    /// Environment variables, over those of the image.
    pub(crate) envs: Vec<(String, String)>,
    /// No network, whatever the server's programs have.
    pub(crate) no_network: bool,
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

    /// Takes the network out of a policy. `proxy` are the variables that tell programs of it.
    pub(crate) fn restrict(&self, policy: &mut Policy, proxy: &[(String, String)]) {
        if self.no_network {
            policy.network = agb_sandbox::Network::None;
            policy.env.retain(|entry| !proxy.contains(entry));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_variables_come_over_others() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let options = ProgramOptions { envs: vec![pair("A", "own"), pair("B", "2")], no_network: false };
        let env = options.over(vec![pair("A", "image"), pair("C", "3")]);
        assert_eq!(env, [pair("C", "3"), pair("A", "own"), pair("B", "2")]);
        assert!(!options.is_default() && ProgramOptions::default().is_default());
    }
}
