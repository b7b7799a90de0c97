//! One link to the service, a WebSocket or an event stream, and what it says.

use agb_core::{DisconnectReason, Input, LinkId, OpenRequest, Secret, StreamCall};
use js_sys::Function;
use wasm_bindgen::prelude::{Closure, wasm_bindgen};
use wasm_bindgen::{JsCast, JsValue};

#[wasm_bindgen(module = "/src/link.js")]
unsafe extern "C" {
    type RawLink;
    #[wasm_bindgen(js_name = openSocket)]
    safe fn open_socket(url: &str, protocols: Vec<String>, hear: &Function) -> RawLink;
    #[wasm_bindgen(js_name = openEvents)]
    safe fn open_events(url: &str, token: &str, say: &str, first: Option<&str>, hear: &Function) -> RawLink;
    #[wasm_bindgen(method)]
    safe fn send(this: &RawLink, text: &str) -> f64;
    #[wasm_bindgen(method)]
    safe fn backlog(this: &RawLink) -> f64;
    #[wasm_bindgen(method)]
    safe fn close(this: &RawLink, code: u16);
}

/// What a link says.
pub(crate) enum Signal {
    Opened,
    /// A frame: a string, or something else in a binary frame.
    Frame(JsValue),
    Alive,
    /// Another session to the same address opens a WebSocket: one that no run needs is to make room.
    Rest,
    Lost(DisconnectReason),
}

/// A link that is opening, open, or closed by the other side.
pub(crate) struct Link {
    pub(crate) id: LinkId,
    raw: RawLink,
    _hear: Closure<dyn Fn(u32, JsValue, u16) -> bool>,
}

impl Link {
    /// Begins to open. `hear` is called with what it says, never before this function has returned.
    pub(crate) fn open(id: LinkId, request: &OpenRequest, hear: impl Fn(Signal) + 'static) -> Self {
        let hear = Closure::<dyn Fn(u32, JsValue, u16) -> bool>::new(move |kind, data, code| {
            let signal = signal(kind, data, code);
            let lives = !matches!(signal, Some(Signal::Lost(_)));
            if let Some(signal) = signal {
                hear(signal);
            }
            lives
        });
        let function = hear.as_ref().unchecked_ref();
        let raw = match &request.events {
            None => {
                let protocols = request.protocols.iter().map(|protocol| protocol.expose().to_owned()).collect();
                open_socket(&request.url, protocols, function)
            }
            Some(events) => {
                let token = request.headers.first().map_or("", |(_, token)| Secret::expose(token));
                open_events(&request.url, token, &events.say, events.first.as_deref(), function)
            }
        };
        Self { id, raw, _hear: hear }
    }

    /// Takes what is to be sent; says how many bytes wait now.
    pub(crate) fn send(&self, text: &str) -> usize {
        self.raw.send(text) as usize
    }

    /// Bytes taken and not yet sent.
    pub(crate) fn backlog(&self) -> usize {
        self.raw.backlog() as usize
    }

    /// Closes, and says nothing any more.
    pub(crate) fn close(self, code: u16) {
        self.raw.close(code);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.raw.close(1000); // for one that nobody closed; harmless after a close
    }
}

/// What `link.js` says; it has the same numbers. `None`: nothing that matters.
fn signal(kind: u32, data: JsValue, code: u16) -> Option<Signal> {
    let text = || data.as_string().unwrap_or_default();
    let call = match kind {
        0 => return Some(Signal::Opened),
        1 => return Some(Signal::Frame(data)),
        2 => return Some(Signal::Alive),
        3 => return Some(Signal::Lost(DisconnectReason::Closed { code, reason: text() })),
        4 => return Some(Signal::Lost(DisconnectReason::Broken(text()))),
        5 => return Some(Signal::Lost(DisconnectReason::TooLarge(text()))),
        6 => StreamCall::First,
        7 => StreamCall::Send,
        9 => return Some(Signal::Rest),
        _ => StreamCall::Events,
    };
    Some(match call.judge(code, &text())? {
        Input::Opened => Signal::Opened,
        Input::Lost(reason) => Signal::Lost(reason),
        _ => Signal::Alive,
    })
}
