//! Leases against an API server that does what Kubernetes' does with them, and fails as that one does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::{Path as UrlPath, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use tokio::net::TcpListener;

use super::*;
use crate::cluster::Incarnation;
use crate::cluster::record::{Load, NodeState};

const TOKEN: &str = "the-pods-token";

/// What an API server keeps of Leases.
#[derive(Default)]
struct Store {
    version: u64,
    leases: BTreeMap<String, Value>,
    /// Answers to calls to come, instead of what would be right.
    failures: VecDeque<u16>,
    /// The next list takes longer than anybody waits.
    slow_list: bool,
}

type Shared = Arc<Mutex<Store>>;

fn lock(store: &Shared) -> MutexGuard<'_, Store> {
    store.lock().expect("no panic under the lock")
}

fn status(code: u16, message: &str) -> Response {
    let body = json!({ "kind": "Status", "status": "Failure", "message": message, "code": code });
    (StatusCode::from_u16(code).expect("a status"), Json(body)).into_response()
}

impl Store {
    /// An answer that has nothing to do with the call.
    fn failure(&mut self, headers: &HeaderMap) -> Option<Response> {
        if headers.get("authorization").is_none_or(|value| value != &format!("Bearer {TOKEN}")) {
            return Some(status(401, "Unauthorized"));
        }
        self.failures.pop_front().map(|code| status(code, "for a test"))
    }

    fn write(&mut self, name: &str, mut lease: Value) -> Value {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.leases.insert(name.to_owned(), lease.clone());
        lease
    }

    fn is_at(&self, name: &str, version: &Value) -> Option<bool> {
        Some(self.leases.get(name)?["metadata"]["resourceVersion"] == *version)
    }
}

async fn create(State(store): State<Shared>, headers: HeaderMap, Json(lease): Json<Value>) -> Response {
    let mut store = lock(&store);
    if let Some(failure) = store.failure(&headers) {
        return failure;
    }
    let name = lease["metadata"]["name"].as_str().expect("a name").to_owned();
    if store.leases.contains_key(&name) {
        return status(409, "leases already exists");
    }
    (StatusCode::CREATED, Json(store.write(&name, lease))).into_response()
}

async fn update(
    State(store): State<Shared>,
    UrlPath((_, name)): UrlPath<(String, String)>,
    headers: HeaderMap,
    Json(lease): Json<Value>,
) -> Response {
    let mut store = lock(&store);
    if let Some(failure) = store.failure(&headers) {
        return failure;
    }
    match store.is_at(&name, &lease["metadata"]["resourceVersion"]) {
        None => status(404, "leases not found"),
        Some(false) => status(409, "the object has been modified"),
        Some(true) => Json(store.write(&name, lease)).into_response(),
    }
}

async fn delete(
    State(store): State<Shared>,
    UrlPath((_, name)): UrlPath<(String, String)>,
    headers: HeaderMap,
    Json(options): Json<Value>,
) -> Response {
    let mut store = lock(&store);
    if let Some(failure) = store.failure(&headers) {
        return failure;
    }
    match store.is_at(&name, &options["preconditions"]["resourceVersion"]) {
        None => status(404, "leases not found"),
        Some(false) => status(409, "the precondition failed"),
        Some(true) => {
            store.leases.remove(&name);
            store.version += 1;
            Json(json!({ "kind": "Status", "status": "Success" })).into_response()
        }
    }
}

async fn list(
    State(store): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let is_slow = std::mem::take(&mut lock(&store).slow_list);
    if is_slow {
        tokio::time::sleep(PATIENCE * 2).await;
    }
    let mut store = lock(&store);
    if let Some(failure) = store.failure(&headers) {
        return failure;
    }
    let (label, value) = query["labelSelector"].split_once('=').expect("a selector");
    assert!(!query.contains_key("resourceVersion"), "such a list may come from a cache");
    let items: Vec<_> = store.leases.values().filter(|lease| lease["metadata"]["labels"][label] == value).collect();
    Json(json!({ "metadata": { "resourceVersion": store.version.to_string() }, "items": items })).into_response()
}

