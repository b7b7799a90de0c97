//! The parameters of a call: its query and its body, read without trust.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use agb_protocol::fields::{Field, Fields};
use agb_protocol::object::Object;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::{FromRequest, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri, header};
use http_body_util::BodyExt;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Shared;
use super::entry::Entry;
use super::error::ApiError;
use crate::budget::{Budget, Charge};
use crate::lock::lock;
use crate::session::Session;
use crate::settings::Limits;
use crate::tools::apart;

/// What a message or a body of an access may have that only watches: an acknowledgement has a hundred bytes.
pub(super) const MAX_OF_READER: usize = 64 * 1024;

/// The parameters of a call. A name is looked for in the body first, then in the query: clients differ.
#[derive(Debug, Default)]
pub(crate) struct Params {
    query: BTreeMap<String, String>,
    body: Fields,
    /// The body's bytes, counted while the call lasts.
    charge: Option<Charge>,
}

impl Params {
    /// Those of a call whose body was read already. `None`: they are none.
    pub(super) fn parse(uri: &Uri, body: &str) -> Option<Self> {
        Some(Self { query: query(uri).ok()?, body: fields(body)?, charge: None })
    }

    /// Reads values of them once more. Where they are long, that is done apart, in the turn of the session that they are for.
    /// They are given back, because they count as long as the call lasts.
    pub(super) async fn read<T: Send + 'static>(
        self,
        session: Option<&Session>,
        work: impl FnOnce(&Self) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<(T, Self), ApiError> {
        let bytes = self.body.memory_size();
        let of_call = self.charge.as_ref().map(|charge| Arc::clone(charge.budget()));
        let whose = session.map(|session| Arc::clone(session.budget())).or(of_call);
        let work = move || work(&self).map(|value| (value, self));
        match whose {
            Some(whose) => apart(&whose, bytes, work).await.ok_or(ApiError::Defect)?,
            None => work(), // it has no body
        }
    }

    /// A text, if there is one that is not empty. A number is taken as its text.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<String>, ApiError> {
        let text = match self.body.get(name) {
            None => self.query.get(name).cloned(),
            Some(Field::Text(text)) => Some(text.clone()),
            Some(Field::Json(json)) if json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
                Some(json.clone())
            }
            Some(Field::Json(_)) => return Err(ApiError::invalid(name, "it must be a text")),
        };
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// A text that must be there.
    pub(crate) fn required(&self, name: &'static str) -> Result<String, ApiError> {
        self.text(name)?.ok_or(ApiError::Missing(name))
    }

    /// A whole number, also as a text.
    pub(crate) fn number(&self, name: &'static str) -> Result<Option<u64>, ApiError> {
        self.text(name)?
            .map(|text| {
                text.trim().parse().map_err(|_| ApiError::invalid(name, "it must be a whole number, 0 or more"))
            })
            .transpose()
    }

    /// The fields of an object, also as a text of JSON.
    pub(crate) fn object(&self, name: &'static str) -> Result<Option<Fields>, ApiError> {
        let fields = match self.body.get(name) {
            Some(Field::Text(text)) if text.is_empty() => return Ok(None),
            Some(field) => field.fields(),
            None => match self.query.get(name).filter(|text| !text.is_empty()) {
                Some(text) => Fields::parse(text),
                None => return Ok(None),
            },
        };
        let problem = || ApiError::invalid(name, "it must be a JSON object, as a text");
        fields.map(Some).ok_or_else(problem)
    }

    /// The items of a list, also as a text of JSON.
    pub(crate) fn list(&self, name: &'static str, most: usize) -> Result<Option<Vec<Field>>, ApiError> {
        let json = match self.body.get(name) {
            Some(Field::Text(text) | Field::Json(text)) => text,
            None => match self.query.get(name) {
                Some(text) => text,
                None => return Ok(None),
            },
        };
        if json.is_empty() {
            return Ok(None);
        }
        let problem = || ApiError::invalid(name, format!("it must be a JSON list of at most {most} items"));
        Field::Json(json.clone()).items(most).map(Some).ok_or_else(problem)
    }

    /// Whether there is something under this name that is not null, empty or false.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        match self.body.get(name) {
            None => self.query.get(name).is_some_and(|text| !text.is_empty() && text != "false"),
            Some(Field::Text(text)) => !text.is_empty(),
            Some(Field::Json(json)) => {
                let inside = |open, close| json.strip_prefix(open)?.strip_suffix(close);
                let inside = inside('[', ']').or_else(|| inside('{', '}')).unwrap_or(json);
                !inside.trim().is_empty() && json != "false"
            }
        }
    }
}

fn query(uri: &Uri) -> Result<BTreeMap<String, String>, ApiError> {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri);
    pairs
        .map(|Query(pairs)| pairs.into_iter().collect())
        .map_err(|_| ApiError::invalid("query", "it is not a list of name=value"))
}

/// The fields of a body; an empty one has none.
fn fields(text: &str) -> Option<Fields> {
    if text.trim_ascii().is_empty() { Some(Fields::default()) } else { Fields::parse(text) }
}

impl FromRequest<Arc<Shared>> for Params {
    type Rejection = ApiError;

    async fn from_request(mut request: Request, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        if let Some(params) = request.extensions_mut().remove::<ParsedParams>().and_then(|parsed| parsed.take()) {
            return Ok(params);
        }
        let query = query(request.uri())?;
        let (body, charge) = match *request.method() {
            Method::GET | Method::HEAD => (Fields::default(), None),
            _ => {
                let body = Body::read(request, shared).await?;
                let (body, charge) = body.parse(fields).await?;
                (body, Some(charge))
            }
        };
        Ok(Self { query, body, charge })
    }
}

