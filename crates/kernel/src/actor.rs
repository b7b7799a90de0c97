//! The task behind a kernel.
//!
//! ```text
//! Kernel::new ── task: run ── one cell at a time: CellRun ── Process ── a sandbox: the interpreter, what it starts
//! ```
//!
//! Everything of a kernel happens in this one task: it takes cells from the queue, starts the process when it needs
//! one, and serves the running cell until its end. It ends when the queue is closed, and with it the process.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use agb_sandbox::SpawnError;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::background::Background;
use crate::cell_run::{CellRun, Verdict};
use crate::channel::CellChannel;
use crate::message::{self, Message};
use crate::pipe::READ_SIZE;
use crate::process::Process;
use crate::queue::{Job, Queue, Task, WarmRequest};
use crate::room::Room;
use crate::{CellEnd, CellEvent, Death, KernelSpec, Language, Outcome, ProtocolError, StartError, harness};

/// How much of a dying interpreter's standard error goes into [`StartError::Died`].
const STDERR_TAIL: usize = 2 << 10;

/// How long to wait before an interpreter that was killed for a limit of its session while it started is started again.
///
/// It has used up nothing itself. What a program had that was killed for its memory is the session's for a moment longer,
/// while somebody looks into it; and what it wrote before it ended is seen at the next look only, as if it still grew. That
/// passes within milliseconds, on a busy machine within a second. Two seconds in all; who has no room by then has none.
const AGAIN: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(150), Duration::from_millis(500), Duration::from_millis(1300)];

pub(crate) async fn run(spec: Arc<KernelSpec>, queue: Arc<Queue>, stop: watch::Sender<bool>) {
    let mut actor = Actor {
        spec: &spec,
        queue: &queue,
        process: None,
        executions: 0,
        last_death: None,
        background: Background::new(spec.limits.background_output),
        buffer: vec![0; READ_SIZE],
    };
    while !queue.is_closed() {
        match queue.pop() {
            Some(Task::Run(job)) => actor.serve(job).await,
            Some(Task::Warm(request)) => actor.warm(request).await,
            None => actor.idle().await,
        }
        queue.has_process.store(actor.process.is_some(), Ordering::Relaxed);
    }
    if let Some(mut process) = actor.process.take() {
        process.end().await;
    }
    queue.has_process.store(false, Ordering::Relaxed);
    stop.send_replace(true);
}

struct Actor<'a> {
    spec: &'a KernelSpec,
    queue: &'a Queue,
    process: Option<Box<Process>>,
    executions: u32,
    /// How the last process died, if it did so between two cells and no run has reported it.
    last_death: Option<Death>,
    /// What was written since the last cell ended.
    background: Background,
    /// What every read goes through.
    buffer: Vec<u8>,
}

