//! What `agb-server doctor --cluster` finds: whether the registry does what a cluster needs, and whether its servers agree.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};

use super::http::HttpClient;
use super::record::{Load, NodeState, Record};
use super::registry::Registry;
use super::settings::{ClusterSettings, RegistryUrl};
use super::snapshot::{Away, Beat, Entry};
use super::{ClusterError, Incarnation};
use crate::random;
use crate::unix_time::unix_ms;

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct ClusterCheck {
    /// Whether it is as a cluster needs it.
    pub is_good: bool,
    /// What was found; where it is not good, what to do.
    pub text: String,
}

/// How long a server may take to say that it lives.
const PATIENCE: Duration = Duration::from_secs(2);
/// What anything may say that answers in a server's place: a page of words.
const MOST_WORD: usize = 4096;
/// A member of etcd stops taking writes at 2 GiB, its default.
const LARGE_DATABASE: u64 = 500 << 20;

impl ClusterCheck {
    /// Looks at the registry, and at each server in it. Joins nothing.
    ///
    /// # Errors
    /// When the settings themselves cannot be used.
    pub async fn run(settings: &ClusterSettings) -> Result<Vec<Self>, ClusterError> {
        let Some(registry) = Registry::of(settings)? else { return Ok(Vec::new()) };
        let client = HttpClient::new(settings.peer_ca.as_deref(), "--peer-ca")?;
        let mut checks = Checks::default();
        let began = Instant::now();
        let all = match registry.read().await {
            Ok(all) => all,
            Err(away) => {
                checks.bad(format!("the registry does not answer: {away}"));
                return Ok(checks.0);
            }
        };
        checks.good(format!("the registry answers in {:.1} ms", began.elapsed().as_secs_f64() * 1000.0));
        checks.compare_and_set(settings).await?;
        checks.database(&registry).await;
        checks.servers(&client, &all.entries).await;
        Ok(checks.0)
    }
}

#[derive(Default)]
struct Checks(Vec<ClusterCheck>);

impl Checks {
    fn good(&mut self, text: String) {
        self.0.push(ClusterCheck { is_good: true, text });
    }

    fn bad(&mut self, text: String) {
        self.0.push(ClusterCheck { is_good: false, text });
    }

    /// Writes, refuses and removes a record beside those of the servers.
    async fn compare_and_set(&mut self, settings: &ClusterSettings) -> Result<(), ClusterError> {
        let aside = match &settings.registry {
            Some(RegistryUrl::Etcd(url)) => Some(RegistryUrl::Etcd(url.aside("doctor"))),
            Some(RegistryUrl::Kubernetes(url)) => Some(RegistryUrl::Kubernetes(url.aside("doctor"))),
            Some(RegistryUrl::Memory(_)) | None => None,
        };
        let Some(registry) = Registry::of(&ClusterSettings { registry: aside, ..settings.clone() })? else {
            return Ok(());
        };
        match try_compare_and_set(&registry).await {
            Ok(true) => self.good("compare-and-set works: a write at an old revision is refused".to_owned()),
            Ok(false) => self.bad(
                "compare-and-set does not work: a write at an old revision was taken; use etcd 3.4 or later, or Kubernetes"
                    .to_owned(),
            ),
            Err(away) => self.bad(format!("no record can be written: {away}")),
        }
        Ok(())
    }

    async fn database(&mut self, registry: &Registry) {
        let Registry::Etcd(etcd) = registry else { return };
        match etcd.status().await {
            Ok((version, size)) => {
                let text = format!("etcd {version}, its database has {} MiB", size >> 20);
                match size > LARGE_DATABASE {
                    true => {
                        self.bad(format!("{text}: start etcd with --auto-compaction-retention=10m, and defragment it"))
                    }
                    false => self.good(text),
                }
            }
            // Where etcd has users this call is root's.
            Err(away) => self.good(format!("the size of etcd's database is not known: {away}")),
        }
    }

    async fn servers(&mut self, client: &HttpClient, entries: &[Entry]) {
        if entries.is_empty() {
            self.good("no server is registered".to_owned());
        }
        let (mut keys, mut levels, mut images) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for entry in entries {
            let record = match &entry.record {
                Ok(record) => record,
                Err(problem) => {
                    self.bad(format!("{}: its record cannot be read ({problem}): remove it", entry.name));
                    continue;
                }
            };
            if record.state == NodeState::Lost {
                let at = record.at_ms.map_or_else(|| "at an unknown time".to_owned(), super::time_text);
                self.good(format!("{}: was declared lost {at}", entry.name));
                continue;
            }
            let Load { sessions, max, keys: its_keys, level, images: its_images, .. } = &record.load;
            keys.insert(its_keys.clone());
            levels.insert(level.clone());
            images.insert(its_images.clone());
            let what = format!("{} at {}: {sessions} of {max} sessions, {level}", entry.name, record.addr);
            match alive(client, record).await {
                Ok(time) => self.good(format!("{what}, answers in {:.1} ms", time.as_secs_f64() * 1000.0)),
                Err(problem) => self.bad(format!("{what}; from here {problem}: compare its --advertise and firewalls")),
            }
        }
        if keys.len() > 1 {
            self.bad("the servers have different API keys: give all the same --api-keys-file".to_owned());
        }
        if levels.len() > 1 {
            let levels: Vec<_> = levels.into_iter().collect();
            self.bad(format!("programs are isolated differently ({}): set --isolation on all", levels.join(", ")));
        }
        if images.len() > 1 {
            self.bad("the servers have different images: sessions are created only where theirs is".to_owned());
        }
    }
}

async fn try_compare_and_set(registry: &Registry) -> Result<bool, Away> {
    let name = format!("check-{}", random::hex::<4>());
    let mut record = Record {
        v: Record::FORM,
        inc: Incarnation::fresh(),
        addr: "http://127.0.0.1:1".to_owned(),
        state: NodeState::Draining,
        n: 1,
        started_ms: unix_ms(),
        lock: String::new(),
        strict: false,
        load: Load::default(),
        by: None,
        at_ms: None,
    };
    let Beat::Kept(first, _) = registry.beat(&name, &record, None).await? else { return Ok(false) };
    record.n = 2;
    let Beat::Kept(second, _) = registry.beat(&name, &record, Some(first)).await? else { return Ok(false) };
    record.n = 3;
    let old_is_refused = matches!(registry.beat(&name, &record, Some(first)).await?, Beat::Refused(_));
    Ok(registry.remove(&name, second).await? && old_is_refused)
}

async fn alive(client: &HttpClient, record: &Record) -> Result<Duration, String> {
    let began = Instant::now();
    let request = Request::get("/cluster/alive").body(Body::empty()).expect("the path is one");
    match tokio::time::timeout(PATIENCE, client.call_up_to(MOST_WORD, &record.addr, request)).await {
        Err(_) => Err(format!("it does not answer within {} s", PATIENCE.as_secs())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok((StatusCode::OK, body))) if body.trim_ascii() == record.inc.to_string().as_bytes() => Ok(began.elapsed()),
        Ok(Ok((StatusCode::OK, _))) => Err("another server answers there".to_owned()),
        Ok(Ok((status, _))) => Err(format!("something answers {status} there")),
    }
}
