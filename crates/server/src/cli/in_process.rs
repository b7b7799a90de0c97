//! A server inside this process, for one program of the command line.

use std::net::SocketAddr;
use std::sync::Arc;

use agb_client::{Agb, Options};
use agb_server::{Config, Server};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A server that only this process knows: it listens on a free port of the loopback interface, with a fresh key.
pub(super) struct InProcess {
    agb: Agb,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl InProcess {
    /// Starts it. `config` says which key it takes, and how programs run.
    pub(super) async fn start(config: Config) -> Result<Self, String> {
        const LISTEN: SocketAddr = Config::DEFAULT_LISTEN;
        let key = config.api_keys.first().map(|key| key.secret.expose().to_owned()).unwrap_or_default();
        let server = Arc::new(Server::new(config).map_err(|error| error.to_string())?);
        let listener =
            TcpListener::bind(LISTEN).await.map_err(|error| format!("cannot listen on {LISTEN}: {error}"))?;
        let address = listener.local_addr().map_err(|error| format!("cannot tell the port: {error}"))?;
        // The user's own settings are for other servers.
        let nothing: [(String, String); 0] = [];
        let options = Options::new().environment(nothing).endpoint(format!("http://{address}")).api_key(key).no_proxy();
        let agb = Agb::new(&options).map_err(|error| error.to_string())?;
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(async move {
            // Dropped or sent: both end it.
            server.serve(listener, async { drop(stopped.await) }).await;
        });
        Ok(Self { agb, stop, serving })
    }

    /// The account on it.
    pub(super) fn agb(&self) -> &Agb {
        &self.agb
    }

    /// Ends it with everything that it runs, and removes its files.
    pub(super) async fn end(self) {
        drop(self.stop);
        let _ = self.serving.await; // it panicked: what it has said is all that there is to say
    }
}
