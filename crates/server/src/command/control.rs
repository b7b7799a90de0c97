//! Steers a command while its task reads it.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard};

use agb_protocol::command::TerminalSize;
use tokio::sync::Notify;

use super::input::Input;
use super::terminal::OpenTerminal;
use crate::budget::Charge;
use crate::lock::lock;
use crate::run::{InputError, Source};

/// Signals that may wait for a command which is starting, or whose sandbox takes them slowly: whoever sends more repeats
/// himself.
const MAX_SIGNALS: usize = 64;

/// Steers a command. Every method is without effect once it has ended.
#[derive(Clone, Debug)]
pub(super) struct CommandControl {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    orders: Mutex<Orders>,
    changed: Notify,
    input: Input,
    /// None for a command without one, and after its end: a terminal whose last handle goes hangs up.
    terminal: Mutex<Option<TerminalState>>,
}

/// Our end, and until the command has it the command's; or why there is none.
type TerminalState = Result<(Arc<OpenTerminal>, Option<OwnedFd>), String>;

#[derive(Debug, Default)]
struct Orders {
    interrupted: bool,
    signals: VecDeque<i32>,
}

/// The two ends of a terminal: ours, and the command's.
pub(super) type TerminalEnds = (Arc<OpenTerminal>, OwnedFd);

impl CommandControl {
    pub(super) fn new(stdin: bool, terminal: Option<TerminalSize>) -> Self {
        let input = Input::new(stdin, terminal.is_some());
        let terminal = terminal.map(|size| {
            let opened = OpenTerminal::open(size);
            opened
                .map(|(ours, theirs)| (Arc::new(ours), Some(theirs)))
                .map_err(|error| format!("this machine gives no terminal: {error}"))
        });
        let terminal = Mutex::new(terminal);
        Self { shared: Arc::new(Shared { orders: Mutex::default(), changed: Notify::new(), input, terminal }) }
    }

    pub(super) fn input(&self) -> &Input {
        &self.shared.input
    }

    /// The terminal, if the command is to have one. To be called once.
    pub(super) fn take_terminal(&self) -> Option<Result<TerminalEnds, String>> {
        match self.terminal().as_mut()? {
            Ok((ours, theirs)) => Some(Ok((Arc::clone(ours), theirs.take()?))),
            Err(reason) => Some(Err(reason.clone())),
        }
    }

    /// The command has ended: nothing reaches it any more.
    pub(super) fn close(&self) {
        self.shared.input.discard();
        *self.terminal() = None;
    }

    /// Whether the command was told to stop.
    pub(super) fn interrupted(&self) -> bool {
        self.orders().interrupted
    }

    /// The signal that is to be sent first. For the command task only.
    pub(super) fn next_signal(&self) -> Option<i32> {
        self.orders().signals.front().copied()
    }

    /// It has been sent.
    pub(super) fn signal_is_sent(&self) {
        self.orders().signals.pop_front();
    }

    /// Something was ordered. For the command task only: there is one waiter.
    pub(super) async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    fn terminal(&self) -> MutexGuard<'_, Option<TerminalState>> {
        lock(&self.shared.terminal)
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        // No code between lock and unlock panics.
        lock(&self.shared.orders)
    }
}

impl Source for CommandControl {
    /// It gets what Ctrl-C sends, or with a terminal what closing that sends, and is killed with everything it started if it
    /// has not stopped soon.
    fn interrupt(&self) {
        self.orders().interrupted = true;
        self.shared.changed.notify_one();
    }

    fn write_input(&self, data: String, held: Option<Charge>) -> Result<(), InputError> {
        self.shared.input.write(data, held)
    }

    fn end_input(&self) {
        self.shared.input.end();
    }

    fn resume(&self) {
        self.shared.changed.notify_one();
    }

    fn signal(&self, signal: i32) -> Result<(), &'static str> {
        let mut orders = self.orders();
        if orders.signals.len() >= MAX_SIGNALS {
            return Err("too many signals wait for the command");
        }
        orders.signals.push_back(signal);
        drop(orders);
        self.shared.changed.notify_one();
        Ok(())
    }

    fn resize(&self, size: TerminalSize) -> Result<(), &'static str> {
        match &*self.terminal() {
            Some(Ok((terminal, _))) => terminal.resize(size).map_err(|_| "the terminal does not take this size"),
            _ => Err("the command has no terminal: start it with `pty`"),
        }
    }
}
