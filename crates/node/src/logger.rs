//! `setLogger`: log lines of the Rust side, on their way to JavaScript.
//!
//! Lines wait in a bounded queue per JavaScript thread. What does not fit is counted and said: a flood of lines must
//! neither fill the memory nor stop the I/O thread.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi::bindgen_prelude::{Error, FnArgs, Function, Result, Status, ToNapiValue};
use napi::{Env, sys};
use napi_derive::napi;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::js_thread_queue::{Callback, JsThreadQueue};

/// Lines that wait for one JavaScript thread.
const LONGEST_QUEUE: usize = 1_000;
/// Bytes of one line.
const LONGEST_LINE: usize = 4_096;

/// Sends lines from `level` on to `sink`, on this JavaScript thread. A second call replaces the first.
#[napi(js_name = "setLogger", catch_unwind)]
pub(crate) fn set_logger(
    env: &Env,
    level: String,
    sink: Function<'_, FnArgs<(String, String, String)>, ()>,
) -> Result<()> {
    let level = level
        .parse()
        .map_err(|_| Error::new(Status::InvalidArg, "the level is one of off, error, warn, info, debug, trace"))?;
    let queue = JsThreadQueue::of(env)?;
    let callback = Callback::keep(env, &sink)?;
    install();
    let replaced = {
        let mut sinks = sinks();
        let replaced = sinks.iter().position(|sink| sink.queue.is(&queue)).map(|at| sinks.swap_remove(at));
        sinks.retain(|sink| sink.queue.is_open());
        sinks.push(Arc::new(Sink { queue, callback, level, lines: Mutex::default() }));
        replaced
    };
    if let Some(replaced) = replaced {
        replaced.retire(env);
    }
    tracing::callsite::rebuild_interest_cache();
    Ok(())
}

fn sinks() -> MutexGuard<'static, Vec<Arc<Sink>>> {
    static SINKS: Mutex<Vec<Arc<Sink>>> = Mutex::new(Vec::new());
    SINKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One JavaScript thread's logger.
struct Sink {
    queue: JsThreadQueue,
    callback: Callback,
    level: LevelFilter,
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    waiting: VecDeque<Arc<Line>>,
    dropped: u64,
    posted: bool,
    /// Replaced by another: the callback may be gone.
    retired: bool,
}

struct Line {
    level: Level,
    target: &'static str,
    message: String,
}

impl Sink {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(self: &Arc<Self>, line: &Arc<Line>) {
        {
            let mut lines = self.lock();
            if lines.waiting.len() < LONGEST_QUEUE {
                lines.waiting.push_back(Arc::clone(line));
            } else {
                lines.dropped += 1;
            }
            if std::mem::replace(&mut lines.posted, true) {
                return;
            }
        }
        let sink = Arc::clone(self);
        self.queue.post(Box::new(move |env| sink.deliver(env)));
    }

    fn deliver(&self, env: &Env) {
        let (waiting, dropped) = {
            let mut lines = self.lock();
            lines.posted = false;
            if lines.retired {
                return;
            }
            (std::mem::take(&mut lines.waiting), std::mem::take(&mut lines.dropped))
        };
        for line in waiting {
            self.say(env, line.level, line.target, &line.message);
        }
        if dropped > 0 {
            let message = format!("{dropped} log lines were dropped, for JavaScript took them too slowly");
            self.say(env, Level::WARN, "agb::node", &message);
        }
    }

    fn say(&self, env: &Env, level: Level, target: &str, message: &str) {
        if self.lock().retired {
            return; // by the line before
        }
        let text = |text: &str| -> Result<sys::napi_value> {
            // SAFETY: this is the JavaScript thread of `env`.
            unsafe { ToNapiValue::to_napi_value(env.raw(), text) }
        };
        if let (Ok(level), Ok(target), Ok(message)) =
            (text(&level.as_str().to_ascii_lowercase()), text(target), text(message))
        {
            self.callback.call(env, &[level, target, message]);
        }
    }

    fn retire(&self, env: &Env) {
        self.lock().retired = true;
        self.callback.forget(env);
    }
}

/// The one subscriber of this library.
struct Bridge;

fn install() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // Nobody else can have set one: this library's copy of `tracing` is its own.
        let _ = tracing::subscriber::set_global_default(Bridge);
    });
}

impl Subscriber for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("agb")
    }

    /// The most that any sink wants: `tracing` asks again when the sinks have changed, and other lines cost next to nothing.
    fn max_level_hint(&self) -> Option<LevelFilter> {
        sinks().iter().map(|sink| sink.level).max().or(Some(LevelFilter::OFF))
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut message = Message(String::new());
        event.record(&mut message);
        let line = Arc::new(Line { level: *metadata.level(), target: metadata.target(), message: message.finish() });
        let sinks = sinks().clone(); // a sink may log itself
        for sink in sinks.iter().filter(|sink| *metadata.level() <= sink.level) {
            sink.put(&line);
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A line's words and then its fields, `name=value`.
struct Message(String);

impl Message {
    fn finish(mut self) -> String {
        self.0.truncate(self.0.floor_char_boundary(LONGEST_LINE));
        self.0
    }
}

impl Visit for Message {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.0.len() > LONGEST_LINE {
            return;
        }
        // A string takes everything.
        if field.name() == "message" {
            let rest = std::mem::take(&mut self.0);
            let _ = write!(self.0, "{value:?}{rest}");
        } else {
            let _ = write!(self.0, " {}={value:?}", field.name());
        }
    }
}
