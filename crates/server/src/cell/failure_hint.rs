//! What a failure says about what its program lacked: a network, a package.

use agb_protocol::RunStatus;

use super::{Ended, ModuleHints};
use crate::run::event::{RunFailure, one_line, shortened_failure};
use crate::shorten::{MAX_MESSAGE, cut};
use crate::workspace::egress::NetworkHints;

/// Adds to the failure of one run what would have let its program reach the network, or find the package.
#[derive(Debug)]
pub(crate) struct FailureHint {
    network: NetworkHints,
    modules: ModuleHints,
    hint: Option<String>,
}

impl FailureHint {
    pub(crate) fn new(network: NetworkHints, modules: ModuleHints) -> Self {
        Self { network, modules, hint: None }
    }

    /// To the program's own error, which has the length then that a person reads: it is looked through on the thread that
    /// serves everybody, and a program may make it as large as a message.
    pub(crate) fn failure(&mut self, failure: RunFailure) -> RunFailure {
        let mut failure = shortened_failure(failure);
        let hint = || self.network.hint(&failure).or_else(|| self.modules.hint(&failure));
        self.hint = self.hint.take().or_else(hint);
        if let Some(hint) = &self.hint {
            let said = cut(failure.value, MAX_MESSAGE.saturating_sub(hint.len() + " ()".len()));
            failure.value = format!("{said} ({hint})");
        }
        failure
    }

    /// To the end, which repeats the error.
    pub(crate) fn ended(&mut self, ended: Ended) -> Ended {
        let Ended { failure, mut finish } = ended;
        let failure = failure.map(|failure| self.failure(failure));
        if let (Some(failure), Some(RunStatus::Failed)) = (&failure, finish.reason) {
            finish.execution_error = Some(one_line(failure));
        }
        Ended { failure, finish }
    }
}

#[cfg(test)]
mod tests {
    use agb_egress::Outside;
    use agb_protocol::Language;

    use super::*;
    use crate::images::Images;
    use crate::run::event::failure;
    use crate::settings::Network;
    use crate::workspace::egress::Proxies;

    #[tokio::test]
    async fn a_failure_for_want_of_network_says_how_to_have_one() {
        let hints = NetworkHints::new(Proxies::new(Network::None, Outside::internet()), 1);
        let modules = || ModuleHints::new(Images::default().find(None).expect("the built-in image"), Language::Python);
        let hint = |error| FailureHint::new(hints.clone(), modules()).failure(error).value;
        let value = hint(failure("URLError", "<urlopen error [Errno -3] Temporary failure in name resolution>"));
        assert!(value.contains("--network allow=DOMAIN"), "{value}");
        assert_eq!(hint(failure("ZeroDivisionError", "division by zero")), "division by zero");
        let value = hint(failure("ModuleNotFoundError", "No module named 'matplotlib'"));
        assert!(value.contains("images prepare"), "{value}");
        // However much a program says: the hint is read, and what nobody reads is not looked through.
        let long = "x".repeat(1 << 20);
        let value = hint(failure("ModuleNotFoundError", format!("No module named 'matplotlib' {long}")));
        assert!(value.len() <= MAX_MESSAGE && value.ends_with(')') && value.contains("images prepare"), "{value}");
        let value = hint(failure("ModuleNotFoundError", format!("{long} No module named 'matplotlib'")));
        assert!(value.len() <= MAX_MESSAGE && !value.contains("images prepare"), "{value}");
    }
}