impl Actor<'_> {
    /// Waits for a cell, keeps what is written meanwhile, and notices when the process dies.
    async fn idle(&mut self) {
        let Some(process) = &mut self.process else { return self.queue.changed().await };
        let (stdout, stderr, _, pidfd) = process.parts();
        tokio::select! {
            () = self.queue.changed() => {}
            () = self.background.read(stdout, stderr, &mut self.buffer) => {}
            () = Process::dead(pidfd) => self.reap().await,
        }
    }

    /// Ends what an idle process that died has left, and keeps how it died for the next cell.
    async fn reap(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let death = process.end_closed().await;
        self.background.drain(&mut process, &mut self.buffer);
        tracing::warn!(language = %self.spec.language, pid = process.id(), %death, "an idle kernel died");
        // A process that never ran a cell held no state.
        self.last_death = Some(death).filter(|_| self.executions > 0);
    }

    async fn serve(&mut self, mut job: Job) {
        if self.process.as_ref().is_some_and(|process| process.is_dying()) {
            self.reap().await;
        }
        if self.process.is_none() {
            match self.start(Some(&job.channel)).await {
                Started::Ready(process) => self.process = Some(process),
                Started::Failed(error) => {
                    tracing::warn!(%error, "a kernel did not start");
                    return job.end(CellEnd::never(Outcome::NotStarted(error)));
                }
                Started::Unwanted => return job.end(CellEnd::never(Outcome::Cancelled)),
            }
        }
        let process = self.process.as_mut().expect("it was started above");
        self.executions += 1;
        if let Some(death) = self.last_death.take() {
            job.sink.push(CellEvent::Stderr(format!("The interpreter died between two runs: {death}.\n")));
        }
        // It is not for the cells behind this one, which may find room.
        let only_removes = process.only_removes();
        if let Some(limit) = only_removes {
            let notice = format!("{} The interpreter ends with this run.\n", limit.notice());
            job.sink.push(CellEvent::Stderr(notice));
        }
        // What was written up to here belongs to no cell; what comes from now on is this one's.
        self.background.drain(process, &mut self.buffer);
        let run = CellRun {
            process,
            cell: &job.cell,
            channel: &job.channel,
            sink: job.sink.as_mut(),
            queue: self.queue,
            spec: self.spec,
            count: self.executions,
            background: &mut self.background,
            buffer: &mut self.buffer,
            heap_is_full: false,
            room: Room::default(),
            has_more: false,
        };
        let Verdict { outcome, time, state_lost } = run.run().await;
        let state_lost = state_lost || only_removes.is_some();
        if state_lost {
            self.process = None;
        }
        tracing::debug!(language = %self.spec.language, count = self.executions, ?time, state_lost, "a cell ended");
        job.end(CellEnd { outcome, execution_count: self.executions, execution_time: time, state_lost });
    }

    /// Starts a process if there is none, and answers the request.
    async fn warm(&mut self, request: WarmRequest) {
        let result = match self.process {
            Some(_) => Ok(()),
            None => match self.start(None).await {
                Started::Ready(process) => {
                    self.process = Some(process);
                    Ok(())
                }
                Started::Failed(error) => Err(error),
                Started::Unwanted => Err(StartError::ShutDown),
            },
        };
        self.queue.has_process.store(self.process.is_some(), Ordering::Relaxed);
        // A caller that waits no more has the process all the same.
        let _ = request.send(result);
    }

    /// Starts a process and waits until it is ready, or until it is not wanted any more. Without a cell it is to be warm
    /// as well. One that a limit of the session has ended is tried [again](AGAIN): no program has begun in it.
    async fn start(&mut self, channel: Option<&CellChannel>) -> Started {
        for pause in AGAIN {
            match self.start_once(channel).await {
                Started::Failed(error) if is_passing(&error) => {
                    tracing::info!(language = %self.spec.language, %error, ?pause, "a kernel is started again");
                }
                started => return started,
            }
            let until = Instant::now() + pause;
            while Instant::now() < until && !self.is_unwanted(channel) {
                tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = changed(channel) => {}
                    () = self.queue.changed() => {}
                }
            }
            if self.is_unwanted(channel) {
                return Started::Unwanted;
            }
        }
        self.start_once(channel).await
    }

    fn is_unwanted(&self, channel: Option<&CellChannel>) -> bool {
        self.queue.is_closed() || channel.is_some_and(CellChannel::interrupted)
    }

    async fn start_once(&mut self, channel: Option<&CellChannel>) -> Started {
        let began = Instant::now();
        let mut process = match Process::start(self.spec).await {
            Ok(process) => process,
            Err(error) => return Started::Failed(error),
        };
        let language = self.spec.language;
        let limit = self.spec.limits.start_timeout;
        let mut stderr_tail = String::new();
        let mut is_cold = channel.is_none() && warms(language);
        let death = loop {
            if self.is_unwanted(channel) {
                process.end().await;
                return Started::Unwanted;
            }
            let (stdout, stderr, control, pidfd) = process.parts();
            tokio::select! {
                () = control.ready(true) => {
                    let open = control.step(true, &mut self.buffer);
                    match control.next() {
                        Ok(Some(Message::Ready)) if is_cold => {
                            control.send(message::warm());
                            is_cold = false;
                        }
                        Ok(Some(Message::Ready)) => {
                            let ready = began.elapsed();
                            tracing::info!(%language, pid = process.id(), ?ready, "a kernel started");
                            return Started::Ready(Box::new(process));
                        }
                        Ok(None) if open => {}
                        Ok(None) => break process.end_closed().await,
                        Ok(Some(_)) => { process.end().await; break Death::Protocol(ProtocolError::Stray) }
                        Err(error) => { process.end().await; break Death::Protocol(error) }
                    }
                }
                () = stdout.ready(), if stdout.is_open() => stderr_tail.extend(stdout.read(&mut self.buffer)),
                () = stderr.ready(), if stderr.is_open() => stderr_tail.extend(stderr.read(&mut self.buffer)),
                () = Process::dead(pidfd) => break process.end().await,
                () = changed(channel) => {}
                () = self.queue.changed() => {}
                () = tokio::time::sleep_until(began + limit) => {
                    process.end().await;
                    return Started::Failed(StartError::TimedOut { language, limit });
                }
            }
            stderr_tail = tail(stderr_tail, STDERR_TAIL);
        };
        if let Some(limit) = process.only_removes() {
            return Started::Failed(harness::failed(self.spec, &SpawnError::Full(limit)));
        }
        process.stderr.drain(&mut self.buffer, |text| stderr_tail.push_str(&text));
        Started::Failed(StartError::Died { language, death, stderr: tail(stderr_tail, STDERR_TAIL) })
    }
}

/// Whether a limit of its session, or the system for it, has ended an interpreter that had used up nothing yet.
fn is_passing(error: &StartError) -> bool {
    matches!(error, StartError::Died { death: Death::Limit(_), .. } | StartError::Killed { .. })
}

/// Whether an interpreter of the language that reports `ready` has more to do that a first cell would wait for: the
/// others have done it before.
fn warms(language: Language) -> bool {
    language != Language::Python
}

async fn changed(channel: Option<&CellChannel>) {
    match channel {
        Some(channel) => channel.changed().await,
        None => std::future::pending().await,
    }
}

enum Started {
    Ready(Box<Process>),
    Failed(StartError),
    Unwanted,
}

fn tail(text: String, size: usize) -> String {
    if text.len() <= size {
        return text;
    }
    let start = (text.len() - size..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
    text[start..].to_owned()
}
