//! The one I/O thread of the process.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle};

/// The I/O thread's runtime; the thread is started at the first use.
///
/// One thread for all of the process: a runtime with several costs 3 to 15 % more processor time and some 10 µs of
/// latency, and there is never enough work for two.
///
/// # Errors
/// What the system said when it gave no thread.
pub(crate) fn handle() -> Result<&'static Handle, String> {
    static HANDLE: OnceLock<Result<Handle, String>> = OnceLock::new();
    HANDLE.get_or_init(start).as_ref().map_err(Clone::clone)
}

/// Runs a future on the I/O thread.
///
/// # Errors
/// As [`handle`].
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Result<(), String> {
    handle()?.spawn(future);
    Ok(())
}

fn start() -> Result<Handle, String> {
    let failed = |error: std::io::Error| format!("the I/O thread cannot be started: {error}");
    let runtime = Builder::new_current_thread()
        .enable_all()
        // Looking up host names is all that blocks.
        .max_blocking_threads(4)
        .build()
        .map_err(failed)?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("agb-io".into())
        // It lives as long as the process; the system ends it.
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .map_err(failed)?;
    Ok(handle)
}
