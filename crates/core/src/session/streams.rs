//! Event streams: the way to the service where the network lets no WebSocket through. Each run has its own.

use super::SessionConfig;
use super::dial::{Dial, Kind};
use super::runs::Run;
use crate::io::{EventsRequest, LinkId, OpenRequest};
use crate::run::RunId;
use crate::time::Instant;
use crate::wire::outgoing::Address;

/// The event streams of the runs that are followed like this.
#[derive(Debug, Default)]
pub(super) struct Streams {
    streams: Vec<Stream>,
}

/// One run's event stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) run: RunId,
    pub(super) dial: Dial,
    /// The run is over: the stream is closed as soon as everything has been said.
    pub(super) over: bool,
}

impl Streams {
    /// Opens a stream for a run.
    pub(super) fn add(&mut self, run: RunId) {
        let mut dial = Dial::new(Kind::Events);
        dial.want();
        self.streams.push(Stream { run, dial, over: false });
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.streams.iter_mut()
    }

    /// The stream with this link.
    pub(super) fn find(&mut self, link: LinkId) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.dial.is_link(link))
    }

    /// The stream of this run.
    pub(super) fn of_run(&mut self, run: RunId) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.run == run)
    }

    /// The open stream of this run.
    pub(super) fn link_of(&self, run: RunId) -> Option<LinkId> {
        self.streams.iter().find(|stream| stream.run == run).and_then(|stream| stream.dial.open_link())
    }

    /// A run is over.
    pub(super) fn end(&mut self, run: RunId) {
        for stream in self.streams.iter_mut().filter(|stream| stream.run == run) {
            stream.over = true;
        }
    }

    /// Closes the streams of runs that are over and have nothing more to say.
    pub(super) fn poll_close(&mut self, speaks: impl Fn(RunId) -> bool) -> Option<(LinkId, u16)> {
        for stream in self.streams.iter_mut().filter(|stream| stream.over) {
            if stream.dial.open_link().is_none() || !speaks(stream.run) {
                stream.dial.close();
            }
        }
        let close = self.streams.iter_mut().find_map(|stream| stream.dial.poll_close());
        if close.is_none() && !self.streams.is_empty() {
            self.streams.retain(|stream| !stream.over || stream.dial.open_link().is_some());
        }
        close
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.streams.iter().filter_map(|stream| stream.dial.deadline()).min()
    }

    /// Whether there is any.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }
}

/// How to open the stream of a run: from its first event, with what starts it, or from the last that came.
pub(super) fn open_request(run: &Run, link_url: &str, config: &SessionConfig) -> OpenRequest {
    let address = Address { invocation: &run.invocation, target: &config.target, bare: true };
    let first = match &run.request {
        Some(request) if !run.received => Some(request.start(address, config.extensions, config.window)),
        _ => None,
    };
    let say = format!("{link_url}/runs/{}", run.invocation);
    let mut url = format!("{say}/events?afterSeq={}&ackSeq={}", run.seq, run.acked);
    if config.extensions.flow {
        url += &format!("&window={}", config.window);
    }
    OpenRequest {
        url,
        headers: vec![("X-Access-Token", config.token.clone())],
        protocols: vec![],
        events: Some(EventsRequest { say, first }),
    }
}
