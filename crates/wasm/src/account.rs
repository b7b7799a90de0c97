//! Sessions of an account, and every call over HTTP. Only with the feature `account`.

mod answer;
mod client;
mod host;
mod http;
mod procedure;
mod session;
mod transfer;

use std::rc::Rc;

use agb_core::SessionConfig;
use agb_core::operations::SessionData;

use self::http::Http;

/// Whose session it is.
pub(crate) struct Member {
    http: Rc<Http>,
    /// The page was let in by its server and holds no API key: it can run code and call tools, nothing else.
    is_guest: bool,
    data: SessionData,
}

impl Member {
    pub(crate) fn guest(session_id: String, config: &SessionConfig, extensions: Vec<String>) -> Self {
        let SessionConfig { url, token, target, .. } = config;
        let mut data = SessionData::of_guest(session_id, url.clone(), token.clone(), target.clone());
        (data.link_url, data.extensions) = (config.link_url.clone(), extensions);
        Self { http: Rc::new(Http::without_key()), is_guest: true, data }
    }
}
