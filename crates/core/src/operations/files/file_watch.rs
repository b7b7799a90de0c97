//! Watching files by asking for news that are waited for: the extension `fileWatch` of the server's protocol.
//!
//! | call | answer |
//! | --- | --- |
//! | `POST <linkUrl>/files/watch?path=P&recursive=true&watch=ID` | the watch has begun; said again, nothing changes |
//! | `GET <linkUrl>/files/watch?watch=ID&after=N&waitS=25` | what has happened behind news `N`, as soon as there is something |
//! | `DELETE <linkUrl>/files/watch?watch=ID` | the watch has ended |

use std::time::Duration;

use super::changes::{FileChange, FileChanges, is_gone};
use super::transfer::{FileLink, Patience};
use crate::error::ApiError;
use crate::http::{HttpRequest, Method};
use crate::json;
use crate::operations::SessionData;
use crate::procedure::{Outcome, Procedure, Reply, Single, Step};

/// How long one call waits for news: below the 30 s and more after which proxies end a call that says nothing.
const WAIT: Duration = Duration::from_secs(25);

/// A path that is watched, and how to ask for its news.
#[derive(Clone, Debug)]
pub struct FileWatch {
    link: FileLink,
    path: String,
    recursive: bool,
}

/// What a watch has told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WatchNews {
    /// The name of the watch, for the next call.
    pub watch: String,
    /// The number of these news, for the next call.
    pub after: u64,
    /// What has happened. An event `overflow` says that some were lost: look at the files anew.
    pub events: Vec<FileChange>,
    /// Why the watch is over, if it is: what was watched is gone, or the session.
    pub ended: Option<String>,
}

impl FileWatch {
    /// The name in a session's `extensions` under which a service says that it tells news of files.
    pub const EXTENSION: &str = "fileWatch";

    /// For a session whose service has the extension.
    #[must_use]
    pub fn of(session: &SessionData, path: &str, recursive: bool) -> Option<Self> {
        let link = FileLink::with(session, Self::EXTENSION)?;
        Some(Self { link, path: path.to_owned(), recursive })
    }

    /// Begins a watch under a name of the caller's: letters, digits and `-`, at most 64. Everything that happens after the
    /// answer is told.
    #[must_use]
    pub fn open(&self, watch: String) -> Single<String> {
        Single::done(self.opening(&watch), move || watch.clone())
    }

    /// What has happened behind the news `after`; waits for something, and comes back with nothing from time to time. A
    /// watch that the service has forgotten meanwhile is begun anew under the name `fresh`, with an event `overflow`.
    #[must_use]
    pub fn next(self, watch: String, after: u64, fresh: &str) -> NextNews {
        NextNews {
            watch: self,
            name: watch,
            after,
            fresh: fresh.to_owned(),
            begins: false,
            patience: Patience::default(),
        }
    }

    /// Ends a watch.
    #[must_use]
    pub fn close(&self, watch: &str) -> Single<()> {
        Single::done(self.link.request(Method::Delete, "/watch").query("watch", watch), || ())
    }

    fn opening(&self, watch: &str) -> HttpRequest {
        let request = self.link.request(Method::Post, "/watch").query("path", &self.path).query("watch", watch);
        if self.recursive { request.query("recursive", "true") } else { request }
    }
}

/// Asks for the news of a watch.
#[derive(Debug)]
pub struct NextNews {
    watch: FileWatch,
    name: String,
    after: u64,
    fresh: String,
    begins: bool,
    patience: Patience,
}

impl NextNews {
    fn call(&self) -> Step<WatchNews> {
        if self.begins {
            return Step::call(self.watch.opening(&self.name));
        }
        let mut request = self.watch.link.request(Method::Get, "/watch").query("watch", &self.name);
        request = request.query("after", self.after.to_string()).query("waitS", WAIT.as_secs().to_string());
        request.expected = WAIT;
        Step::call(request)
    }

