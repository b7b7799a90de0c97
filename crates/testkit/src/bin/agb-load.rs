//! Serves [`agb_testkit::load`] on a port of this machine until it is ended.
//!
//! `agb-load [PORT]` prints `agb-load listening on http://127.0.0.1:PORT`.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use agb_testkit::load::LoadServer;

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agb-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let port = match std::env::args().nth(1) {
        Some(port) => port.parse().map_err(|_| io::Error::other(format!("not a port: {port}")))?,
        None => 0,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = LoadServer::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        println!("agb-load listening on http://{}", server.address()?);
        io::stdout().flush()?;
        server.serve().await
    })
}
