//! The files of `examples/deploy`: read by the programs they are for, and run where those can be had.
//!
//! nginx and HAProxy are Debian's, unpacked below `target/tools` by `cargo xtask test --only rust`.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use yaml_rust2::{Yaml, YamlLoader};

use crate::cluster::{Node, PATIENCE, run_all};
use crate::network::client;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn deploy(name: &str) -> String {
    let file = root().join("examples/deploy").join(name);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// A program that was unpacked from a Debian package.
fn tool(package: &str) -> Command {
    let folder = root().join("target/tools").join(package);
    let program = folder.join("usr/sbin").join(package);
    assert!(program.is_file(), "{} is not there: run cargo xtask test --only rust once", program.display());
    let mut command = Command::new(program);
    let libraries = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    command.env("LD_LIBRARY_PATH", folder.join(libraries));
    command
}

fn succeeds(mut command: Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command:?}: {said}");
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// `nginx.conf` with these servers, a port and a folder of its own in the place of a container's.
fn nginx_conf(servers: &[SocketAddr], port: u16, folder: &Path) -> String {
    let list: String = servers.iter().map(|server| format!("server {server};\n")).collect();
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("    {name}_temp_path {}/{name};\n", folder.display()))
        .collect();
    let mut text = deploy("nginx.conf");
    for (ours, theirs) in [
        ("        server agb:8080 resolve;\n", list),
        ("listen 80 ", format!("listen 127.0.0.1:{port} ")),
        ("http {\n", format!("http {{\n    access_log off;\n{paths}")),
        ("events {", format!("daemon off;\npid {}/pid;\nevents {{", folder.display())),
    ] {
        assert_eq!(text.matches(ours).count(), 1, "{ours}");
        text = text.replace(ours, &theirs);
    }
    text
}

