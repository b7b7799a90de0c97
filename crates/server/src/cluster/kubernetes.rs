//! Kubernetes as the registry: a Lease object a server, whose annotation has the record. Nothing is to be installed.
//!
//! Compare-and-set goes by `resourceVersion`; a list without one is answered from etcd, not from a cache.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ClusterError;
use super::http::HttpClient;
use super::record::Record;
use super::snapshot::{Away, Beat, Entry, Rev, Snapshot};
use crate::shorten::{said, shown};
use crate::time_text;

/// How long the API server may take. 2 s, as a member of etcd.
const PATIENCE: Duration = Duration::from_secs(2);
/// What every pod is given.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const ANNOTATION: &str = "agb-server/record";
const LABEL: &str = "agb-server/cluster";

/// Where the Leases are, as a URL says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesUrl {
    namespace: String,
    /// The cluster's name: what its Leases have as their label, and before their names.
    cluster: String,
}

impl KubernetesUrl {
    /// Reads what comes after `kubernetes://`.
    pub(crate) fn parse(rest: &str) -> Result<Self, String> {
        let wrong = || "give kubernetes://NAMESPACE/NAME; both have lower-case letters, digits and -".to_owned();
        let (namespace, cluster) = rest.split_once('/').ok_or_else(wrong)?;
        let is_label = |text: &str| {
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !text.is_empty() && text.len() <= 63 && text.bytes().all(is_plain)
        };
        let is_good = |text: &str| is_label(text) && !text.starts_with('-') && !text.ends_with('-');
        match is_good(namespace) && is_good(cluster) {
            true => Ok(Self { namespace: namespace.to_owned(), cluster: cluster.to_owned() }),
            false => Err(wrong()),
        }
    }
}

impl KubernetesUrl {
    /// Beside the Leases of the servers, in the same namespace.
    pub(super) fn aside(&self, name: &str) -> Self {
        Self { cluster: format!("{}-{name}", self.cluster), ..self.clone() }
    }
}

/// Kubernetes as the registry.
pub(crate) struct Kubernetes {
    /// The API server.
    api: String,
    /// Read anew for each call: the kubelet replaces it every hour.
    token: Option<PathBuf>,
    url: KubernetesUrl,
    client: HttpClient,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    name: String,
    #[serde(rename = "resourceVersion", default)]
    version: String,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Lease {
    metadata: Meta,
}

#[derive(Deserialize)]
struct LeaseList {
    metadata: Meta,
    #[serde(default)]
    items: Vec<Lease>,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    message: String,
}

impl Kubernetes {
    /// The API server of the pod that this process runs in.
    pub(crate) fn in_pod(url: &KubernetesUrl, authority: Option<&Path>) -> Result<Self, ClusterError> {
        let of = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (Some(host), Some(port)) = (of("KUBERNETES_SERVICE_HOST"), of("KUBERNETES_SERVICE_PORT")) else {
            return Err(ClusterError::NoPod);
        };
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let account = Path::new(ACCOUNT);
        let own = account.join("ca.crt");
        let client = HttpClient::new(Some(authority.unwrap_or(&own)), "--cluster-ca")?;
        Ok(Self::new(format!("https://{host}:{port}"), Some(account.join("token")), url, client))
    }

    pub(crate) fn new(api: String, token: Option<PathBuf>, url: &KubernetesUrl, client: HttpClient) -> Self {
        Self { api, token, url: url.clone(), client }
    }

    pub(crate) async fn beat(&self, name: &str, mine: &Record, at: Option<Rev>) -> Result<Beat, Away> {
        let written = match at {
            Some(at) => self.write(Method::PUT, &self.path(name), &self.lease(name, mine, Some(at))).await?,
            None => self.write(Method::POST, &self.folder(), &self.lease(name, mine, None)).await?,
        };
        let all = self.read().await?;
        Ok(match written {
            Some(lease) => Beat::Kept(version(&lease.metadata)?, all),
            None => Beat::Refused(all),
        })
    }

