//! No key, no token and no query of a URL reaches a log, an error or a debug print.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use agb_client::{Agb, CreateSession, Options};
use futures_util::StreamExt;
use tracing_subscriber::fmt::MakeWriter;

use crate::peer::{self, Peer};
use crate::service::{Service, fine, refused};

/// Everything that anybody has logged.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What dependencies say through the crate `log`.
impl log::Log for Captured {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let _ = writeln!(self.clone(), "{} {}", record.target(), record.args());
    }

    fn flush(&self) {}
}

#[tokio::test]
async fn stay_inside() {
    let captured = Captured::default();
    // For the whole process; the other tests' lines only add to it.
    log::set_boxed_logger(Box::new(captured.clone())).expect("no other logger");
    log::set_max_level(log::LevelFilter::Trace);
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(captured.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());

    let mut shown = Vec::new();
    let options = || Options::new().api_key("key-SECRET-1").environment([("AGB_X", "env-SECRET")]);
    shown.push(format!("{:?}", options()));

    // WebSockets: a good one, a refusal, nobody there.
    let good = Peer::start(|_, mut socket| async move {
        let Some((invocation, _)) = peer::start(&mut socket).await else { return };
        peer::end(&mut socket, &invocation).await;
        peer::request(&mut socket).await;
    })
    .await;
    let refusing = Peer::answering("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await;
    let mut gone = Peer::answering("").await;
    gone.address = "127.0.0.1:1".into();
    for peer in [&good, &refusing, &gone] {
        let hasty = Options::new().tune(|config| config.give_up = std::time::Duration::from_millis(50));
        let session = peer.session_with(&[], hasty);
        let mut run = session.code().run("1", "python").stream().expect("it is taken");
        shown.push(format!("{session:?} {run:?}"));
        while run.next().await.is_some() {}
        shown.push(format!("{run:?}"));
        shown.push(format!("{:?}", run.finish().await));
    }

    // HTTP: an answer with secrets in it, a refusal that repeats the key, nobody there.
    let service = Service::start(|seen| match seen.path.as_str() {
        path if path.starts_with("/mcp/createsession") => fine(
            r#"{"sessionId":"s-1","wsUrl":"ws://h/?t=query-SECRET","token":"tok-SECRET","linkUrl":"http://h/SECRET"}"#,
        ),
        _ => refused(403, "No", "key-SECRET-1 may not"),
    })
    .await;
    for endpoint in [service.url.as_str(), "http://127.0.0.1:1"] {
        let agb = Agb::new(&options().endpoint(endpoint)).expect("the settings are fine");
        shown.push(format!("{agb:?}"));
        match agb.create(CreateSession::default()).await {
            Ok(session) => shown.push(format!("{session:?} {:?}", session.data())),
            Err(error) => shown.push(format!("{error} {error:?}")),
        }
        let error = agb.tools("i").await.expect_err("neither answers");
        shown.push(format!("{error} {error:?}"));
    }

    let logged = captured.text();
    assert!(logged.contains("connected") && logged.contains("agb::http"), "nothing was captured: {logged}");
    for (number, text) in shown.iter().chain([&logged]).enumerate() {
        let at = text.to_lowercase().find("secret");
        let around = at.map(|at| text.get(at.saturating_sub(200)..(at + 20).min(text.len())));
        assert!(at.is_none(), "{number}: {around:?}");
    }
}
