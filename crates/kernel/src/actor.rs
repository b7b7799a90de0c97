//! The task behind a kernel.

use std::sync::Arc;

use tokio::sync::watch;

use crate::kernel::Queue;
use crate::{CellEnd, KernelSpec, Outcome, StartError};

pub(crate) async fn run(spec: Arc<KernelSpec>, queue: Arc<Queue>, stop: watch::Sender<bool>) {
    while !queue.is_closed() {
        match queue.pop() {
            Some(job) => job.end(CellEnd::never(Outcome::NotStarted(
                StartError::Unsupported(spec.language),
            ))),
            None => queue.changed().await,
        }
    }
    stop.send_replace(true);
}
