//! A client that reaches the server through a proxy with faults.

use std::net::SocketAddr;
use std::time::Duration;

use agb_client::{Agb, CreateSession, Options, Session, SessionConfig};

use crate::server::KEY;

/// A client that comes back quickly.
pub(crate) fn client(address: SocketAddr, tune: impl Fn(&mut SessionConfig) + Send + Sync + 'static) -> Agb {
    let options = Options::new().api_key(KEY).endpoint(format!("http://{address}")).tune(move |config| {
        config.backoff_first = Duration::from_millis(5);
        config.backoff_most = Duration::from_millis(20);
        config.give_up = Duration::from_secs(60);
        tune(config);
    });
    Agb::new(&options).expect("an account")
}

pub(crate) async fn session(agb: &Agb) -> Session {
    let wanted = CreateSession { image_id: "agb-code-space-1".into(), ..Default::default() };
    agb.create(wanted).await.expect("a session")
}
