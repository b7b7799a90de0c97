//! Why a server did not start or has ended: words for a person, and with `--json` a line for a program.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::process::ExitCode;

use agb_server::{ClusterEnd, ExposureError, InvalidLimits, StartError};
use serde_json::json;

use super::out;

/// Codes do not change, messages may.
#[derive(Debug)]
pub(super) struct Failure {
    code: &'static str,
    message: String,
}

impl Failure {
    /// The command line's words make no sense.
    pub(super) fn usage(error: &clap::Error) -> Self {
        Self { code: "USAGE", message: error.to_string().trim_end().to_owned() }
    }

    /// Settings that do not go together.
    pub(super) fn settings(message: impl Into<String>) -> Self {
        Self { code: "BAD_SETTINGS", message: message.into() }
    }

    pub(super) fn cannot_listen(address: SocketAddr, error: &io::Error) -> Self {
        let (code, advice) = match error.kind() {
            ErrorKind::AddrInUse => (
                "ADDRESS_IN_USE",
                "; another program listens there: end it, or give --listen another port, 0 for a free one",
            ),
            ErrorKind::AddrNotAvailable => {
                ("ADDRESS_NOT_HERE", "; give --listen an address of this machine, such as 127.0.0.1")
            }
            ErrorKind::PermissionDenied => {
                ("ADDRESS_FORBIDDEN", "; ports below 1024 may be root's alone: give --listen a higher one")
            }
            _ => ("CANNOT_LISTEN", ""),
        };
        Self { code, message: format!("cannot listen on {address}: {error}{advice}") }
    }

    pub(super) fn not_prepared(message: String) -> Self {
        Self { code: "NOT_PREPARED", message }
    }

    /// The line for a program, on standard output.
    pub(super) fn tell_program(&self) {
        out::line(&json!({ "error": { "code": self.code, "message": self.message } }).to_string());
    }

    /// Tells it where it is read, and gives the exit status.
    pub(super) fn tell(self, as_json: bool) -> Result<ExitCode, String> {
        if !as_json {
            return Err(self.message);
        }
        self.tell_program();
        Ok(ExitCode::FAILURE)
    }
}

/// What the system refused.
impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self { code: "NOT_STARTED", message }
    }
}

impl From<InvalidLimits> for Failure {
    fn from(error: InvalidLimits) -> Self {
        Self::settings(error.to_string())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let code = match &error {
            StartError::Keys(_) => "BAD_KEYS",
            StartError::Tls(_) => "BAD_CERTIFICATE",
            StartError::PublicUrl(_) | StartError::Origin(_) => "BAD_SETTINGS",
            StartError::Isolation(_) => "NO_ISOLATION",
            StartError::Gateway(_) => "BAD_UPSTREAM",
            StartError::Cluster(_) => "BAD_CLUSTER",
            StartError::DataDir { .. } => "NO_DATA_DIR",
        };
        Self { code, message: error.to_string() }
    }
}

impl From<ExposureError> for Failure {
    fn from(error: ExposureError) -> Self {
        let code = match &error {
            ExposureError::Unencrypted(_) => "UNENCRYPTED",
            ExposureError::Key(_) => "BAD_KEYS",
        };
        Self { code, message: error.to_string() }
    }
}

impl From<ClusterEnd> for Failure {
    fn from(end: ClusterEnd) -> Self {
        let code = match &end {
            ClusterEnd::NameTaken { .. } => "NODE_NAME_TAKEN",
            ClusterEnd::Condemned(_) => "CONDEMNED",
        };
        Self { code, message: end.to_string() }
    }
}
