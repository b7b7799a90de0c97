//! One connection through the proxy.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch::{Receiver, Sender};

use super::schedule::{Fault, Plan};

/// What passes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mode {
    /// Everything.
    Flowing,
    /// Nothing for so long, then everything.
    Stalled(Duration),
    /// Nothing any more.
    Silent,
    /// It is over.
    Cut { reset: bool },
}

/// Bytes that are read at once.
const PIECE: usize = 16 * 1024;
/// A request's head is shorter.
const LONGEST_HEAD: usize = 16 * 1024;

/// Reads a request's head, and whatever has come behind it.
pub(super) async fn read_head(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") && head.len() < LONGEST_HEAD {
        if client.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(head)
}

pub(super) fn asks_for_websocket(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head).to_lowercase();
    head.lines().any(|line| line.strip_prefix("upgrade:").is_some_and(|value| value.trim() == "websocket"))
}

/// Answers as a network that lets no WebSocket through.
pub(super) async fn refuse(client: &mut TcpStream, status: u16) -> io::Result<()> {
    let answer = format!("HTTP/1.1 {status} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    client.write_all(answer.as_bytes()).await?;
    client.shutdown().await
}

/// Passes bytes both ways, the head first, until both ends are done or the plan or a test ends it. `count` hears of
/// each fault that happens.
pub(super) async fn pass(
    client: TcpStream,
    server: TcpStream,
    head: Vec<u8>,
    plan: Plan,
    (sender, mode): (Sender<Mode>, Receiver<Mode>),
    count: impl Fn(Mode),
) {
    for socket in [&client, &server] {
        // What is written is a piece; waiting to fill a packet would only delay it.
        let _ = socket.set_nodelay(true);
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut up = Pump { from: from_client, to: to_server, delay: plan.delay, mode: mode.clone(), fault: None };
    let mut down = Pump { from: from_server, to: to_client, delay: plan.delay, mode: mode.clone(), fault: None };
    down.fault = plan.fault.map(|fault| match fault {
        Fault::Cut { after, reset } => (after, Mode::Cut { reset }, sender.clone()),
        Fault::Silence { after } => (after, Mode::Silent, sender.clone()),
        Fault::Stall { after, time } => (after, Mode::Stalled(time), sender.clone()),
        Fault::Refuse { .. } => (u64::MAX, Mode::Flowing, sender.clone()), // has been dealt with before
    });
    let watched = mode.clone();
    let both = async {
        if up.to.write_all(&head).await.is_ok() {
            tokio::join!(up.run(), down.run());
        }
    };
    tokio::select! {
        () = both => {}
        reset = watch(watched, &sender, count) => if reset {
            for socket in [up.from.as_ref(), down.from.as_ref()] {
                // Then closing it is a reset.
                let _ = socket.set_zero_linger();
            }
        },
    }
}

/// Ends stalls, counts faults, and returns when the connection is to be cut: whether by a reset.
async fn watch(mut mode: Receiver<Mode>, sender: &Sender<Mode>, count: impl Fn(Mode)) -> bool {
    loop {
        let now = *mode.borrow_and_update();
        count(now);
        match now {
            Mode::Cut { reset } => return reset,
            Mode::Stalled(time) => {
                tokio::select! {
                    () = tokio::time::sleep(time) => {
                        sender.send_if_modified(|mode| {
                            let is_over = matches!(mode, Mode::Stalled(_));
                            if is_over {
                                *mode = Mode::Flowing;
                            }
                            is_over
                        });
                    }
                    _ = mode.changed() => {}
                }
            }
            Mode::Flowing | Mode::Silent => {
                if mode.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

/// One direction.
struct Pump {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    delay: Duration,
    mode: Receiver<Mode>,
    /// After how many more bytes which mode comes.
    fault: Option<(u64, Mode, Sender<Mode>)>,
}

impl Pump {
    async fn run(&mut self) {
        let mut piece = vec![0; PIECE];
        loop {
            let most = self.fault.as_ref().map_or(PIECE as u64, |(after, ..)| *after).min(PIECE as u64);
            let most = usize::try_from(most).unwrap_or(PIECE);
            if most == 0 {
                if let Some((_, mode, sender)) = self.fault.take() {
                    sender.send_replace(mode);
                }
                continue;
            }
            self.flows().await;
            let read = self.from.read(&mut piece[..most]).await;
            let Ok(length @ 1..) = read else { break };
            if !self.delay.is_zero() {
                tokio::time::sleep(self.delay).await;
            }
            // What came in the very moment belongs to the time before or after, never into a silence.
            self.flows().await;
            if self.to.write_all(&piece[..length]).await.is_err() {
                break;
            }
            if let Some((after, ..)) = &mut self.fault {
                *after -= length as u64;
            }
        }
        let _ = self.to.shutdown().await;
    }

    /// Waits until bytes may pass.
    async fn flows(&mut self) {
        if self.mode.wait_for(|mode| *mode == Mode::Flowing).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