    fn news(&mut self, reply: Reply, request_id: String) -> Step<WatchNews> {
        let mut news = WatchNews { watch: self.name.clone(), after: self.after, ..WatchNews::default() };
        if self.begins {
            news.events = vec![overflow(&self.watch.path)];
            return Step::done(news, request_id);
        }
        let (data, _) = reply.into_service();
        let data = json::unquote_object(data).unwrap_or_default();
        news.after = json::count(&data, &["after"]).unwrap_or(self.after);
        let events = json::field(&data, &["events"]).cloned().unwrap_or_default();
        news.events = FileChanges::read(events.to_string()).events;
        news.ended = json::string(&data, &["ended"]);
        Step::done(news, request_id)
    }

    fn failed(&mut self, error: ApiError) -> Step<WatchNews> {
        if error.code() == "InvalidWatch.NotFound" && !self.begins {
            (self.begins, self.after) = (true, 0);
            self.name.clone_from(&self.fresh);
            return self.call();
        }
        if is_gone(&error) {
            let ended = Some(error.to_string());
            let news = WatchNews { watch: self.name.clone(), after: self.after, ended, ..WatchNews::default() };
            return Step::done(news, error.request_id().to_owned());
        }
        match self.patience.wait(&error, None) {
            Some(time) => Step::Wait(time),
            None => Step::Done(Err(error)),
        }
    }
}

impl Procedure for NextNews {
    type Output = WatchNews;

    fn next(&mut self, last: Option<Outcome>) -> Step<WatchNews> {
        match last {
            None => self.call(),
            Some(Ok(answered)) => self.news(answered.value, answered.request_id),
            Some(Err(error)) => self.failed(error),
        }
    }
}

/// Says that events were lost.
fn overflow(path: &str) -> FileChange {
    FileChange { event: "overflow".to_owned(), path: path.to_owned(), kind: "directory".to_owned() }
}

json_object!(WatchNews as news {
    "watch": news.watch, "after": news.after, "events": news.events, "ended": news.ended,
});

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::{Refusal, TransportError};
    use crate::operations::fixtures::{line, linked};
    use crate::operations::played::{Played, data};

    fn watch() -> FileWatch {
        FileWatch::of(&linked("fileWatch"), "/tmp", true).expect("it has all that is needed")
    }

    fn refusal(code: &str) -> ApiError {
        let refusal =
            Refusal { code: code.to_owned(), message: String::from("not found"), status: 404, ..Refusal::default() };
        ApiError::NotFound(refusal)
    }

    #[test]
    fn news_are_asked_for_by_number() {
        let mut played = Played::new(watch().open(String::from("w1")));
        assert_eq!(line(&played.call()), "POST https://h/link/s/files/watch?path=%2Ftmp&watch=w1&recursive=true");
        assert_eq!(played.end(data(json!({}))), Ok(String::from("w1")));
        let mut played = Played::new(watch().next(String::from("w1"), 7, "w2"));
        let request = played.call();
        assert_eq!(line(&request), "GET https://h/link/s/files/watch?watch=w1&after=7&waitS=25");
        assert!(request.time_limit(Duration::from_secs(5)) > WAIT);
        let told = json!({"after": 8, "events": [{"eventType": "create", "path": "/tmp/a", "pathType": "file"}]});
        let news = played.end(data(told)).expect("news");
        assert_eq!((news.after, news.events.len(), news.ended), (8, 1, None));
    }

    #[test]
    fn a_cut_is_waited_out_and_a_forgotten_watch_begins_anew() {
        let mut played = Played::new(watch().next(String::from("w1"), 7, "w2"));
        played.call();
        played.fail(TransportError::Interrupted { reason: String::from("cut") }.into());
        assert!(played.wait() > 0);
        played.call();
        played.fail(refusal("InvalidWatch.NotFound"));
        assert!(line(&played.call()).contains("watch=w2"));
        let news = played.end(data(json!({}))).expect("news");
        assert_eq!((news.watch.as_str(), news.after, news.events[0].event.as_str()), ("w2", 0, "overflow"));
    }

    #[test]
    fn a_session_that_is_gone_ends_the_watch() {
        let mut played = Played::new(watch().next(String::from("w1"), 0, "w2"));
        played.call();
        played.fail(refusal("InvalidMcpSession.NotFound"));
        assert!(played.result().expect("news").ended.is_some());
    }
}
