//! etcd on free ports of this machine, for tests: members that can be killed, wiped and put back to a copy.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A member starts in a second; a busy machine takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Members of one etcd. All end when this is dropped, and their folder is removed.
#[derive(Debug)]
pub struct Etcd {
    program: PathBuf,
    folder: PathBuf,
    members: Vec<Member>,
    options: Vec<String>,
    scheme: &'static str,
    /// How often it was made anew: members of another time are strangers.
    time: u32,
}

#[derive(Debug)]
struct Member {
    client: SocketAddr,
    peer: SocketAddr,
    child: Option<Child>,
}

/// Where etcd is: `AGB_ETCD`, on the path, or unpacked among the tools below the folder of build results.
#[must_use]
pub fn program() -> Option<PathBuf> {
    tool("etcd", "AGB_ETCD")
}

fn tool(name: &str, variable: &str) -> Option<PathBuf> {
    let given = std::env::var_os(variable).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(name)).collect::<Vec<_>>();
    let tools = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools"));
    let unpacked = tools.into_iter().flatten().flatten().map(|folder| folder.path().join("usr/bin").join(name));
    given.into_iter().chain(on_path).chain(unpacked).find(|file| file.is_file())
}

impl Etcd {
    /// Starts this many members in a new folder and waits until they have a leader.
    ///
    /// # Errors
    /// When there is no etcd, or it does not start.
    pub fn start(folder: &Path, members: usize) -> io::Result<Self> {
        Self::start_with(folder, members, &[])
    }

