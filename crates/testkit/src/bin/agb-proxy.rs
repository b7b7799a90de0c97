//! Serves [`agb_testkit::proxy`] until its standard input ends.
//!
//! `agb-proxy UPSTREAM` prints `agb-proxy listening on http://127.0.0.1:PORT`, and harms nothing. Then it takes commands, a
//! line each: `faults ...` for connections to come ([`Schedule::parse`]); `cut` and `reset` cut all WebSockets, in good
//! order or not, and `silence` leaves them half-open; `tally` answers with a line
//! `upgrades=N refused=N cut=N silenced=N stalled=N`.

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
    let Some(upstream) = std::env::args().nth(1) else { return Err(io::Error::other("usage: agb-proxy UPSTREAM")) };
    let upstream: SocketAddr = upstream.parse().map_err(|_| io::Error::other(format!("not an address: {upstream}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let proxy = Proxy::start(upstream, Schedule::calm()).await?;
        say(&format!("agb-proxy listening on http://{}", proxy.address()))?;
        let mut commands = commands();
        while let Some(command) = commands.recv().await {
            match &*command {
                "cut" => proxy.cut(false),
                "reset" => proxy.cut(true),
                "silence" => proxy.silence(),
                "tally" => {
                    let tally = proxy.tally();
                    say(&format!(
                        "upgrades={} refused={} cut={} silenced={} stalled={}",
                        tally.upgrades, tally.refused, tally.cut, tally.silenced, tally.stalled
                    ))?;
                }
                other => match other.strip_prefix("faults") {
                    Some(words) => proxy.set_schedule(Schedule::parse(words).map_err(io::Error::other)?),
                    None => return Err(io::Error::other(format!("no command: {other}"))),
                },
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
