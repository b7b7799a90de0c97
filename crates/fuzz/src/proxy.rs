//! What a program sends to its way out.

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use agb_egress::{Allow, EgressProxy, Limits, Name, Outside};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

thread_local! {
    static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
}

/// Everything goes to a proxy that lets two names out, into a world without any address.
pub(crate) fn proxy(bytes: &[u8]) {
    let resolve = |name: Name| {
        let named = ["a.test", "b.test"].contains(&name.as_str()) || name.as_str().ends_with(".c.test");
        assert!(named, "{name} is resolved, and was not named");
        Err(io::Error::other("nobody lives here"))
    };
    RUNTIME.with_borrow_mut(|runtime| {
        let runtime = runtime.get_or_insert_with(|| {
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
        });
        runtime.block_on(async {
            let allow: Allow = "a.test, b.test:81, *.c.test".parse().expect("rules");
            let short = Duration::from_millis(50);
            let limits = Limits { head: short, connect: short, idle: short, ..Limits::default() };
            let proxy = EgressProxy::new("fuzz", allow, Outside::simulated(resolve, |_| false), limits);
            let (mut program, inside) = tokio::io::duplex(1 << 20);
            let talking = async {
                // It may hang up before it has read everything.
                let _ = program.write_all(&bytes[..bytes.len().min(1 << 19)]).await;
                let _ = program.shutdown().await;
                let mut answer = Vec::new();
                let _ = program.read_to_end(&mut answer).await;
                let is_refusal = answer.is_empty()
                    || [&b"HTTP/1.1 4"[..], b"HTTP/1.1 5", b"HTTP/1.0 4", b"HTTP/1.0 5"]
                        .iter()
                        .any(|head| answer.starts_with(head));
                assert!(is_refusal, "{}", String::from_utf8_lossy(&answer));
            };
            tokio::join!(proxy.serve_one(inside), talking);
        });
    });
}

/// Reads rules.
pub(crate) fn allow(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(name) = Name::parse(text) {
        assert_eq!(Name::parse(name.as_str()).as_ref(), Ok(&name), "a name has one spelling");
        assert!(name.as_str().parse::<std::net::IpAddr>().is_err(), "{name} is an address");
    }
    let Ok(allow) = text.parse::<Allow>() else { return };
    assert_eq!(allow.to_string().parse::<Allow>(), Ok(allow), "a rule says what it was read as");
}
