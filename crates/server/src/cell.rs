//! A kernel's cell as what feeds a run: the kernel's events in the words of the wire.

mod failure_hint;
mod module_hints;
mod outcome;

use agb_kernel::{Cell, CellEvent, CellSink, ExecutionControl, Kernel, StdinError};

pub(crate) use self::failure_hint::FailureHint;
pub(crate) use self::module_hints::ModuleHints;
pub(crate) use self::outcome::{Ended, ended, failure_of};
use crate::observe::RunMeter;
use crate::run::event::{Event, Origin, Stream};
use crate::run::{Feed, InputError, Source};

/// Queues a cell in a kernel, to feed a run.
pub(crate) fn start(kernel: &Kernel, cell: Cell, feed: Feed, meter: RunMeter, hint: FailureHint) -> Box<dyn Source> {
    Box::new(kernel.run_into(cell, CellFeed { feed, meter, hint, failure_sent: false }))
}

/// What a cell says, on its way into a run's log.
struct CellFeed {
    feed: Feed,
    meter: RunMeter,
    hint: FailureHint,
    failure_sent: bool,
}

impl CellSink for CellFeed {
    fn push(&mut self, event: CellEvent) {
        self.meter.saw(&event);
        let event = match event {
            CellEvent::Started => Event::Started,
            CellEvent::Stdout(text) => Event::Chunk(Stream::Stdout.into(), text),
            CellEvent::Stderr(text) => Event::Chunk(Stream::Stderr.into(), text),
            CellEvent::Background { stream, text } => Event::Chunk(Origin::background(stream), text),
            CellEvent::Result(result) => Event::Result { is_main: result.is_main, mime: result.data },
            CellEvent::Error(error) => {
                self.failure_sent = true;
                Event::Error(self.hint.failure(failure_of(error)))
            }
            CellEvent::InputRequest { prompt } => Event::InputRequest { prompt },
            CellEvent::End(end) => {
                let Ended { failure, finish } = self.hint.ended(ended(end, self.feed.stop()));
                if let Some(failure) = failure.filter(|_| !self.failure_sent) {
                    self.feed.push(Event::Error(failure));
                }
                Event::End(finish)
            }
        };
        self.feed.push(event);
    }

    fn excess(&self) -> Option<usize> {
        self.feed.excess()
    }
}

impl Source for ExecutionControl {
    fn interrupt(&self) {
        self.interrupt();
    }

    fn write_input(&self, data: String) -> Result<(), InputError> {
        self.write_stdin(data).map_err(|error| match error {
            StdinError::Full(unread) => InputError::Full { unread },
            StdinError::Closed => InputError::Closed,
        })
    }

    fn end_input(&self) {
        self.close_stdin();
    }

    fn resume(&self) {
        self.resume();
    }
}
