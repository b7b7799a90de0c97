//! What a preparation of an image shows while it goes on: a bar on a terminal, a line a step elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use agb_server::{Images, PrepareError, Progress};
use indicatif::{ProgressBar, ProgressStyle};

/// Prepares an image and shows how it goes; see [`Images::prepare`].
pub(super) fn prepare(
    images: &Images,
    name: &str,
    python: Option<&std::path::Path>,
    again: bool,
) -> Result<bool, PrepareError> {
    let mut display = Display::new();
    let made = images.prepare(name, python, again, &mut |progress| display.show(progress));
    display.finish_step();
    made
}

struct Display {
    /// On a terminal.
    bar: Option<ProgressBar>,
    step: Option<(String, Instant)>,
}

impl Display {
    fn new() -> Self {
        Self { bar: io::stderr().is_terminal().then(bar), step: None }
    }

    fn show(&mut self, progress: Progress<'_>) {
        match progress {
            Progress::Step { number, of, label } => {
                self.finish_step();
                let text = format!("[{number}/{of}] {label}");
                match &self.bar {
                    Some(bar) => {
                        bar.set_length(of as u64);
                        bar.set_position(number as u64 - 1);
                        bar.set_message(plain(label));
                    }
                    None => line(&text),
                }
                self.step = Some((text, Instant::now()));
            }
            Progress::Detail(text) => match &self.bar {
                Some(bar) => bar.set_message(plain(text)),
                None => line(&format!("        {}", plain(text))),
            },
            Progress::Warning(text) => self.leave(&format!("warning: {text}")),
        }
    }

    /// Leaves a line of the step that is over.
    fn finish_step(&mut self) {
        let Some((step, began)) = self.step.take() else { return };
        if let Some(bar) = &self.bar {
            bar.println(plain(&format!("{step} ({} s)", began.elapsed().as_secs())));
        }
    }

    fn leave(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => line(text),
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    /// The seconds go on while a package is compiled, and the line is not written more often than the eye sees.
    const TICK: Duration = Duration::from_millis(100);
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} ({elapsed}) {wide_msg}").expect("a fixed template");
    let bar = ProgressBar::new(1).with_style(style);
    bar.enable_steady_tick(TICK);
    bar
}

/// One line that moves no terminal: it comes from programs of strangers.
fn plain(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Whoever does not read it is no reason to stop.
fn line(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
