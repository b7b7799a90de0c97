//! Whose session it is, and what the service said of it.

use std::rc::Rc;

use agb_core::SessionConfig;
use agb_core::operations::SessionData;

use super::http::Http;

/// Whose session it is.
pub(crate) struct Member {
    pub(super) http: Rc<Http>,
    /// The page was let in by its server and holds no API key: it can run code and call tools, nothing else.
    pub(super) is_guest: bool,
    pub(super) data: SessionData,
}

impl Member {
    pub(crate) fn guest(session_id: String, config: &SessionConfig, extensions: Vec<String>) -> Self {
        let SessionConfig { url, token, target, .. } = config;
        let mut data = SessionData::of_guest(session_id, url.clone(), token.clone(), target.clone());
        (data.link_url, data.extensions) = (config.link_url.clone(), extensions);
        Self { http: Rc::new(Http::without_key()), is_guest: true, data }
    }
}
