//! Serves [`agb_testkit::proxy`] until its standard input ends.
//!
//! `agb-proxy UPSTREAM SEED|calm` prints `agb-proxy listening on http://127.0.0.1:PORT`. Then it takes commands, a line
//! each: `cut` and `reset` cut all WebSockets, in good order or not; `tally` answers with a line
//! `upgrades=N refused=N cut=N stalled=N`.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use agb_testkit::proxy::{Proxy, Schedule};
use tokio::sync::mpsc;

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agb-proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(upstream), Some(seed)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("usage: agb-proxy UPSTREAM SEED|calm"));
    };
    let upstream: SocketAddr = upstream.parse().map_err(|_| io::Error::other(format!("not an address: {upstream}")))?;
    let schedule = match &*seed {
        "calm" => Schedule::calm(),
        seed => Schedule::seeded(seed.parse().map_err(|_| io::Error::other(format!("not a seed: {seed}")))?),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let proxy = Proxy::start(upstream, schedule).await?;
        say(&format!("agb-proxy listening on http://{}", proxy.address()))?;
        let mut commands = commands();
        while let Some(command) = commands.recv().await {
            match &*command {
                "cut" => proxy.cut(false),
                "reset" => proxy.cut(true),
                "tally" => {
                    let tally = proxy.tally();
                    say(&format!(
                        "upgrades={} refused={} cut={} stalled={}",
                        tally.upgrades, tally.refused, tally.cut, tally.stalled
                    ))?;
                }
                other => return Err(io::Error::other(format!("no command: {other}"))),
            }
        }
        Ok(())
    })
}

/// The lines of the standard input, read by a thread of their own.
fn commands() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let lines = io::stdin().lock().lines().map_while(Result::ok);
        lines.map(|line| sender.send(line)).take_while(Result::is_ok).for_each(drop);
    });
    receiver
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