fn haproxy_cfg(servers: &[SocketAddr], port: u16) -> String {
    let mut text = deploy("haproxy.cfg").replace("bind :8080", &format!("bind 127.0.0.1:{port}"));
    for (at, server) in servers.iter().enumerate() {
        let ours = format!("10.0.0.{}:8080", at + 1);
        assert_eq!(text.matches(&ours).count(), 1, "{ours}");
        text = text.replace(&ours, &server.to_string());
    }
    text
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Not killed: nginx ends its workers. By a program, since the standard library knows no other signal.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// Runs of our client through a balancer in front of three servers.
async fn serves(name: &str, start: impl FnOnce(&[SocketAddr], u16) -> Command) {
    let registry = agb_server::MemoryRegistry::default();
    let mut nodes = Vec::new();
    for name in ["a", "b", "c"] {
        nodes.push(Node::start(&registry, name).await);
    }
    let servers: Vec<_> = nodes.iter().map(|node| node.address).collect();
    let port = free_port();
    let mut command = start(&servers, port);
    let mut running = Running(command.stdout(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{name}: {error}")));
    let balancer = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let begin = std::time::Instant::now();
    while tokio::net::TcpStream::connect(balancer).await.is_err() {
        let ended = running.0.try_wait().expect("it is our child");
        assert!(ended.is_none() && begin.elapsed() < PATIENCE, "{name} does not listen: {ended:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let agb = client(balancer, |_| {});
    let runs = futures_util::future::join_all((0..6).map(|name| run_all(&agb, name, 2))).await;
    assert_eq!(runs.into_iter().sum::<usize>(), 12);
    drop(running);
    for node in nodes {
        node.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_go_through_nginx() {
    let folder = tempfile::tempdir().expect("a folder");
    let conf = folder.path().join("nginx.conf");
    serves("nginx", |servers, port| {
        fs::write(&conf, nginx_conf(servers, port, folder.path())).expect("there is room");
        let nginx = || {
            let mut command = tool("nginx");
            command.arg("-p").arg(folder.path()).arg("-c").arg(&conf).arg("-e").arg(folder.path().join("error.log"));
            command
        };
        let mut check = nginx();
        check.arg("-t");
        succeeds(check);
        nginx()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_go_through_haproxy() {
    let mut as_it_is = tool("haproxy");
    as_it_is.args(["-c", "-q", "-f"]).arg(root().join("examples/deploy/haproxy.cfg"));
    succeeds(as_it_is);
    let folder = tempfile::tempdir().expect("a folder");
    let cfg = folder.path().join("haproxy.cfg");
    serves("haproxy", |servers, port| {
        fs::write(&cfg, haproxy_cfg(servers, port)).expect("there is room");
        let mut command = tool("haproxy");
        command.arg("-db").arg("-f").arg(&cfg);
        command
    })
    .await;
}

/// The options in a text that `agb-server serve` does not have.
fn unknown_options(text: &str) -> Vec<String> {
    let settings = root().join("crates/server/src");
    let mut known = BTreeSet::new();
    let mut folders = vec![settings.join("settings"), settings.join("cluster"), settings.join("cli")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("it is there").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                let source = fs::read_to_string(entry.path()).expect("a source");
                let fields = source.lines().filter_map(|line| line.trim().trim_start_matches("pub ").split_once(": "));
                known.extend(fields.map(|(name, _)| name.replace('_', "-")));
                let named = source.split("long = \"").skip(1).filter_map(|rest| rest.split('"').next());
                known.extend(named.map(str::to_owned));
            }
        }
    }
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words = lines.flat_map(|line| line.split(|c: char| c.is_whitespace() || "=\"'[],`".contains(c)));
    let options = words.filter_map(|word| word.strip_prefix("--")).filter(|name| !name.is_empty() && *name != "-");
    options.filter(|name| !known.contains(*name)).map(str::to_owned).collect()
}

#[test]
fn the_unit_is_one_for_systemd() {
    let unit = deploy("agb-server.service");
    assert_eq!(unknown_options(&unit), Vec::<String>::new());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("agb-server.service");
    // The program is not installed here.
    fs::write(&file, unit.replace("/usr/local/bin/agb-server", "/bin/true")).expect("there is room");
    let mut verify = Command::new("systemd-analyze");
    verify.arg("verify").arg("--man=no").arg(&file);
    let output = verify.output().expect("systemd-analyze, of Debian's package systemd");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("agb-server.service"), "{said}");
}

#[test]
fn the_manifests_fit_together() {
    let text = deploy("kubernetes.yaml");
    assert_eq!(unknown_options(&text), Vec::<String>::new());
    let all = YamlLoader::load_from_str(&text).expect("it is YAML");
    let kind = |name: &str| {
        let found: Vec<_> = all.iter().filter(|object| object["kind"].as_str() == Some(name)).collect();
        assert_eq!(found.len(), 1, "{name}");
        found[0]
    };
    for object in &all {
        assert!(object["apiVersion"].as_str().is_some(), "{object:?}");
        assert_eq!(object["metadata"]["name"].as_str(), Some("agb"), "{object:?}");
    }
    let deployment = kind("Deployment");
    let template = &deployment["spec"]["template"];
    let labels = &template["metadata"]["labels"];
    for selector in [
        &deployment["spec"]["selector"]["matchLabels"],
        &kind("Service")["spec"]["selector"],
        &kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        &kind("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ] {
        assert_eq!(selector, labels);
    }
    assert_eq!(kind("RoleBinding")["roleRef"]["name"], kind("Role")["metadata"]["name"]);
    assert_eq!(kind("RoleBinding")["subjects"][0]["name"], kind("ServiceAccount")["metadata"]["name"]);
    assert_eq!(template["spec"]["serviceAccountName"], kind("ServiceAccount")["metadata"]["name"]);
    let container = &template["spec"]["containers"][0];
    let args: Vec<_> = container["args"].as_vec().expect("a list").iter().filter_map(Yaml::as_str).collect();
    let drain = args.iter().find_map(|arg| arg.strip_prefix("--drain-sessions=")).expect("it is given");
    let grace = template["spec"]["terminationGracePeriodSeconds"].as_i64().expect("seconds");
    assert!(grace >= drain.parse::<i64>().expect("seconds") + 20, "the pod is killed while it drains");
    let volumes = |list: &Yaml| {
        let names = list.as_vec().expect("a list").iter();
        names.map(|volume| volume["name"].as_str().expect("a name").to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(volumes(&container["volumeMounts"]), volumes(&template["spec"]["volumes"]));
    // SYS_ADMIN outside of a user namespace is the host's.
    assert_eq!(template["spec"]["hostUsers"].as_bool(), Some(false));
}

#[test]
fn the_compose_file_fits_together() {
    let text = deploy("compose.yaml");
    let all = YamlLoader::load_from_str(&text).expect("it is YAML");
    let services = &all[0]["services"];
    let agb = &services["agb"]["command"][2];
    assert_eq!(unknown_options(agb.as_str().expect("a command")), Vec::<String>::new());
    let grace = services["agb"]["stop_grace_period"].as_str().and_then(|time| time.strip_suffix('s')).expect("seconds");
    assert!(grace.parse::<u32>().expect("seconds") >= 300 + 20 && text.contains("--drain-sessions 300"));
    for name in ["etcd", "agb", "balancer"] {
        assert!(services[name]["image"].as_str().is_some(), "{name}");
    }
    assert!(deploy("nginx.conf").contains("server agb:8080 "), "the balancer asks for the service by its name");
}