impl FromRequest<Arc<Shared>> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        Self::read(request, shared).await
    }
}

/// The parameters of a call that a layer before its handler has read already.
#[derive(Clone, Debug)]
pub(super) struct ParsedParams(Arc<Mutex<Option<Params>>>);

impl ParsedParams {
    /// A request whose handler gets these parameters and no body.
    pub(super) fn put_into(mut parts: Parts, params: Params) -> Request {
        parts.extensions.insert(Self(Arc::new(Mutex::new(Some(params)))));
        Request::from_parts(parts, HttpBody::empty())
    }

    fn take(&self) -> Option<Params> {
        // Each change under the lock is a single step.
        lock(&self.0).take()
    }
}

/// What the body of a request counts for, where that is not its session or the server as a whole.
#[derive(Clone)]
pub(super) struct BodyBudget(pub(super) Arc<Budget>);

/// Reads the parameters of a call, and keeps its body as it came. The bytes are counted as long as the parameters live.
pub(super) async fn read_call(request: Request, shared: &Shared) -> Result<(Parts, Bytes, Params), ApiError> {
    let (mut parts, body) = request.into_parts();
    let query = query(&parts.uri)?;
    if matches!(parts.method, Method::GET | Method::HEAD) {
        // A body that one of these has is left where it is, and must not be announced to another server.
        parts.headers.remove(header::CONTENT_LENGTH);
        return Ok((parts, Bytes::new(), Params { query, ..Params::default() }));
    }
    let mut charge = shared.budget.nothing();
    let limits = &shared.config.limits;
    let bytes = read(&parts.headers, body, limits, limits.max_body, &mut charge).await?;
    let body = Body { bytes: bytes.clone(), charge };
    let (body, charge) = body.parse(fields).await?;
    Ok((parts, bytes, Params { query, body, charge: Some(charge) }))
}

/// The body of a call, as it came.
#[derive(Debug)]
pub(super) struct Body {
    bytes: Bytes,
    charge: Charge,
}

impl Body {
    /// Reads what `parse` makes of the text. It must be total, and not keep more than a few times the text's bytes.
    pub(super) async fn parse<T: Send + 'static>(
        self,
        parse: impl FnOnce(&str) -> Option<T> + Send + 'static,
    ) -> Result<(T, Charge), ApiError> {
        let Self { bytes, charge } = self;
        let (length, whose) = (bytes.len(), Arc::clone(charge.budget()));
        let read = move || {
            let parsed = std::str::from_utf8(&bytes).ok().and_then(parse);
            let parsed = parsed.ok_or_else(|| ApiError::Malformed(problem(&bytes)))?;
            Ok((parsed, charge))
        };
        apart(&whose, length, read).await.ok_or(ApiError::Defect)?
    }
}

/// What keeps this from being an object. Builds nothing of it.
fn problem(bytes: &[u8]) -> String {
    match serde_json::from_slice::<Nothing>(bytes) {
        Err(error) => error.to_string(),
        Ok(Nothing) if bytes.trim_ascii_start().starts_with(b"{") => {
            format!("it has more than {} members", Object::MOST_MEMBERS)
        }
        Ok(Nothing) => "it is another kind of JSON".to_owned(),
    }
}

/// Any value, which is read strictly, to the depth that `serde_json` allows, and not kept.
struct Nothing;

impl<'de> Deserialize<'de> for Nothing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Nothing {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        while fields.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

impl Body {
    /// Reads a body within the limits of size and time. What is read counts for its session, for what a layer has said
    /// ([`BodyBudget`]), or else for the server.
    async fn read(request: Request, shared: &Shared) -> Result<Self, ApiError> {
        let entry = request.extensions().get::<Entry>();
        let of_call = request.extensions().get::<BodyBudget>().map(|BodyBudget(budget)| budget);
        let budget = entry.map(|entry| entry.session.budget()).or(of_call).unwrap_or(&shared.budget);
        let mut charge = budget.nothing();
        let only_reads = entry.is_some_and(|entry| entry.grant.may_run().is_err());
        let limits = &shared.config.limits;
        let most = if only_reads { limits.max_body.min(MAX_OF_READER) } else { limits.max_body };
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, limits, most, &mut charge).await?;
        Ok(Self { bytes, charge })
    }
}

async fn read(
    headers: &HeaderMap,
    mut body: HttpBody,
    limits: &Limits,
    most: usize,
    charge: &mut Charge,
) -> Result<Bytes, ApiError> {
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok()).unwrap_or(0);
    let too_large = announced > most as u64;
    let (mut bytes, mut dropped) = (Vec::new(), 0);
    let reading = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| ApiError::Malformed("the connection broke within it".to_owned()))?;
            let Ok(data) = frame.into_data() else { continue };
            if too_large || bytes.len() + data.len() > most {
                bytes = Vec::new();
                dropped += data.len();
                // Some of the rest is read all the same: a client that is still writing would not see the answer.
                if dropped > DRAINED {
                    break;
                }
            } else {
                bytes.extend_from_slice(&data);
                charge.resize(bytes.capacity())?;
            }
        }
        Ok::<(), ApiError>(())
    };
    match tokio::time::timeout(limits.read_timeout, reading).await {
        Ok(result) => result?,
        Err(_) => return Err(ApiError::TooSlow { seconds: limits.read_timeout.as_secs() }),
    }
    if too_large || dropped > 0 {
        return Err(ApiError::TooLarge { limit: most });
    }
    Ok(bytes.into())
}

/// What is read of a body that is too large anyway, so that the client comes to hear of it.
const DRAINED: usize = 64 * 1024 * 1024;
