//! Asks another server whether it lives: because its record is old, or because a call waits for its answer.
//!
//! A call may wait for as long as a program runs, so its time says nothing. What says something is that the other server
//! does not even answer `/cluster/alive`, in a time in which a silent server is declared lost: it stands still, or the way
//! to it swallows everything. Then no call waits for it any longer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use super::http::HttpError;
use super::table::Probe;
use super::{Cluster, Incarnation, lock};

/// How long a server may take to answer. As the design of the beat: one that lives answers within it.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of the servers that calls wait for. One question at a time for all calls that wait for the same one.
#[derive(Debug, Default)]
pub(super) struct Pulses(Mutex<HashMap<Incarnation, Arc<AsyncMutex<Pulse>>>>);

#[derive(Debug, Default)]
struct Pulse {
    asked: Option<Instant>,
    heard: Option<Instant>,
}

impl Pulses {
    fn of(&self, inc: Incarnation) -> Arc<AsyncMutex<Pulse>> {
        let mut all = lock(&self.0);
        // Those that nobody waits for any more.
        all.retain(|_, pulse| Arc::strong_count(pulse) > 1);
        Arc::clone(all.entry(inc).or_default())
    }
}

impl Cluster {
    /// Asks the server at this address whether it is that one.
    pub(crate) async fn ask_alive(&self, addr: &str, inc: Incarnation) -> Probe {
        let request = Request::get("/cluster/alive").body(Body::empty()).expect("the path is one");
        match tokio::time::timeout(PATIENCE, self.client.call(addr, request)).await {
            Ok(Ok((StatusCode::OK, body))) => {
                match std::str::from_utf8(&body).ok().and_then(|text| text.trim().parse().ok()) {
                    Some(other) if other == inc => Probe::Alive,
                    Some::<Incarnation>(_) => Probe::Another,
                    None => Probe::Silence,
                }
            }
            Ok(Err(HttpError::Refused)) => Probe::Refused,
            Ok(_) | Err(_) => Probe::Silence,
        }
    }

    /// Comes when a call that waits for this server need not wait any longer, and says why.
    pub(crate) async fn until_silent(&self, inc: Incarnation, addr: &str) -> String {
        let (look, limit) = (self.settings.beat * 2, self.settings.lost_after);
        let begin = Instant::now();
        tokio::time::sleep(look).await;
        let pulse = self.pulses.of(inc);
        loop {
            let mut known = pulse.lock().await;
            if known.asked.is_none_or(|asked| asked.elapsed() >= look) {
                match self.ask_alive(addr, inc).await {
                    Probe::Alive => known.heard = Some(Instant::now()),
                    Probe::Another => return "another server answers at its address".to_owned(),
                    Probe::Refused | Probe::Silence => {}
                }
                known.asked = Some(Instant::now());
            }
            let heard = known.heard.map_or(begin, |heard| heard.max(begin));
            drop(known);
            if heard.elapsed() >= limit {
                return format!("for {} s it has not even said that it lives", limit.as_secs_f64());
            }
            tokio::time::sleep(look).await;
        }
    }
}