/// An API server, what is in it, and its client.
async fn start() -> (Shared, Kubernetes, tempfile::TempDir) {
    let store = Shared::default();
    let router = Router::new()
        .route("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", get(list).post(create))
        .route("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}", put(update).delete(delete))
        .with_state(Arc::clone(&store));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let api = format!("http://{}", listener.local_addr().expect("it is bound"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, format!("{TOKEN}\n")).expect("there is room");
    let url = KubernetesUrl::parse("team/agb").expect("a URL");
    let client = HttpClient::new(None, "--cluster-ca").expect("a client");
    (store, Kubernetes::new(api, Some(token), &url, client), folder)
}

fn record(n: u64) -> Record {
    Record {
        v: Record::FORM,
        inc: Incarnation::fresh(),
        addr: "http://10.0.0.7:8080".to_owned(),
        state: NodeState::Up,
        n,
        started_ms: 0,
        lock: String::new(),
        strict: false,
        load: Load::default(),
        by: None,
        at_ms: None,
    }
}

fn kept(beat: Result<Beat, Away>) -> (Rev, Snapshot) {
    match beat.expect("it answers") {
        Beat::Kept(rev, all) => (rev, all),
        Beat::Refused(all) => panic!("refused: {all:?}"),
    }
}

#[tokio::test]
async fn a_lease_is_written_at_its_own_version_only() {
    let (store, kubernetes, _folder) = start().await;
    let (first, all) = kept(kubernetes.beat("pod-a", &record(1), None).await);
    assert_eq!((all.entries.len(), all.entries[0].name.as_str(), all.entries[0].rev), (1, "pod-a", first));
    assert!(matches!(kubernetes.beat("pod-a", &record(1), None).await, Ok(Beat::Refused(_))), "it is there");
    let (second, _) = kept(kubernetes.beat("pod-a", &record(2), Some(first)).await);
    assert!(second > first);
    assert!(matches!(kubernetes.beat("pod-a", &record(3), Some(first)).await, Ok(Beat::Refused(_))), "it has changed");
    assert!(matches!(kubernetes.beat("pod-b", &record(1), Some(first)).await, Ok(Beat::Refused(_))), "it is not there");

    assert!(!kubernetes.replace("pod-a", first, &record(4)).await.expect("an answer"));
    assert!(kubernetes.replace("pod-a", second, &record(4)).await.expect("an answer"));
    let all = kubernetes.read().await.expect("an answer");
    let (rev, record) = (all.entries[0].rev, all.entries[0].record.as_ref().expect("a record"));
    assert_eq!(record.n, 4);
    assert!(!kubernetes.remove("pod-a", second).await.expect("an answer"));
    assert!(kubernetes.remove("pod-a", rev).await.expect("an answer"));
    assert!(!kubernetes.remove("pod-a", rev).await.expect("an answer"), "it is gone");
    assert!(kubernetes.read().await.expect("an answer").entries.is_empty());
    assert!(lock(&store).leases.is_empty());
}

#[tokio::test]
async fn what_fails_is_an_absence_and_no_verdict() {
    let (store, kubernetes, folder) = start().await;
    let (first, _) = kept(kubernetes.beat("a", &record(1), None).await);
    for code in [410, 429, 500, 503, 403] {
        lock(&store).failures.push_back(code);
        let Err(Away(said)) = kubernetes.beat("a", &record(2), Some(first)).await else { panic!("{code} was taken") };
        assert!(said.contains(&code.to_string()), "{said}");
    }
    // Written, and nobody knows: the next beat finds the record at another version, and adopts that.
    lock(&store).slow_list = true;
    assert!(kubernetes.beat("a", &record(2), Some(first)).await.is_err());
    let Ok(Beat::Refused(all)) = kubernetes.beat("a", &record(3), Some(first)).await else { panic!("not refused") };
    assert_eq!(all.entries[0].record.as_ref().expect("a record").n, 2);
    kept(kubernetes.beat("a", &record(3), Some(all.entries[0].rev)).await);

    std::fs::write(folder.path().join("token"), "another").expect("there is room");
    let Err(Away(said)) = kubernetes.read().await else { panic!("a wrong token was taken") };
    assert!(said.contains("service account") && !said.contains("another"), "{said}");
}

#[tokio::test]
async fn what_others_keep_there_is_left_alone() {
    let (store, kubernetes, _folder) = start().await;
    let lease = |label: &str, annotation: Value| json!({ "metadata": { "name": "x", "labels": { LABEL: label }, "annotations": annotation } });
    lock(&store).write("kube-scheduler", lease("other", json!({})));
    let mut garbage = lease("agb", json!({ ANNOTATION: "{\"v\":9}" }));
    garbage["metadata"]["name"] = json!("agb.garbage");
    lock(&store).write("agb.garbage", garbage);
    let mut bare = lease("agb", json!({}));
    bare["metadata"]["name"] = json!("agb.bare");
    lock(&store).write("agb.bare", bare);
    let all = kubernetes.read().await.expect("an answer");
    let names: Vec<_> = all.entries.iter().map(|entry| (entry.name.as_str(), entry.record.is_err())).collect();
    assert_eq!(names, [("bare", true), ("garbage", true)]);
}

#[test]
fn urls_name_a_namespace_and_a_cluster() {
    assert!(KubernetesUrl::parse("default/agb").is_ok());
    for bad in ["", "agb", "/agb", "default/", "Default/agb", "a/b.c", "a/-b", "a/b/c"] {
        assert!(KubernetesUrl::parse(bad).is_err(), "{bad}");
    }
}
