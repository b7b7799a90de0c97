//! Several servers behind a balancer that knows nothing of sessions: each server is replaced while runs go on.

use std::net::SocketAddr;
use std::time::Duration;

use agb_client::{Agb, RunEvent};
use agb_server::{Config, MemoryRegistry, RegistryUrl, Server};
use agb_testkit::balancer::Balancer;
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::network::{client, session};
use crate::server::KEY;

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const LINES: usize = 30;
/// Runs while servers are replaced: as many clients, each with one run after the other, until all servers are new.
const CLIENTS: usize = 10;
const RUNS: usize = 100;

/// A server of the cluster, in this process.
pub(crate) struct Node {
    name: &'static str,
    pub(crate) address: SocketAddr,
    drain: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Node {
    pub(crate) async fn start(registry: &MemoryRegistry, name: &'static str) -> Self {
        let mut config = Config::new(KEY.into());
        config.warm.most = 0;
        config.contexts.folder = None;
        config.data_dir = tempfile::tempdir().expect("a folder").keep();
        config.cluster.registry = Some(RegistryUrl::Memory(registry.clone()));
        config.cluster.node_name = Some(name.to_owned());
        config.cluster.beat = Duration::from_millis(200);
        config.cluster.drain_sessions = PATIENCE;
        let folder = config.data_dir.clone();
        let server = Server::new(config).expect("the server starts");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (drain, drained) = oneshot::channel();
        let task = tokio::spawn(async move {
            let drain = async { drop(drained.await) };
            server.serve_and_drain(listener, drain, std::future::pending()).await;
            std::fs::remove_dir_all(folder).expect("only the lock of its name is left");
        });
        let node = Self { name, address, drain, task };
        while node.readiness().await != "200" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        node
    }

    /// Drains it, and waits until it has ended.
    pub(crate) async fn end(self) {
        self.drain.send(()).expect("it serves");
        tokio::time::timeout(2 * PATIENCE, self.task).await.expect("it ends").expect("no panic");
    }

    /// The status of `/readyz`, as a balancer asks for it.
    async fn readiness(&self) -> String {
        let ask = async {
            let mut socket = TcpStream::connect(self.address).await?;
            socket.write_all(b"GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        ask.await.ok().and_then(|answer| Some(answer.split(' ').nth(1)?.to_owned())).unwrap_or_default()
    }
}

/// Runs programs in sessions of their own, one after the other; each line is checked.
pub(crate) async fn run_all(agb: &Agb, name: usize, count: usize) -> usize {
    for number in 0..count {
        let session = session(agb).await;
        let code = format!(
            "import time\nfor i in range({LINES}):\n    print(f'{{i}} of {name}.{number}', flush=True)\n    time.sleep(0.02)"
        );
        let mut run = session.code().run(code, "python").stream().expect("it is sent");
        let mut out = String::new();
        while let Some(event) = run.next().await {
            match event {
                RunEvent::Stdout(chunk) => out.push_str(&chunk),
                RunEvent::Stderr(chunk) => panic!("{chunk}"),
                _ => {}
            }
        }
        let result = run.finish().await;
        assert!(result.success, "{name}.{number}: {result:?}");
        assert_eq!(out, (0..LINES).map(|i| format!("{i} of {name}.{number}\n")).collect::<String>());
        session.delete().await.expect("it is deleted");
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_are_replaced_under_a_hundred_runs_and_none_fails() {
    let registry = MemoryRegistry::default();
    let mut nodes = Vec::new();
    for name in ["a", "b", "c"] {
        nodes.push(Node::start(&registry, name).await);
    }
    let balancer = Balancer::start(nodes.iter().map(|node| node.address).collect()).await.expect("a free port");
    let agb = client(balancer.address(), |_| {});
    let clients = join_all((0..CLIENTS).map(|name| run_all(&agb, name, RUNS / CLIENTS)));
    let replacing = async {
        for at in 0..nodes.len() {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let old = nodes.remove(0);
            let name = old.name;
            let (drain, task) = (old.drain, old.task);
            drain.send(()).expect("it serves");
            // A balancer sees at its next look that the server takes nothing new.
            let others: Vec<_> = nodes.iter().map(|node| node.address).collect();
            balancer.set_servers(others.clone());
            tokio::time::timeout(2 * PATIENCE, task).await.expect("it ends").expect("no panic");
            let new = Node::start(&registry, name).await;
            balancer.set_servers(others.into_iter().chain([new.address]).collect());
            nodes.push(new);
            println!("server {name} is new ({} of 3)", at + 1);
        }
    };
    let (runs, ()) = tokio::join!(clients, replacing);
    assert_eq!(runs.into_iter().sum::<usize>(), RUNS);
    for node in nodes {
        node.end().await;
    }
}
