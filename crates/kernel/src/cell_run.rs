//! One cell in a living process, from its first frame to its end.

use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use crate::background::Background;
use crate::channel::{CellChannel, Input};
use crate::java;
use crate::message::{self, CellMessage, Message};
use crate::pipe::READ_SIZE;
use crate::process::Process;
use crate::queue::Queue;
use crate::random::random_hex;
use crate::room::{AFTER_STOP, Room};
use crate::{Cell, CellError, CellEvent, CellSink, Death, KernelSpec, Language, Outcome, ProtocolError};

/// What V8 prints before it aborts for want of memory, which nothing else tells from other aborts.
const HEAP_IS_FULL: &str = "JavaScript heap out of memory";

/// Far enough to be never, near enough to be added to an `Instant`.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// How often the sink is asked whether there is room for more of a large message.
///
/// 50 ms: it has none while clients of the session leave megabytes unread, which takes longer to change.
const LOOK_FOR_ROOM: Duration = Duration::from_millis(50);

/// What a message costs beyond its bytes, as output that is paced.
///
/// 1 KiB: about what an empty result takes on its way to those who see it.
const FRAME_COST: usize = 1 << 10;

/// How long a program whose time is over while it waits for its reader may take to come to its own end.
///
/// 500 ms: one that has nothing left to do but to hand over its last words does so in milliseconds; the rest is for a busy
/// machine. It comes on top of the time limit, and only for a program that was held back.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How many messages are taken before others have their turn.
///
/// 32: about as long as a read of output takes. A read of messages may have hundreds.
const MESSAGES_A_TURN: usize = 32;

/// What a cell came to.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    pub(crate) time: Duration,
    /// The process is gone.
    pub(crate) state_lost: bool,
}

/// A cell that runs.
pub(crate) struct CellRun<'a> {
    pub(crate) process: &'a mut Process,
    pub(crate) cell: &'a Cell,
    pub(crate) channel: &'a CellChannel,
    pub(crate) sink: &'a mut dyn CellSink,
    pub(crate) queue: &'a Queue,
    pub(crate) spec: &'a KernelSpec,
    pub(crate) count: u32,
    pub(crate) background: &'a mut Background,
    pub(crate) buffer: &'a mut [u8],
    /// Whether [`HEAP_IS_FULL`] came over standard error.
    pub(crate) heap_is_full: bool,
    pub(crate) room: Room,
    /// Messages that have come may wait for their turn, or for room.
    pub(crate) has_more: bool,
}

/// Why a program is being stopped, when it is interrupted once more, and when it is killed.
///
/// The second interrupt is for what has missed the first, such as a child that was just being started, and ends what goes on
/// after it. Until then a program may clean up in peace: an interrupt in the middle would lose what it has to say.
struct Stopping {
    outcome: Outcome,
    remind_at: Option<Instant>,
    kill_at: Instant,
}

/// What brought a cell to its end.
enum Finish {
    Done {
        failed: bool,
        time: Duration,
    },
    /// The same, and the interpreter ends by itself.
    Exits {
        failed: bool,
    },
    Died,
    ControlClosed,
    Broken(ProtocolError),
    Overdue,
    ShutDown,
}

