//! A kernel's cell as what feeds a run: the kernel's events in the words of the wire.

mod failure_hint;
mod module_hints;
mod outcome;

use agb_kernel::{Cell, CellEvent, CellSink, ExecutionControl, Kernel, StdinError};

pub(crate) use self::failure_hint::FailureHint;
pub(crate) use self::module_hints::ModuleHints;
pub(crate) use self::outcome::{Ended, ended, failure_of};
use crate::budget::Charge;
use crate::observe::RunMeter;
use crate::run::event::{Event, Origin, Stream};
use crate::run::{Feed, InputError, Source};

/// Queues a cell in a kernel, to feed a run.
pub(crate) fn start(kernel: &Kernel, cell: Cell, sink: CellFeed) -> Box<dyn Source> {
    Box::new(kernel.run_into(cell, sink))
}

/// Counts what a kernel holds of a message. It is there already, so it counts whether there is room or not.
pub(crate) fn hold(charge: &mut Charge, bytes: usize) -> bool {
    charge.hold(bytes);
    bytes == 0 || !charge.is_short()
}

/// What a cell says, on its way into a run's log.
pub(crate) struct CellFeed {
    feed: Feed,
    meter: RunMeter,
    hint: FailureHint,
    /// What the kernel holds of a message that has not come whole.
    held: Charge,
    failure_sent: bool,
}

impl CellFeed {
    pub(crate) fn new(feed: Feed, meter: RunMeter, hint: FailureHint, held: Charge) -> Self {
        Self { feed, meter, hint, held, failure_sent: false }
    }
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
            CellEvent::InputRequest { prompt, password } => Event::InputRequest { prompt, password },
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

    fn hold(&mut self, bytes: usize) -> bool {
        hold(&mut self.held, bytes)
    }
}

impl Source for ExecutionControl {
    fn interrupt(&self) {
        self.interrupt();
    }

    fn write_input(&self, data: String, held: Option<Charge>) -> Result<(), InputError> {
        self.write_stdin_holding(data, held).map_err(|error| match error {
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
