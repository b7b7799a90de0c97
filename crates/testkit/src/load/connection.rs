//! One WebSocket: what the client asks for comes in on one task, what is printed goes out on another.

use agb_protocol::DEFAULT_TARGET;
use agb_protocol::service::{Reply, Request, parse_request};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use super::printing::{Next, Printing};
use super::websocket::{self, FromClient};
use super::workload::Workload;

/// Bytes that are written at once.
const BLOCK: usize = 256 * 1024;

/// Talks until the client goes away. `buffer` is what it said behind its handshake.
pub(super) async fn run(socket: TcpStream, buffer: Vec<u8>) {
    let (reading, writing) = socket.into_split();
    let (sender, receiver) = unbounded_channel();
    let reader = tokio::spawn(read(reading, buffer, sender));
    // A client that goes away while it is written to is not an error.
    let _ = write(writing, receiver).await;
    reader.abort();
}

async fn read(mut socket: OwnedReadHalf, mut buffer: Vec<u8>, sender: UnboundedSender<FromClient>) {
    while let Ok(Some(frame)) = websocket::read(&mut socket, &mut buffer).await {
        if sender.send(frame).is_err() {
            return;
        }
    }
}

async fn write(mut socket: OwnedWriteHalf, mut client: UnboundedReceiver<FromClient>) -> std::io::Result<()> {
    let mut runs: Vec<Printing> = Vec::new();
    let mut block = Vec::with_capacity(BLOCK + BLOCK / 4);
    loop {
        while let Ok(frame) = client.try_recv() {
            if !hear(frame, &mut runs, &mut block) {
                return socket.write_all(&block).await;
            }
        }
        let wait = print(&mut runs, &mut block);
        if !block.is_empty() {
            socket.write_all(&block).await?;
            block.clear();
            // The kernel may take everything: the reader must get its turn all the same.
            tokio::task::yield_now().await;
            continue;
        }
        let said = tokio::select! {
            said = client.recv() => said,
            () = due(wait) => continue,
        };
        let Some(frame) = said else { return Ok(()) };
        if !hear(frame, &mut runs, &mut block) {
            return socket.write_all(&block).await;
        }
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Fills the block, an event of each run in turn. When nothing can be written: when to look again.
fn print(runs: &mut Vec<Printing>, block: &mut Vec<u8>) -> Option<Instant> {
    let now = Instant::now();
    let mut wait: Option<Instant> = None;
    loop {
        let mut more = false;
        runs.retain_mut(|run| match run.print(block, now) {
            Next::More => {
                more |= !run.flushes();
                true
            }
            Next::At(at) => {
                wait = Some(wait.map_or(at, |wait| wait.min(at)));
                true
            }
            Next::Blocked => true,
            Next::Ended => false,
        });
        if !more || block.len() >= BLOCK {
            return wait;
        }
    }
}

/// Takes in what the client said. `false`: it said goodbye.
fn hear(frame: FromClient, runs: &mut Vec<Printing>, block: &mut Vec<u8>) -> bool {
    let text = match frame {
        FromClient::Text(text) => text,
        FromClient::Ping(data) => {
            websocket::push_pong(block, &data);
            return true;
        }
        FromClient::Close => {
            websocket::push_close(block);
            return false;
        }
    };
    let run = |runs: &mut Vec<Printing>, id: &str, act: &dyn Fn(&mut Printing)| {
        runs.iter_mut().filter(|run| run.invocation == id).for_each(act);
    };
    match parse_request(&text) {
        Ok(Request::Start { invocation, start, .. }) => match Workload::parse(&start.code) {
            Ok(workload) => runs.push(Printing::new(invocation, &start, workload, Instant::now())),
            Err(message) => fail(block, &invocation, &message),
        },
        Ok(Request::Ack { invocation, seq }) => run(runs, &invocation, &|run| run.ack(seq)),
        Ok(Request::Cancel { invocation }) => run(runs, &invocation, &Printing::cancel),
        Ok(Request::Resume { invocation, .. }) => fail(block, &invocation, "a load server keeps nothing"),
        Ok(Request::StartCommand { invocation, .. }) => fail(block, &invocation, "a load server runs no commands"),
        Ok(_) | Err(_) => {}
    }
    true
}

fn fail(block: &mut Vec<u8>, invocation: &str, message: &str) {
    let frame = Reply { invocation, source: DEFAULT_TARGET, seq: None, time: None }.failed(message);
    websocket::push_text(block, frame.as_bytes());
}
