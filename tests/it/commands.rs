//! Shell commands as runs, from the Rust client.

use std::time::Duration;

use agb_client::{RunEvent, RunStatus};
use futures_util::StreamExt;

use crate::network::{client, session};
use crate::server::TestServer;

#[tokio::test]
async fn a_command_streams_is_steered_and_found_again() {
    let server = TestServer::start().await;
    let agb = client(server.address(), |_| {});
    let session = session(&agb).await;
    let commands = session.commands();

    let run = commands.run("echo $A; pwd; cat; exit 3").env("A", "b").cwd("/tmp").stdin(true).stream().expect("sent");
    run.write("typed\n");
    run.end_input();
    let ended = run.finish().await;
    assert_eq!((ended.status, ended.exit_code, ended.success), (RunStatus::Exited, Some(3), false));
    assert_eq!(ended.logs.stdout.concat(), "b\n/tmp\ntyped\n");

    let mut shell = commands.run("PS1='$ ' exec sh -i").pty(90, 30).stream().expect("sent");
    shell.control().resize(132, 50);
    shell.write("stty size\n");
    let mut shown = String::new();
    while let Some(event) = shell.next().await {
        if let RunEvent::Stdout(text) = event {
            shown.push_str(&text);
        }
        // The prompt may come before the echo of what is typed, or after it.
        if shown.contains("50 132\r\n") {
            break;
        }
    }
    shell.control().kill("SIGKILL");
    let ended = shell.finish().await;
    let signal = ended.killed_by.and_then(|killed_by| killed_by.signal);
    assert_eq!((ended.status, ended.exit_code, signal.as_deref()), (RunStatus::Signalled, Some(137), Some("SIGKILL")));

    // Dropping a detached one leaves it; another client finds it.
    let mut run = commands.run("echo begun; sleep 0.5; echo done").detached().stream().expect("sent");
    while !matches!(run.next().await, Some(RunEvent::Stdout(_))) {}
    let id = run.id().to_owned();
    drop(run);
    let other = client(server.address(), |_| {}).get(session.id()).await.expect("it is there");
    let listed = other.commands().list().await.expect("a list");
    assert!(
        listed.iter().any(|command| command.id == id && command.detached && command.status == "running"),
        "{listed:?}"
    );
    let found = other.commands().attach(&id, 0).stream().expect("found");
    let ended = tokio::time::timeout(Duration::from_secs(60), found.finish()).await.expect("it ends");
    assert_eq!((ended.status, ended.exit_code), (RunStatus::Exited, Some(0)));
    assert!(ended.logs.stdout.concat().ends_with("done\n"));
    session.delete().await.expect("deleted");
    server.stop().await;
}