    pub(crate) async fn read(&self) -> Result<Snapshot, Away> {
        let path = format!("{}?labelSelector={LABEL}%3D{}", self.folder(), self.url.cluster);
        let (status, body) = self.call(Method::GET, &path, None).await?;
        if status != StatusCode::OK {
            return Err(refused(status, &body));
        }
        let list: LeaseList = parse(&body)?;
        let prefix = format!("{}.", self.url.cluster);
        let entry = |lease: &Lease| {
            let name = lease.metadata.name.strip_prefix(&prefix)?.to_owned();
            let record = match lease.metadata.annotations.get(ANNOTATION) {
                Some(text) => Record::parse(text.as_bytes()).map_err(|error| error.to_string()),
                None => Err(format!("the Lease has no annotation {ANNOTATION}")),
            };
            Some(version(&lease.metadata).map(|rev| Entry { name, rev, record }))
        };
        let entries = list.items.iter().filter_map(entry).collect::<Result<_, _>>()?;
        Ok(Snapshot { rev: version(&list.metadata)?, entries })
    }

    pub(crate) async fn replace(&self, name: &str, at: Rev, with: &Record) -> Result<bool, Away> {
        let written = self.write(Method::PUT, &self.path(name), &self.lease(name, with, Some(at))).await?;
        Ok(written.is_some())
    }

    pub(crate) async fn remove(&self, name: &str, at: Rev) -> Result<bool, Away> {
        let options = json!({ "preconditions": { "resourceVersion": at.0.to_string() } });
        match self.call(Method::DELETE, &self.path(name), Some(&options)).await? {
            (StatusCode::OK | StatusCode::ACCEPTED, _) => Ok(true),
            (StatusCode::CONFLICT | StatusCode::NOT_FOUND, _) => Ok(false),
            (status, body) => Err(refused(status, &body)),
        }
    }

    /// `None`: it is at another version, is not there, or is there already.
    async fn write(&self, method: Method, path: &str, lease: &Value) -> Result<Option<Lease>, Away> {
        let is_there = method == Method::PUT;
        match self.call(method, path, Some(lease)).await? {
            (StatusCode::OK | StatusCode::CREATED, body) => parse(&body).map(Some),
            (StatusCode::CONFLICT, _) => Ok(None),
            // Of a new Lease it says that there is no such namespace.
            (StatusCode::NOT_FOUND, _) if is_there => Ok(None),
            (status, body) => Err(refused(status, &body)),
        }
    }

    fn folder(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.url.namespace)
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{}", self.folder(), self.object(name))
    }

    /// No cluster's name has a dot, so two clusters of a namespace never share an object.
    fn object(&self, name: &str) -> String {
        format!("{}.{name}", self.url.cluster)
    }

    /// `holderIdentity` and `renewTime` are for people who look with kubectl.
    fn lease(&self, name: &str, record: &Record, at: Option<Rev>) -> Value {
        let text = String::from_utf8(record.to_bytes()).expect("JSON is text");
        let mut metadata = json!({
            "name": self.object(name),
            "labels": { LABEL: self.url.cluster },
            "annotations": { ANNOTATION: text },
        });
        if let Some(Rev(rev)) = at {
            metadata["resourceVersion"] = json!(rev.to_string());
        }
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": record.inc.to_string(),
                "renewTime": time_text::to_the_microsecond(SystemTime::now()),
            },
        })
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(StatusCode, Bytes), Away> {
        let away = |problem: String| Away(format!("the API server of Kubernetes at {}: {problem}", self.api));
        let mut request = Request::builder().method(method).uri(path).header(header::ACCEPT, "application/json");
        if let Some(file) = &self.token {
            let token = tokio::fs::read_to_string(file).await;
            let token = token.map_err(|error| away(format!("the pod's token {}: {error}", file.display())))?;
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.trim()));
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let request = request.body(body).map_err(|_| away("the pod's token cannot be sent in a header".to_owned()))?;
        match tokio::time::timeout(PATIENCE, self.client.call(&self.api, request)).await {
            Err(_) => Err(away(format!("no answer within {} s", PATIENCE.as_secs()))),
            Ok(Err(error)) => Err(away(error.to_string())),
            Ok(Ok(answer)) => Ok(answer),
        }
    }
}

fn version(meta: &Meta) -> Result<Rev, Away> {
    let number = meta
        .version
        .parse()
        .map_err(|_| Away(format!("the resourceVersion {:?} is not a number", shown(&meta.version))));
    number.map(Rev)
}

fn parse<T: serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, Away> {
    serde_json::from_slice(body).map_err(|error| Away(format!("the answer is not the API server's: {}", said(&error))))
}

fn refused(status: StatusCode, body: &Bytes) -> Away {
    let message = serde_json::from_slice::<Status>(body).map(|status| status.message).unwrap_or_default();
    let hint = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            ": the pod's service account needs get, list, create, update and delete on leases"
        }
        _ => "",
    };
    Away(format!("the API server of Kubernetes answers {status}: {}{hint}", said(&message)))
}
