//! Keeps the log readable, and its disk free, whatever strangers cause to be logged.
//!
//! Each kind of line, which is each place in the source and session, may be written so often a second. What is left out is
//! counted, and summed up in a line of its own when the second is over.

use std::collections::HashMap;
use std::fmt::{Debug, Write};
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

const SECOND: Duration = Duration::from_secs(1);
/// Kinds that are told apart within a second; of further ones, sessions are not. The source has some hundred places.
const MOST_KINDS: usize = 1000;
/// What is told of a message that was left out.
const LONGEST: usize = 100;
/// The lines that sum up are themselves as few as the kinds.
const TARGET: &str = "agb_server::log_limit";

/// Lets each kind of line through so often a second. A layer over everything that is logged.
#[derive(Clone)]
pub(super) struct LogLimit {
    kinds: Arc<Mutex<Kinds>>,
    /// Said once a second at most: something was left out.
    left_out: Sender<()>,
}

impl LogLimit {
    /// `most` lines of a kind a second.
    pub(super) fn new(most: u64) -> io::Result<Self> {
        let (left_out, told) = channel();
        let limit = Self { kinds: Arc::new(Mutex::new(Kinds::new(most, Instant::now()))), left_out };
        let kinds = Arc::clone(&limit.kinds);
        std::thread::Builder::new().name("agb-log".to_owned()).spawn(move || sum_up(&kinds, &told))?;
        Ok(limit)
    }

    /// Says what was left out last.
    pub(super) fn finish(&self) {
        say(lock(&self.kinds).take(Instant::now()));
    }
}

impl<S: Subscriber> Layer<S> for LogLimit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if event.metadata().target() == TARGET {
            return true;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let admitted = lock(&self.kinds).admit(Instant::now(), event.metadata().callsite(), line);
        if admitted == Admitted::FirstLeftOut {
            let _ = self.left_out.send(()); // the thread lasts as long as the sender
        }
        matches!(admitted, Admitted::Yes)
    }
}

/// Waits until something is left out, then for the second to be over.
fn sum_up(kinds: &Mutex<Kinds>, left_out: &Receiver<()>) {
    while left_out.recv().is_ok() {
        std::thread::sleep(SECOND);
        let sums = lock(kinds).take(Instant::now());
        say(sums);
    }
}

fn say(sums: Vec<Sum>) {
    for Sum { left_out, whose, like } in sums {
        tracing::warn!(target: TARGET, left_out, whose, like, "more lines of a kind than --log-lines");
    }
}

/// What of a line says of which kind it is.
#[derive(Clone, Debug, Default)]
struct Line {
    whose: String,
    message: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record(field, value);
    }
}

impl Line {
    fn record(&mut self, field: &Field, value: &dyn Debug) {
        let part = match field.name() {
            "message" => &mut self.message,
            "owner" | "session" => &mut self.whose,
            _ => return,
        };
        let _ = write!(part, "{value:?}"); // a text takes everything
        *part = part.chars().take(LONGEST).collect();
    }
}

/// The lines of the second that goes on.
#[derive(Debug)]
struct Kinds {
    most: u64,
    began: Instant,
    seen: HashMap<(Identifier, String), Kind>,
    is_summing: bool,
}

#[derive(Debug, Default)]
struct Kind {
    lines: u64,
    left_out: u64,
    like: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admitted {
    Yes,
    /// The first of all that are left out in this second.
    FirstLeftOut,
    LeftOut,
}

/// Lines of one kind that were left out.
#[derive(Debug, PartialEq, Eq)]
struct Sum {
    left_out: u64,
    whose: String,
    like: String,
}

impl Kinds {
    fn new(most: u64, began: Instant) -> Self {
        Self { most, began, seen: HashMap::new(), is_summing: false }
    }

