//! Interpreter processes that keep state between runs and stream their output.
//!
//! One [`Kernel`] is one interpreter of one session. It starts with its first [`Cell`], queues cells in order, and
//! ends with its last handle. What a cell says are [`CellEvent`]s, ended by exactly one [`CellEvent::End`]: they go into a
//! [`CellSink`], or wait in an [`Execution`], which is a stream of them.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use agb_kernel::{Cell, CellEvent, Kernel, KernelSpec, Language, find_interpreter};
//! use agb_sandbox::{Launcher, Level, Policy};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! let python = find_interpreter(Language::Python, None)?;
//! let launcher = Arc::new(Launcher::start("/proc/self/exe")?); // see `agb_sandbox::main_if_helper`
//! let policy = Policy::new(Level::Namespaces, "/var/lib/example/session-1", 0);
//! let kernel = Kernel::new(KernelSpec::new(Language::Python, python, launcher, policy));
//! let mut execution = kernel.run(Cell::new("print('hello')", Duration::from_secs(60)));
//! while let Some(event) = execution.next().await {
//!     if let CellEvent::Stdout(text) = event {
//!         print!("{text}");
//!     }
//! }
//! kernel.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod actor;
mod background;
mod cache;
mod cell;
mod cell_run;
mod channel;
mod compiled;
mod control;
mod event_queue;
mod execution;
mod harness;
mod installation;
mod interpreter;
mod java;
mod javascript;
mod kernel;
mod launch;
mod message;
mod open_lock;
mod pipe;
mod process;
mod python;
mod queue;
mod r;
mod random;
mod rate;
mod room;
mod scratch;
mod sink;
mod spawn;
mod spec;
mod text;
mod zygote;
mod zygote_start;

pub use agb_protocol::{Language, Stream};
pub use cache::default_cache;
pub use cell::{Cell, CellEnd, CellError, CellEvent, Death, Outcome, ProtocolError, RichResult, StartError};
pub use channel::StdinError;
pub use event_queue::Hold;
pub use execution::{Execution, ExecutionControl};
pub use installation::readable;
pub use interpreter::{MissingInterpreter, find_interpreter, interpreter_lacks};
pub use kernel::Kernel;
#[doc(hidden)]
pub use message::read_control;
pub use open_lock::open_lock;
pub use rate::OutputRate;
pub use sink::CellSink;
pub use spec::{KernelLimits, KernelSpec};
pub use text::Utf8Decoder;
pub use zygote::Zygote;
