//! One `WebSocket` and its handlers.

use agb_core::{LinkId, OpenRequest};
use js_sys::{Array, Function};
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{CloseEvent, MessageEvent, WebSocket};

/// What a socket says.
pub(crate) enum Signal {
    Opened,
    /// A frame: a string, or something else in a binary frame.
    Frame(JsValue),
    Closed {
        code: u16,
        reason: String,
    },
}

/// A socket that is opening, open, or closed by the other side.
pub(crate) struct Socket {
    pub(crate) link: LinkId,
    socket: WebSocket,
    _handlers: [Closure<dyn Fn(JsValue)>; 3],
}

impl Socket {
    /// Begins to open. `hear` is called with what it says, never before this function has returned.
    ///
    /// # Errors
    /// The name of the browser's exception. Its message might hold the token, which is one of the sub-protocols.
    pub(crate) fn open(
        link: LinkId,
        request: &OpenRequest,
        hear: impl Fn(Signal) + Clone + 'static,
    ) -> Result<Self, String> {
        let protocols: Array = request.protocols.iter().map(|protocol| JsValue::from_str(protocol.expose())).collect();
        let socket = WebSocket::new_with_str_sequence(&request.url, &protocols).map_err(|error| name_of(&error))?;
        let handlers = [
            handler(hear.clone(), |_| Signal::Opened),
            handler(hear.clone(), |event| Signal::Frame(event.unchecked_into::<MessageEvent>().data())),
            handler(hear, |event| {
                let event: CloseEvent = event.unchecked_into();
                Signal::Closed { code: event.code(), reason: event.reason() }
            }),
        ];
        let [opened, frame, closed] = handlers.each_ref().map(|handler| Some(function(handler)));
        socket.set_onopen(opened);
        socket.set_onmessage(frame);
        socket.set_onclose(closed);
        Ok(Self { link, socket, _handlers: handlers })
    }

    /// Takes the frame; says how many bytes wait now. A socket that is not open any more takes nothing and will say so.
    pub(crate) fn send(&self, text: &str) -> usize {
        let _ = self.socket.send_with_str(text);
        self.backlog()
    }

    /// Bytes taken and not yet sent.
    pub(crate) fn backlog(&self) -> usize {
        self.socket.buffered_amount() as usize
    }

    /// Closes, and says nothing any more.
    pub(crate) fn close(self, code: u16) {
        let _ = self.socket.close_with_code(code);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        let _ = self.socket.close(); // for one that nobody closed; harmless after a close
    }
}

fn handler(hear: impl Fn(Signal) + 'static, read: fn(JsValue) -> Signal) -> Closure<dyn Fn(JsValue)> {
    Closure::new(move |event| hear(read(event)))
}

fn function(handler: &Closure<dyn Fn(JsValue)>) -> &Function {
    handler.as_ref().unchecked_ref()
}

fn name_of(error: &JsValue) -> String {
    error.dyn_ref::<js_sys::Error>().map_or_else(|| "an error".into(), |error| error.name().into())
}
