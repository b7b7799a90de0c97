//! What a sandbox says over its control socket, and what it is told.

use super::bytes::{Reader, Writer};
use crate::error::Stage;
use crate::reports::Abilities;

/// The largest control message.
pub(crate) const MAX_MESSAGE: usize = 1 << 10;

/// What a sandbox says over its control socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// From the launcher: the sandbox's first process exists; a descriptor that names it comes with this.
    Created,
    /// From the program's process, just before it becomes the program: the kernel tells its number.
    Starting,
    /// From the sandbox's first process: the program runs.
    Running(Abilities),
    /// Something failed; it ends.
    Failed { stage: Stage, errno: i32, detail: String },
    /// From the sandbox's first process: the listening socket for its egress proxy comes with this.
    ProxySocket,
    /// From the sandbox's first process: the network that it has made for its session comes with this.
    Network,
    /// From the first process of a process table: the namespaces that others enter it by come with this.
    Processes,
    /// From the sandbox's first process: a signal that was ordered is sent.
    Signalled,
    /// The program has ended, as `wait` reports it.
    Ended { status: i32 },
}

impl Message {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        match self {
            Self::Created => out.number(0),
            Self::Starting => out.number(1),
            Self::Running(Abilities { has_proc, changes_files }) => {
                out.number(2);
                out.number(u64::from(*has_proc));
                out.number(u64::from(*changes_files));
            }
            Self::Failed { stage, errno, detail } => {
                out.number(3);
                out.number(Stage::ALL.iter().position(|known| known == stage).expect("ALL has all") as u64);
                out.number(u64::from(errno.unsigned_abs()));
                let end = (0..=detail.len().min(MAX_MESSAGE / 2)).rev().find(|&at| detail.is_char_boundary(at));
                out.bytes(&detail.as_bytes()[..end.unwrap_or(0)]);
            }
            Self::ProxySocket => out.number(5),
            Self::Signalled => out.number(6),
            Self::Network => out.number(7),
            Self::Processes => out.number(8),
            Self::Ended { status } => {
                out.number(4);
                out.number(u64::from(status.cast_unsigned()));
            }
        }
        out.0
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader(bytes);
        let message = match input.number()? {
            0 => Self::Created,
            1 => Self::Starting,
            2 => Self::Running(Abilities { has_proc: input.number()? != 0, changes_files: input.number()? != 0 }),
            3 => Self::Failed {
                stage: *Stage::ALL.get(usize::try_from(input.number()?).ok()?)?,
                errno: i32::try_from(input.number()?).ok()?,
                detail: String::from_utf8_lossy(input.bytes()?).into_owned(),
            },
            5 => Self::ProxySocket,
            6 => Self::Signalled,
            7 => Self::Network,
            8 => Self::Processes,
            4 => Self::Ended { status: u32::try_from(input.number()?).ok()?.cast_signed() },
            _ => return None,
        };
        input.0.is_empty().then_some(message)
    }
}

/// What the server tells a sandbox's first process: a signal for the program's process group, or zero: end.
pub(crate) fn order(signal: u8) -> [u8; 1] {
    [signal]
}

/// What the server tells the first process of a process table: who has entered it, by the descriptor that comes with this.
pub(crate) const ENTERED: [u8; 1] = [1];

/// The same: something could not enter it as it should, and may have left others.
pub(crate) const LEFT_OVER: [u8; 1] = [2];