impl CellRun<'_> {
    pub(crate) async fn run(mut self) -> Verdict {
        let began = Instant::now();
        let mut stopping = None;
        let mut error = None;
        let finish = match random_hex() {
            Ok(nonce) => {
                let finish = self.serve(&nonce, began, &mut stopping, &mut error).await;
                self.process.remember_nonce(nonce);
                finish
            }
            Err(cause) => {
                tracing::error!(%cause, "no random numbers: the messages of a cell cannot be told from forged ones");
                Finish::ShutDown
            }
        };
        let wall = began.elapsed();
        let requested = stopping.map(|stopping: Stopping| stopping.outcome);
        let (outcome, time, state_lost) = match finish {
            Finish::Done { failed, time } => {
                if requested.is_some() {
                    self.process.interrupts_are_sent().await;
                }
                let own = match error {
                    Some(error) if failed => Outcome::Failed(error),
                    None if failed && requested.is_none() => self.failed_without_error(),
                    _ => Outcome::Finished,
                };
                // The program's own clock is the better one, but not to be believed beyond ours.
                (requested.unwrap_or(own), time.min(wall), false)
            }
            Finish::Exits { failed } => {
                let death = self.process.end().await;
                let own = match (error, death) {
                    (Some(error), Death::Exited(_)) if failed => Outcome::Failed(error),
                    (None, Death::Exited(_)) if failed && requested.is_none() => self.failed_without_error(),
                    (_, Death::Exited(0)) => Outcome::Finished,
                    (_, Death::Exited(code)) => self.ended_with(code),
                    (_, death) => Outcome::Killed(death),
                };
                (requested.unwrap_or(own), wall, true)
            }
            Finish::Died => {
                let death = self.process.end().await;
                (requested.unwrap_or_else(|| self.exited(death)), wall, true)
            }
            Finish::ControlClosed => {
                let death = self.process.end_closed().await;
                (requested.unwrap_or_else(|| self.exited(death)), wall, true)
            }
            Finish::Broken(error) => {
                self.process.end().await;
                (Outcome::Killed(Death::Protocol(error)), wall, true)
            }
            Finish::Overdue | Finish::ShutDown => {
                self.process.end().await;
                (requested.unwrap_or(Outcome::Cancelled), wall, true)
            }
        };
        self.drain(true);
        let outcome = match outcome {
            Outcome::Killed(Death::Signalled(libc::SIGABRT)) if self.heap_is_full => {
                Outcome::Killed(Death::OutOfMemory)
            }
            other => other,
        };
        Verdict { outcome, time, state_lost }
    }

    /// What the death of the process means for the cell. `System.exit` in Java ends the whole process: a regular end of
    /// the program, as in the other languages, whose interpreters outlive it.
    fn exited(&mut self, death: Death) -> Outcome {
        match death {
            Death::Exited(0) if self.spec.language == Language::Java => Outcome::Finished,
            Death::Exited(code) if self.spec.language == Language::Java && code != java::DEFECT => {
                self.ended_with(code)
            }
            death => Outcome::Killed(death),
        }
    }

    /// The program has ended its process with an exit status that is no success.
    fn ended_with(&mut self, code: i32) -> Outcome {
        let (name, value) = ("ProcessExit".to_owned(), format!("the program ended with exit status {code}"));
        let traceback = format!("{name}: {value}\n");
        let error = CellError { name, value, traceback };
        self.sink.push(CellEvent::Error(error.clone()));
        Outcome::Failed(error)
    }

    /// A cell that failed is never a success, although the harness could not say why.
    fn failed_without_error(&mut self) -> Outcome {
        let value = "the program failed, and the interpreter did not say why".to_owned();
        let error = CellError { name: "Error".to_owned(), traceback: format!("Error: {value}\n"), value };
        self.sink.push(CellEvent::Error(error.clone()));
        Outcome::Failed(error)
    }

    async fn serve(
        &mut self,
        nonce: &str,
        began: Instant,
        stopping: &mut Option<Stopping>,
        error: &mut Option<CellError>,
    ) -> Finish {
        let (cell, channel) = (self.cell, self.channel);
        let deadline = began + cell.timeout.min(FOREVER);
        let mut wants_input = false;
        // When it was held back last: it may have ended, and not have been heard. Until when its last words are waited for.
        let (mut held_back, mut last_words) = (None, None);
        // The end, once the interpreter ends by itself: what it prints until then is the program's.
        let mut exits = None;
        self.process.stir();
        self.process.control.send(message::run(cell, nonce, self.count, self.spec));
        self.sink.push(CellEvent::Started);
        self.background.deliver(self.sink);
        loop {
            if self.queue.is_closed() {
                return Finish::ShutDown;
            }
            if stopping.is_none() && channel.interrupted() {
                *stopping = Some(self.stop(nonce, Outcome::Cancelled));
            }
            // What a program has asked for and does not take waits in the channel, which is bounded.
            if wants_input && !self.process.control.has_unsent() {
                let answer = match channel.take_stdin() {
                    Input::Data(data) => Some(message::stdin(nonce, &data, false)),
                    Input::Eof => Some(message::stdin(nonce, "", true)),
                    Input::Nothing => None,
                };
                if let Some(answer) = answer {
                    wants_input = false;
                    self.process.control.send(answer);
                }
            }
            self.room.look(self.sink);
            let is_late = stopping.is_some() || last_words.is_some();
            let resume_at = self.process.rate.resume_at().filter(|_| !is_late);
            if self.has_more && resume_at.is_none() && self.room.takes_messages() {
                yield_now().await;
                match self.receive(nonce, stopping.is_some(), false, &mut wants_input, error) {
                    Some(finish @ Finish::Exits { .. }) => exits = Some(finish),
                    Some(finish) => return finish,
                    None => {}
                }
                continue;
            }
            let held = self.process.control.held();
            // A message of usual size is always taken: whoever shares the room cannot keep it from coming. Who is to stop is
            // let out of its write.
            let usual = if is_late { AFTER_STOP } else { READ_SIZE };
            let has_room = self.sink.hold(if held.bytes > 0 { held.memory } else { 0 }) || held.bytes < usual;
            if stopping.is_some() && !has_room && self.leave_out() {
                continue;
            }
            let take_output = resume_at.is_none() && self.room.takes_output();
            let take_messages = resume_at.is_none() && self.room.takes_messages() && has_room;
            let take_control = take_messages && !self.has_more && exits.is_none();
            let is_held_back = self.has_more || !take_output || !take_messages;
            if is_held_back {
                held_back = Some(Instant::now());
            }
            let wake = match (&stopping, last_words) {
                (Some(stopping), _) => stopping.remind_at.unwrap_or(stopping.kill_at),
                (None, Some(until)) if take_messages => until,
                (None, Some(_)) => Instant::now(), // it has more to say than last words
                (None, None) => deadline,
            };
            let (stdout, stderr, control, pidfd) = self.process.parts();
            tokio::select! {
                () = stdout.ready(), if take_output && stdout.is_open() => {
                    if let Some(text) = stdout.read(self.buffer) {
                        self.process.rate.taken(text.len());
                        self.room.taken(text.len());
                        self.sink.push(CellEvent::Stdout(text));
                    }
                }
                () = stderr.ready(), if take_output && stderr.is_open() => {
                    if let Some(text) = stderr.read(self.buffer) {
                        self.process.rate.taken(text.len());
                        self.room.taken(text.len());
                        self.heap_is_full |= text.contains(HEAP_IS_FULL);
                        self.sink.push(CellEvent::Stderr(text));
                    }
                }
                () = control.ready(take_control) => {
                    let open = control.step(take_control, self.buffer);
                    match self.receive(nonce, stopping.is_some(), false, &mut wants_input, error) {
                        Some(finish @ Finish::Exits { .. }) => exits = Some(finish),
                        Some(finish) => return finish,
                        None if !open => return Finish::ControlClosed,
                        None => {}
                    }
                }
                () = Process::dead(pidfd) => {
                    if let Some(finish) = exits {
                        return finish;
                    }
                    control.drain(self.buffer);
                    return match self.receive(nonce, stopping.is_some(), true, &mut wants_input, error) {
                        Some(finish @ (Finish::Broken(_) | Finish::Exits { .. })) => finish,
                        _ => Finish::Died,
                    };
                }
                () = sleep_until(wake) => {
                    if let Some(stopping) = stopping {
                        if stopping.remind_at.take().is_none() {
                            return Finish::Overdue;
                        }
                        self.interrupt(nonce, true);
                        continue;
                    }
                    let was_held_back = is_held_back || held_back.is_some_and(|at| at + LAST_WORDS > deadline);
                    if last_words.is_none() && was_held_back {
                        self.room.open();
                        last_words = Some(Instant::now() + LAST_WORDS);
                        continue;
                    }
                    *stopping = Some(self.stop(nonce, Outcome::TimedOut(cell.timeout)));
                }
                () = sleep_until(resume_at.unwrap_or(deadline)), if resume_at.is_some() => {}
                () = sleep(LOOK_FOR_ROOM), if !has_room => {}
                () = channel.changed() => {}
                () = self.queue.changed() => {}
            }
        }
    }

    /// Interrupts the program, as Ctrl-C would.
    fn stop(&mut self, nonce: &str, outcome: Outcome) -> Stopping {
        self.interrupt(nonce, false);
        self.room.open();
        let grace = self.spec.limits.interrupt_grace.min(FOREVER);
        let now = Instant::now();
        Stopping { outcome, remind_at: Some(now + grace / 4 * 3), kill_at: now + grace }
    }

    /// A program that is to stop has begun a message that there is no room for, and would not hear of it in its write: what is
    /// left of the message is read and dropped. Whether there is one.
    fn leave_out(&mut self) -> bool {
        let Some(size) = self.process.control.leave_out() else { return false };
        let notice = format!(
            "[a result of {size} bytes is left out: there is no memory for it, and the run is being stopped]\n"
        );
        self.sink.push(CellEvent::Stderr(notice));
        true
    }

    fn interrupt(&mut self, nonce: &str, again: bool) {
        self.process.control.send(message::interrupt(nonce, self.count, again));
        self.process.interrupt();
    }

    /// Takes messages that have come, as many as in a turn and as there is room for; with the `last` ones all. What was
    /// printed before one of them is handed over before it.
    fn receive(
        &mut self,
        nonce: &str,
        stopping: bool,
        last: bool,
        wants_input: &mut bool,
        error: &mut Option<CellError>,
    ) -> Option<Finish> {
        for taken in 0_usize.. {
            self.room.look(self.sink);
            self.has_more = !last && (taken == MESSAGES_A_TURN || !self.room.takes_messages());
            if self.has_more {
                break;
            }
            let message = match self.process.control.next() {
                Ok(Some(Message::Cell { nonce: theirs, message })) if theirs == nonce => Some(message),
                Ok(Some(Message::Cell { nonce: theirs, .. })) if self.process.knew_nonce(&theirs) => None,
                Ok(Some(_)) => return Some(Finish::Broken(ProtocolError::Stray)),
                Ok(None) => return None,
                Err(error) => return Some(Finish::Broken(error)),
            };
            let cost = self.process.control.last_size() + FRAME_COST;
            self.process.rate.taken(cost);
            self.room.taken(cost);
            let Some(message) = message else { continue };
            self.drain(false);
            match message {
                CellMessage::Result(result) => self.sink.push(CellEvent::Result(result)),
                // That it was interrupted is what was asked for; the outcome says so.
                CellMessage::Error(_) if stopping => {}
                CellMessage::Error(cause) => {
                    error.get_or_insert_with(|| cause.clone());
                    self.sink.push(CellEvent::Error(cause));
                }
                CellMessage::Input { prompt, password } if self.cell.stdin => {
                    *wants_input = true;
                    self.sink.push(CellEvent::InputRequest { prompt, password });
                }
                CellMessage::Input { .. } => return Some(Finish::Broken(ProtocolError::Stray)),
                CellMessage::Done { failed, exits: true, .. } => return Some(Finish::Exits { failed }),
                CellMessage::Done { failed, time, .. } => return Some(Finish::Done { failed, time }),
            }
        }
        None
    }

    /// Hands over what is in the pipes.
    fn drain(&mut self, last: bool) {
        let (sink, room) = (&mut *self.sink, &mut self.room);
        let Process { stdout, stderr, rate, .. } = &mut *self.process;
        stdout.drain(self.buffer, |text| {
            rate.taken(text.len());
            room.taken(text.len());
            sink.push(CellEvent::Stdout(text));
        });
        stderr.drain(self.buffer, |text| {
            rate.taken(text.len());
            room.taken(text.len());
            self.heap_is_full |= text.contains(HEAP_IS_FULL);
            sink.push(CellEvent::Stderr(text));
        });
        if last {
            stdout.finish().into_iter().for_each(|text| sink.push(CellEvent::Stdout(text)));
            stderr.finish().into_iter().for_each(|text| sink.push(CellEvent::Stderr(text)));
        }
    }
}
