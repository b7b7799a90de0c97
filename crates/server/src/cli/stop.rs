//! When the server ends: signals, and the end of standard input.

use std::future::pending;
use std::io::{ErrorKind, Read};
use std::time::Duration;

use tokio::signal::unix::{self, Signal, SignalKind};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Two signals within this time are one: a Ctrl-C goes to every process of the terminal, and one of them that started this
/// one (`npx`) sends it again. Nobody presses a key twice as fast.
pub(super) const SAME_KEY: Duration = Duration::from_millis(100);

/// The first is ready when the server is to take nothing new, the second when it is to end.
pub(super) fn stop(with_stdin: bool) -> Result<(impl Future<Output = ()>, impl Future<Output = ()>), String> {
    let refused = |error| format!("cannot wait for signals: {error}");
    let mut terminate = unix::signal(SignalKind::terminate()).map_err(refused)?;
    let mut interrupt = unix::signal(SignalKind::interrupt()).map_err(refused)?;
    let stdin_ended = with_stdin.then(stdin_ended);
    let (draining, drain) = oneshot::channel();
    let stop = async move {
        let stdin_ended = async {
            match stdin_ended {
                Some(ended) => drop(ended.await),
                None => pending().await,
            }
        };
        let signalled = async {
            let reason = signal(&mut terminate, &mut interrupt).await;
            tracing::info!(reason, "ending, once the runs have");
            // Whoever does not wait for it has ended.
            let _ = draining.send(());
            let until = Instant::now() + SAME_KEY;
            while tokio::time::timeout_at(until, signal(&mut terminate, &mut interrupt)).await.is_ok() {}
            signal(&mut terminate, &mut interrupt).await
        };
        let reason = tokio::select! {
            reason = signalled => reason,
            () = stdin_ended => "end of standard input",
        };
        tracing::info!(reason, "ending");
    };
    let drain = async {
        if drain.await.is_err() {
            pending::<()>().await; // there will be no signal: the end came by another way
        }
    };
    Ok((drain, stop))
}

async fn signal(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// A thread of its own, since a read from a terminal or a pipe cannot be taken back at the end.
fn stdin_ended() -> oneshot::Receiver<()> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        loop {
            match std::io::stdin().read(&mut buffer) {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        drop(sender);
    });
    receiver
}
