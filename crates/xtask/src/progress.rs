//! A sign of life while something takes its time. (A spinner of a library would have no line now and then for logs, and
//! half a dozen crates to build before the first command runs.)

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Between frames of the spinner.
const FRAME: Duration = Duration::from_millis(100);
/// Between lines where there is no terminal.
const PLAIN: Duration = Duration::from_secs(30);
const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// Shows on standard error that `label` goes on: a spinner on a terminal, a line now and then elsewhere.
pub(crate) struct Progress {
    started: Instant,
    done: Arc<AtomicBool>,
    painter: Option<JoinHandle<()>>,
}

impl Progress {
    pub(crate) fn start(label: &str) -> Self {
        let started = Instant::now();
        let done = Arc::new(AtomicBool::new(false));
        let painter = {
            let (label, done) = (label.to_owned(), done.clone());
            thread::spawn(
                move || {
                    if animated() { spin(&label, started, &done) } else { report(&label, started, &done) }
                },
            )
        };
        Progress { started, done, painter: Some(painter) }
    }

    /// Clears the display and tells how long it took.
    pub(crate) fn finish(mut self) -> Duration {
        self.clear();
        self.started.elapsed()
    }

    fn clear(&mut self) {
        self.done.store(true, Ordering::Release);
        if let Some(painter) = self.painter.take() {
            painter.thread().unpark();
            // It only fails if it panicked, and then it has said so.
            let _ = painter.join();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn animated() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

fn spin(label: &str, started: Instant, done: &AtomicBool) {
    let mut stderr = io::stderr();
    for frame in FRAMES.iter().cycle() {
        if done.load(Ordering::Acquire) {
            break;
        }
        // A closed terminal ends the display, not the work.
        let _ = write!(stderr, "\r  {frame} {label} {}\x1b[K", seconds(started.elapsed()));
        thread::park_timeout(FRAME);
    }
    let _ = write!(stderr, "\r\x1b[K");
}

fn report(label: &str, started: Instant, done: &AtomicBool) {
    let mut next = PLAIN;
    while !done.load(Ordering::Acquire) {
        if started.elapsed() >= next {
            eprintln!("  …     {label}, for {} so far", seconds(started.elapsed()));
            next += PLAIN;
        }
        thread::park_timeout(next.saturating_sub(started.elapsed()));
    }
}

/// `0.8 s`, `75.0 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_at_once_and_measures() {
        let progress = Progress::start("waiting");
        thread::sleep(Duration::from_millis(30));
        let took = progress.finish();
        assert!(took >= Duration::from_millis(30) && took < PLAIN, "{took:?}");
    }

    #[test]
    fn writes_seconds() {
        assert_eq!(seconds(Duration::from_millis(75_040)), "75.0 s");
    }
}
