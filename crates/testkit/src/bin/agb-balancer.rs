//! Serves [`agb_testkit::balancer`] until it is ended.
//!
//! `agb-balancer SERVER...` prints `agb-balancer listening on http://127.0.0.1:PORT`. A line of the standard input is
//! another list of servers, for connections to come.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use agb_testkit::balancer::Balancer;

fn main() -> ExitCode {
    match serve() {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("agb-balancer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<std::convert::Infallible> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let servers = parse(given.iter().map(String::as_str))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let balancer = runtime.block_on(Balancer::start(servers))?;
    let mut out = io::stdout().lock();
    writeln!(out, "agb-balancer listening on http://{}", balancer.address())?;
    out.flush()?;
    for line in io::stdin().lock().lines() {
        balancer.set_servers(parse(line?.split_whitespace())?);
    }
    loop {
        std::thread::park();
    }
}

fn parse<'a>(servers: impl Iterator<Item = &'a str>) -> io::Result<Vec<SocketAddr>> {
    let parse = |text: &str| text.parse().map_err(|_| io::Error::other(format!("not an address: {text}")));
    servers.map(parse).collect()
}