    /// The same with more options for each member. With `--cert-file` among them clients need TLS.
    ///
    /// # Errors
    /// As [`Etcd::start`].
    pub fn start_with(folder: &Path, members: usize, options: &[&str]) -> io::Result<Self> {
        let missing = "etcd is missing: `cargo xtask test` unpacks it; or install etcd-server, or set AGB_ETCD";
        let program = program().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, missing))?;
        let member = || Ok(Member { client: free_port()?, peer: free_port()?, child: None });
        let mut etcd = Self {
            program,
            folder: folder.to_owned(),
            members: (0..members).map(|_| member()).collect::<io::Result<_>>()?,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            scheme: if options.contains(&"--cert-file") { "https" } else { "http" },
            time: 0,
        };
        fs::create_dir_all(&etcd.folder)?;
        etcd.start_all()?;
        Ok(etcd)
    }

    /// Where its members take clients.
    #[must_use]
    pub fn clients(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.client).collect()
    }

    /// What `--cluster` takes.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.clients().iter().map(ToString::to_string).collect();
        let scheme = if self.scheme == "https" { "etcds" } else { "etcd" };
        format!("{scheme}://{}/agb", hosts.join(","))
    }

    /// The member that leads, if there is one.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        (0..self.members.len()).find(|index| {
            let Ok(status) = self.post(*index, "/v3/maintenance/status", "{}") else { return false };
            status["leader"].is_string() && status["leader"] == status["header"]["member_id"]
        })
    }

    /// A call of the JSON gateway of one member, without TLS.
    ///
    /// # Errors
    /// When it does not answer with JSON.
    pub fn post(&self, index: usize, path: &str, body: &str) -> io::Result<Value> {
        let address = self.members[index].client;
        let mut socket = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        let length = body.len();
        write!(
            socket,
            "POST {path} HTTP/1.0\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).map_err(|error| io::Error::other(format!("{error}: {answer:?}")))
    }

    /// Kills one member as a power failure does.
    pub fn kill(&mut self, index: usize) {
        if let Some(mut child) = self.members[index].child.take() {
            // One that has ended already cannot be killed, and is waited for all the same.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Kills all members.
    pub fn kill_all(&mut self) {
        (0..self.members.len()).for_each(|index| self.kill(index));
    }

    /// Starts those that do not run, and waits until there is a leader.
    ///
    /// # Errors
    /// When one does not start.
    pub fn start_all(&mut self) -> io::Result<()> {
        for index in 0..self.members.len() {
            if self.members[index].child.is_none() {
                self.members[index].child = Some(self.spawn(index)?);
            }
        }
        if self.scheme == "https" {
            return self.wait(|etcd| etcd.members.iter().all(|member| TcpStream::connect(member.client).is_ok()));
        }
        self.wait(|etcd| etcd.leader().is_some())
    }

    /// Makes all anew: everything that it held is gone.
    ///
    /// # Errors
    /// When it does not start.
    pub fn wipe(&mut self) -> io::Result<()> {
        self.kill_all();
        self.time += 1;
        for index in 0..self.members.len() {
            fs::remove_dir_all(self.data(index))?;
        }
        self.start_all()
    }

    /// Stops it, keeps a copy of what it holds, and starts it again.
    ///
    /// # Errors
    /// When the copy cannot be made, or it does not start.
    pub fn save(&mut self) -> io::Result<()> {
        self.kill_all();
        for index in 0..self.members.len() {
            let copy = self.folder.join(format!("copy-{index}"));
            if copy.exists() {
                fs::remove_dir_all(&copy)?;
            }
            copy_folder(&self.data(index), &copy)?;
        }
        self.start_all()
    }

    /// Puts the copy in the place of what it holds.
    ///
    /// # Errors
    /// When there is no copy, or it does not start.
    pub fn restore(&mut self) -> io::Result<()> {
        self.kill_all();
        for index in 0..self.members.len() {
            fs::remove_dir_all(self.data(index))?;
            copy_folder(&self.folder.join(format!("copy-{index}")), &self.data(index))?;
        }
        self.start_all()
    }

    /// Has etcd write a snapshot of what it holds into this file.
    ///
    /// # Errors
    /// When `etcdctl` is missing or fails.
    pub fn take_snapshot(&self, file: &Path) -> io::Result<()> {
        let endpoint = format!("http://{}", self.members[0].client);
        etcdctl(&["--endpoints", &endpoint, "snapshot", "save", &file.to_string_lossy()])
    }

    /// Makes all members anew from such a file.
    ///
    /// # Errors
    /// When `etcdctl` is missing or fails, or etcd does not start.
    pub fn restore_snapshot(&mut self, file: &Path) -> io::Result<()> {
        self.kill_all();
        self.time += 1;
        let token = format!("time-{}", self.time);
        for (index, member) in self.members.iter().enumerate() {
            let data = self.data(index);
            fs::remove_dir_all(&data)?;
            let (name, peer) = (format!("m{index}"), format!("http://{}", member.peer));
            let [file, data] = [file, &data].map(Path::to_string_lossy);
            let of_it = ["--name", &name, "--data-dir", &data, "--initial-advertise-peer-urls", &peer];
            let of_all = ["--initial-cluster", &self.peers(), "--initial-cluster-token", &token];
            etcdctl(&[&["snapshot", "restore", &file], &of_it[..], &of_all[..]].concat())?;
        }
        self.start_all()
    }

    /// All members, by name.
    fn peers(&self) -> String {
        let members = self.members.iter().enumerate();
        let peers = members.map(|(index, member)| format!("m{index}=http://{}", member.peer));
        peers.collect::<Vec<_>>().join(",")
    }

    fn data(&self, index: usize) -> PathBuf {
        self.folder.join(format!("member-{index}"))
    }

    fn spawn(&self, index: usize) -> io::Result<Child> {
        let member = &self.members[index];
        let log = File::options().create(true).append(true).open(self.folder.join(format!("member-{index}.log")))?;
        let client = format!("{}://{}", self.scheme, member.client);
        Command::new(&self.program)
            .args(["--name", &format!("m{index}"), "--data-dir"])
            .arg(self.data(index))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &format!("http://{}", member.peer)])
            .args(["--initial-advertise-peer-urls", &format!("http://{}", member.peer)])
            .args(["--initial-cluster", &self.peers()])
            .args(["--initial-cluster-token", &format!("time-{}", self.time), "--log-level", "error"])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
    }

    fn wait(&mut self, is_so: impl Fn(&Self) -> bool) -> io::Result<()> {
        let until = Instant::now() + PATIENCE;
        while !is_so(self) {
            for index in 0..self.members.len() {
                if let Some(child) = &mut self.members[index].child
                    && let Some(status) = child.try_wait()?
                {
                    let log = fs::read_to_string(self.folder.join(format!("member-{index}.log"))).unwrap_or_default();
                    return Err(io::Error::other(format!("member {index} of etcd has ended ({status}): {log}")));
                }
            }
            if Instant::now() > until {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "etcd has no leader"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill_all();
        // What is left lies in a folder of the test's.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Runs etcd's own client: `AGB_ETCDCTL`, on the path, or unpacked among the tools.
fn etcdctl(arguments: &[&str]) -> io::Result<()> {
    let missing = "etcdctl is missing: `cargo xtask test` unpacks it; or install etcd-client, or set AGB_ETCDCTL";
    let program = tool("etcdctl", "AGB_ETCDCTL").ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, missing))?;
    let output = Command::new(program).args(arguments).env("ETCDCTL_API", "3").output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("etcdctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))),
    }
}

fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    let mut folders = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = folders.pop() {
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            let target = to.join(entry.file_name());
            match entry.file_type()?.is_dir() {
                true => folders.push((entry.path(), target)),
                false => drop(fs::copy(entry.path(), target)?),
            }
        }
    }
    Ok(())
}
