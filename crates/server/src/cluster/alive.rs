//! Asks another server whether it lives: because its record is old, or because a call waits for its answer.
//!
//! A call may wait for as long as a program runs, so its time says nothing. What says something is that the other server
//! does not even answer `/cluster/alive`, in a time in which a silent server is declared lost: it stands still, or the way
//! to it swallows everything. Then no call waits for it any longer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use super::http::HttpError;
use super::table::Probe;
use super::{Cluster, Incarnation, lock};

/// How long a server may take to answer. As the design of the beat: one that lives answers within it.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a server may say when it is asked who it is: 13 bytes.
const MOST_WORD: usize = 64;

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
        match tokio::time::timeout(PATIENCE, self.client.call_up_to(MOST_WORD, addr, request)).await {
            Ok(Ok((status, body))) => said(status, &body, inc),
            Ok(Err(HttpError::Refused)) => Probe::Refused,
            Ok(Err(_)) | Err(_) => Probe::Silence,
        }
    }

    /// The same of a server that a call waits for, by the connections that are kept for calls: a server that has no place
    /// for another connection lives all the same.
    async fn ask_alive_again(&self, addr: &str, inc: Incarnation) -> Probe {
        let host = addr.split_once("://").map_or(addr, |(_, host)| host);
        let Ok(request) = Request::get("/cluster/alive").header(header::HOST, host).body(Body::empty()) else {
            return Probe::Silence; // no server has such an address
        };
        let asking = async {
            let answer = self.peer_client.send(addr, request).await.ok()?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MOST_WORD).collect().await.ok()?;
            Some((status, body.to_bytes()))
        };
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Some((status, body))) => said(status, &body, inc),
            Ok(None) | Err(_) => Probe::Silence,
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
                match self.ask_alive_again(addr, inc).await {
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

/// What an answer means that should say who the server is.
fn said(status: StatusCode, body: &[u8], inc: Incarnation) -> Probe {
    let word = std::str::from_utf8(body).ok().filter(|_| status == StatusCode::OK);
    match word.and_then(|word| word.trim().parse::<Incarnation>().ok()) {
        Some(other) if other == inc => Probe::Alive,
        Some(_) => Probe::Another,
        None => Probe::Silence,
    }
}
