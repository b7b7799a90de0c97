//! Calls over HTTP: what they are sent by, and for whom. Only with the feature `account`.

pub(crate) mod answer;
pub(crate) mod host;
pub(crate) mod http;

use std::rc::Rc;

use agb_core::SessionConfig;
use agb_core::operations::SessionData;

use self::http::Http;

/// Whose session it is.
pub(crate) struct Member {
    pub(crate) http: Rc<Http>,
    /// The page was let in by its server and holds no API key: it can run code and call tools, nothing else.
    pub(crate) is_guest: bool,
    pub(crate) data: SessionData,
}

impl Member {
    pub(crate) fn guest(session_id: String, config: &SessionConfig, extensions: Vec<String>) -> Self {
        let SessionConfig { url, token, target, .. } = config;
        let mut data = SessionData::of_guest(session_id, url.clone(), token.clone(), target.clone());
        (data.link_url, data.extensions) = (config.link_url.clone(), extensions);
        Self { http: Rc::new(Http::without_key()), is_guest: true, data }
    }
}