    fn admit(&mut self, now: Instant, place: Identifier, line: Line) -> Admitted {
        if !self.is_summing && now >= self.began + SECOND {
            self.seen.clear();
            self.began = now;
        }
        let mut key = (place, line.whose);
        if self.seen.len() >= MOST_KINDS && !self.seen.contains_key(&key) {
            key.1 = String::new();
        }
        let kind = self.seen.entry(key).or_default();
        if kind.lines < self.most {
            kind.lines += 1;
            return Admitted::Yes;
        }
        if kind.left_out == 0 {
            kind.like = line.message;
        }
        kind.left_out += 1;
        if std::mem::replace(&mut self.is_summing, true) { Admitted::LeftOut } else { Admitted::FirstLeftOut }
    }

    /// Ends the second: gives what was left out in it.
    fn take(&mut self, now: Instant) -> Vec<Sum> {
        self.began = now;
        self.is_summing = false;
        let left_out = self.seen.drain().filter(|(_, kind)| kind.left_out > 0);
        let sums = left_out.map(|((_, whose), kind)| Sum { left_out: kind.left_out, whose, like: kind.like });
        sums.collect()
    }
}

/// Nothing panics while it holds the lock.
fn lock(kinds: &Mutex<Kinds>) -> MutexGuard<'_, Kinds> {
    kinds.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// A log in memory.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A place in the source.
    fn somewhere() -> Identifier {
        struct Spy(Arc<Mutex<Option<Identifier>>>);

        impl<S: Subscriber> Layer<S> for Spy {
            fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                *self.0.lock().expect("no panic") = Some(event.metadata().callsite());
            }
        }

        let seen = Arc::default();
        let layers = tracing_subscriber::registry().with(Spy(Arc::clone(&seen)));
        tracing::subscriber::with_default(layers, || tracing::info!("here"));
        seen.lock().expect("no panic").clone().expect("it was logged")
    }

    #[test]
    fn a_flood_is_cut_and_summed_up_and_hides_nothing_else() {
        let (log, limit) = (Log::default(), LogLimit::new(5).expect("a thread"));
        let writer = log.clone();
        let layers = tracing_subscriber::registry()
            .with(limit.clone())
            .with(tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone()));
        // The test's own thread takes the sums, whatever the time: the limit is not to begin anew meanwhile.
        lock(&limit.kinds).is_summing = true;
        tracing::subscriber::with_default(layers, || {
            for n in 0..1000 {
                tracing::info!(owner = "one", n, "refused");
            }
            tracing::info!(owner = "two", "refused");
            tracing::info!("something else");
            limit.finish();
            tracing::info!(owner = "one", "refused after that");
        });
        let text = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("a text");
        let count = |part: &str| text.lines().filter(|line| line.contains(part)).count();
        assert_eq!(
            (count("refused owner=\"one\" n="), count("owner=\"two\""), count("something else")),
            (5, 1, 1),
            "{text}"
        );
        assert!(
            text.contains("left_out=995") && text.contains("like=\"refused\"") && text.contains("whose="),
            "{text}"
        );
        assert_eq!(count("refused after that"), 1, "{text}");
    }

    #[test]
    fn a_new_second_begins_anew_and_kinds_are_bounded() {
        let begin = Instant::now();
        let mut kinds = Kinds::new(2, begin);
        let here = somewhere();
        let line = |whose: &str| Line { whose: whose.to_owned(), message: "m".to_owned() };
        let mut admit = |after: Duration, whose: &str| kinds.admit(begin + after, here.clone(), line(whose));
        let half = SECOND / 2;
        assert_eq!([admit(half, "a"), admit(half, "a"), admit(SECOND, "a")], [Admitted::Yes; 3]);
        assert_eq!(admit(SECOND, "a"), Admitted::Yes);
        assert_eq!([admit(SECOND, "a"), admit(SECOND, "a")], [Admitted::FirstLeftOut, Admitted::LeftOut]);
        for n in 0..5000 {
            admit(SECOND, &n.to_string());
        }
        assert!(kinds.seen.len() <= MOST_KINDS + 1);
        let left_out: u64 = kinds.take(begin + SECOND).iter().map(|sum| sum.left_out).sum();
        assert!(left_out > 2 && kinds.seen.is_empty() && !kinds.is_summing, "{left_out}");
    }
}
