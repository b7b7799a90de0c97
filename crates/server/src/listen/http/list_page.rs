//! A page of the list of sessions, and where the next one begins.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::Shared;
use super::labels::Labels;
use crate::session::{Session, Stage};

/// A part of the list of sessions.
#[derive(Debug)]
pub(super) struct ListPage {
    pub(super) items: Vec<ListItem>,
    /// More come after these.
    pub(super) has_more: bool,
    /// How many there are on all pages.
    pub(super) count: usize,
}

/// A session in the list. The names are those that servers of a cluster tell each other.
#[derive(Debug, Deserialize)]
pub(super) struct ListItem {
    #[serde(rename = "createdMs")]
    pub(super) created_ms: u64,
    #[serde(rename = "sessionId")]
    pub(super) id: String,
    #[serde(rename = "sessionStatus")]
    pub(super) status: String,
}

/// A place in the list: what comes after it is newer, or as old and of a larger id. It holds for any number of servers,
/// whatever their clocks say: no session is shown twice or left out.
pub(super) type Place = (u64, String);

impl ListItem {
    pub(super) fn place(&self) -> Place {
        (self.created_ms, self.id.clone())
    }
}

/// This server's part of the list, from a place on.
pub(super) fn own_page(
    shared: &Shared,
    after: Option<&Place>,
    wanted: &BTreeMap<String, String>,
    all: bool,
    length: usize,
) -> ListPage {
    let sessions = shared.sessions.list().into_iter();
    let matching: Vec<Arc<Session>> = sessions
        .filter(|session| all || session.stage() == Stage::Running)
        .filter(|session| has_labels(&session.labels(), wanted))
        .collect();
    let item = |session: &Arc<Session>| ListItem {
        created_ms: session.created_ms(),
        id: session.id().to_owned(),
        status: session.stage().as_str().to_owned(),
    };
    let count = matching.len();
    let mut items: Vec<_> =
        matching.iter().map(item).filter(|item| after.is_none_or(|at| item.place() > *at)).collect();
    items.sort_by_cached_key(ListItem::place);
    let has_more = items.len() > length;
    items.truncate(length);
    ListPage { items, has_more, count }
}

fn has_labels(labels: &Labels, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// What a client sends back for the page behind this place.
pub(super) fn page_token((created_ms, id): &Place) -> String {
    format!("after-{created_ms}-{id}")
}

pub(super) fn parse_page_token(token: &str) -> Option<Place> {
    let (created_ms, id) = token.strip_prefix("after-")?.split_once('-')?;
    Some((created_ms.parse().ok()?, id.to_owned()))
}
