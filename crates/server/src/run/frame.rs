//! A run's events as WebSocket frames, none larger than the client takes.

use agb_protocol::service::Reply;
use agb_protocol::{DEFAULT_TARGET, MimeBundle};

use super::event::{Event, Origin};
use crate::random;
use crate::settings::EXTENSIONS;
use crate::shorten::cut;

/// What an envelope takes around its content, generously.
const ENVELOPE: usize = 1024;

/// What the frames of one run have in common.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    /// The run's id.
    pub(crate) id: String,
    /// Its client asked for an extension: events have numbers and times.
    pub(crate) numbered: bool,
    /// The most bytes of a frame.
    pub(crate) limit: usize,
    /// What the server says that it knows.
    pub(crate) extensions: &'static [&'static str],
}

/// The frame that tells an observer that it watches. It has no number: it is not an event of the run.
pub(crate) fn watching(id: &str) -> String {
    Reply { invocation: id, source: DEFAULT_TARGET, seq: None, time: None }.greeting(false, EXTENSIONS, 0)
}

impl Label {
    /// Writes the frame of an event.
    ///
    /// Chunks are small enough by [`super::MAX_CHUNK`]; a result that is too large is replaced by a text that says what
    /// it was, a message that is too long is cut.
    pub(crate) fn frame(&self, seq: u64, time: u64, event: Event) -> String {
        let [seq, time] = [seq, time].map(|number| self.numbered.then_some(number));
        frame(Reply { invocation: &self.id, source: DEFAULT_TARGET, seq, time }, event, self)
    }
}

fn frame(reply: Reply<'_>, event: Event, &Label { limit, extensions, .. }: &Label) -> String {
    match event.shortened() {
        Event::Accepted => reply.accepted(extensions),
        Event::Started => reply.started(),
        Event::InputRefused { message } => reply.input_refused(&message),
        Event::Dropped { bytes } => reply.output_dropped(bytes),
        Event::Ending { seconds } => reply.ending(seconds),
        Event::InputRequest { prompt, password } => reply.input_request(&prompt, password),
        Event::Chunk(Origin { stream, background: false }, text) => reply.chunk(stream, &text),
        Event::Chunk(Origin { stream, background: true }, text) => reply.background_chunk(stream, &text),
        Event::Result { is_main, mime } => reply.result(&fit(mime, limit.saturating_sub(ENVELOPE)).to_json(), is_main),
        Event::Error(failure) => reply.error(&failure.name, &failure.value, &random::request_id(), Some(&failure)),
        Event::End(finish) => reply.end(&finish),
    }
}

/// Takes the largest representations out until the rest fits, and says so in `text/plain`.
fn fit(mut mime: MimeBundle, limit: usize) -> MimeBundle {
    let mut sizes: Vec<(usize, String)> =
        mime.iter().map(|(key, json)| (key.len() + json.len() + 4, key.to_owned())).collect();
    let mut total: usize = sizes.iter().map(|(size, _)| size).sum();
    if total <= limit {
        return mime;
    }
    sizes.sort_unstable();
    let mut left_out = Vec::new();
    // The note needs its own room: about a hundred bytes for each type that it names.
    while total + 256 + left_out.len() * 128 > limit
        && let Some((size, key)) = sizes.pop()
    {
        total -= size;
        mime.remove(&key);
        left_out.push(format!("{} of {size} bytes", cut(key, 64)));
    }
    left_out.truncate(16);
    let note = format!(
        "[left out, since a message of more than {limit} bytes does not go through: {}; write it to a file instead]",
        left_out.join(", ")
    );
    let text = match mime.text("text/plain") {
        Some(text) => format!("{text}\n{note}"),
        None => note,
    };
    mime.insert_text("text/plain", &text);
    mime
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::run::MAX_CHUNK;
    use crate::run::event::{Finish, RunFailure, Stream};

    const MIB: usize = 1024 * 1024;

    fn made(event: Event) -> String {
        let label = Label { id: "i".repeat(128), numbered: true, limit: MIB - 1, extensions: &[] };
        label.frame(u64::MAX, u64::MAX, event)
    }

    #[test]
    fn no_frame_reaches_the_limit() {
        let mut mime = MimeBundle::default();
        mime.insert_text("image/png", &"x".repeat(3 * MIB));
        mime.insert_text("text/html", &"\u{1}".repeat(MIB / 6));
        mime.insert_text("text/plain", "<Figure>");
        let failure = RunFailure { name: "\0".repeat(MIB), value: "\0".repeat(MIB), traceback: "\0".repeat(MIB) };
        for event in [
            Event::Chunk(Stream::Stdout.into(), "\0".repeat(MAX_CHUNK)),
            Event::Result { is_main: true, mime },
            Event::Error(failure),
            Event::End(Finish { execution_error: Some("\0".repeat(MIB)), ..Finish::default() }),
        ] {
            let frame = made(event);
            assert!(frame.len() < MIB, "{} bytes: {}", frame.len(), &frame[..200]);
            serde_json::from_str::<Value>(&frame).expect("a frame is JSON");
        }
    }

    #[test]
    fn a_large_result_says_what_it_was_and_keeps_the_rest() {
        let mut mime = MimeBundle::default();
        mime.insert_text("image/png", &"x".repeat(3 * MIB));
        mime.insert_text("text/plain", "<Figure>");
        let frame = made(Event::Result { is_main: true, mime });
        let value: Value = serde_json::from_str(&frame).expect("a frame is JSON");
        let mime = &value["data"]["result"]["mime"];
        assert!(mime.get("image/png").is_none());
        let text = mime["text/plain"].as_str().expect("a text");
        assert!(text.starts_with("<Figure>\n") && text.contains("image/png of 31457"), "{text}");
    }

    #[test]
    fn many_representations_do_not_make_a_long_note() {
        let mut mime = MimeBundle::default();
        (0..20_000).for_each(|n| mime.insert_text(&format!("x/{n}"), &"y".repeat(100)));
        assert!(made(Event::Result { is_main: false, mime }).len() < MIB);
    }
}
