//! `cargo xtask demo --cluster`: three servers that act as one, etcd, a balancer, and the quick start through it while one
//! server is killed.

use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::artifacts::{self, Profile, Scope};
use crate::debian;
use crate::demo::{EXAMPLE, random_key, stamp_lines, start_server};
use crate::error::Error;
use crate::files;
use crate::process::{self, Running};
use crate::workspace::{Purpose, Workspace};

/// How long etcd and the servers may take to find each other.
const START: Duration = Duration::from_secs(30);
/// How long it may take until a server that was killed is declared lost: promised are 7 s.
const LOST: Duration = Duration::from_secs(20);
const NAMES: [&str; 3] = ["one", "two", "three"];

/// A server of the cluster.
struct Node {
    name: &'static str,
    address: String,
    server: Running,
}

/// What is needed to start servers and to ask them.
struct Demo<'a> {
    workspace: &'a Workspace,
    program: PathBuf,
    key: String,
    registry: String,
    begin: Instant,
}

pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode, Error> {
    artifacts::typescript(workspace)?;
    let programs = artifacts::programs(workspace, Profile::Dev, Scope::Programs)?;
    artifacts::place_addon(workspace, &programs)?;
    let etcd = debian::unpacked(workspace, &["etcd-server"], "usr/bin/etcd")?;
    let (_etcd, registry) = start_etcd(workspace, &etcd)?;
    println!("etcd      {registry}");
    let demo = Demo { workspace, program: programs.server, key: random_key()?, registry, begin: Instant::now() };
    let mut nodes = Vec::new();
    for name in NAMES {
        nodes.push(demo.start(name)?);
    }
    demo.wait("three servers that know each other", START, || {
        nodes.iter().all(|node| demo.metric(&node.address, "agb_cluster_nodes{state=\"up\"}") == Some(3))
    })?;
    let balancer_program = demo.program.with_file_name("agb-balancer");
    let mut balancer = workspace.command(balancer_program, Purpose::Work);
    balancer.args(nodes.iter().map(|node| &node.address));
    let (_balancer, endpoint) = start_server(workspace, &mut balancer, "demo-balancer.log")?;
    println!("balancer  {endpoint}\nprogram   examples/{EXAMPLE}\n");

    let mut program = workspace.command("node", Purpose::Work);
    program.args(["--import", "tsx", EXAMPLE]).current_dir(workspace.path("examples"));
    program.env("AGB_ENDPOINT", &endpoint).env("AGB_API_KEY", &demo.key);
    program.stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut program = Running::start(&mut program)?;
    let stdout = program.take_stdout().expect("its standard output is a pipe");
    let begin = demo.begin;
    let shown = thread::spawn(move || stamp_lines(BufReader::new(stdout), begin, &mut io::stdout()));

    let killed = demo.kill_one(&mut nodes)?;
    let status = program.wait()?;
    shown.join().expect("copying lines does not panic")?;
    demo.wait("it is declared lost", LOST, || {
        nodes.iter().all(|node| demo.metric(&node.address, "agb_cluster_nodes{state=\"up\"}") == Some(2))
    })?;
    demo.say(&format!("the others have declared {} lost", killed.name));
    let again = demo.start(killed.name)?;
    demo.wait("it is back", START, || demo.metric(&again.address, "agb_cluster_nodes{state=\"up\"}") == Some(3))?;
    nodes.push(again);
    for mut node in nodes {
        node.server.stop()?;
    }
    println!("\n{}", if status.success() { "the program noticed nothing" } else { "the program failed" });
    Ok(process::exit_code(status))
}

impl Demo<'_> {
    fn start(&self, name: &'static str) -> Result<Node, Error> {
        let mut server = self.workspace.command(&self.program, Purpose::Work);
        server.args(["serve", "--listen", "127.0.0.1:0", "--node-name", name, "--cluster", &self.registry]);
        server.arg("--data-dir").arg(self.workspace.target("")).env("AGB_API_KEY", &self.key);
        let (server, endpoint) = start_server(self.workspace, &mut server, &format!("demo-{name}.log"))?;
        self.say(&format!("server {name} at {endpoint}"));
        Ok(Node { name, address: endpoint.trim_start_matches("http://").to_owned(), server })
    }

    /// Kills the server that the program's WebSocket came to, where it passes that on; else another one than the session's.
    fn kill_one(&self, nodes: &mut Vec<Node>) -> Result<Node, Error> {
        self.wait("the program runs", START, || {
            nodes.iter().any(|node| self.metric(&node.address, "agb_runs") >= Some(1))
        })?;
        thread::sleep(Duration::from_secs(2)); // so that it can be seen before and after
        let owner = nodes.iter().position(|node| self.metric(&node.address, "agb_sessions") >= Some(1));
        let entry = nodes.iter().position(|node| self.metric(&node.address, "agb_tunnels") >= Some(1));
        let other = nodes.iter().enumerate().map(|(at, _)| at).find(|at| Some(*at) != owner);
        let at = entry.filter(|at| Some(*at) != owner).or(other).unwrap_or(0);
        let mut node = nodes.remove(at);
        let what =
            if entry == Some(at) { "the program's WebSocket goes through it" } else { "it has no part in the run" };
        node.server.kill()?;
        self.say(&format!("killed server {} (kill -9): {what}", node.name));
        Ok(node)
    }

    /// A number of a server's `/metrics`.
    fn metric(&self, address: &str, name: &str) -> Option<u64> {
        let ask = || -> io::Result<String> {
            let mut socket = TcpStream::connect(address)?;
            socket.set_read_timeout(Some(Duration::from_secs(5)))?;
            write!(
                socket,
                "GET /metrics HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
                self.key
            )?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = ask().ok()?;
        let line = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse().ok()
    }

    fn wait(&self, what: &str, time: Duration, is_so: impl Fn() -> bool) -> Result<(), Error> {
        let deadline = Instant::now() + time;
        while !is_so() {
            if Instant::now() > deadline {
                return Err(Error::Failed(format!("not within {} s: {what}", time.as_secs())));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn say(&self, what: &str) {
        println!("{:>8.3} s ● {what}", self.begin.elapsed().as_secs_f64());
    }
}

/// One member, with a folder of its own that is new each time.
fn start_etcd(workspace: &Workspace, etcd: &debian::Unpacked) -> Result<(Running, String), Error> {
    let free = || -> io::Result<u16> { Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port()) };
    let (clients, peers) = (format!("http://127.0.0.1:{}", free()?), format!("http://127.0.0.1:{}", free()?));
    let folder = workspace.state("demo-etcd");
    files::remove(&folder)?;
    let path = workspace.state("demo-etcd.log");
    let log = std::fs::File::create(&path).map_err(Error::file(&path))?;
    let mut command: Command = etcd.command(workspace);
    command.arg("--data-dir").arg(&folder).args([
        "--listen-client-urls",
        &clients,
        "--advertise-client-urls",
        &clients,
    ]);
    command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
    command.args(["--initial-cluster", &format!("default={peers}")]);
    command.args(["--auto-compaction-mode", "periodic", "--auto-compaction-retention", "10m"]);
    command.stdout(log.try_clone()?).stderr(log);
    let running = Running::start(&mut command)?;
    let address = clients.trim_start_matches("http://").to_owned();
    let deadline = Instant::now() + START;
    while TcpStream::connect(&address).is_err() {
        if Instant::now() > deadline {
            return Err(Error::Failed(format!("etcd did not start; its log: {}", workspace.display(&path))));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok((running, format!("etcd://{address}/demo")))
}
