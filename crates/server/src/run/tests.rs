//! A run and what feeds it, without a kernel.

use tokio::sync::oneshot;

use super::event::Stream;
use super::*;
use crate::budget::{Budget, Charge};
use crate::listen::cut::Cut;

/// A source that remembers what it was told.
#[derive(Default)]
struct Told {
    input: Mutex<Vec<String>>,
    calls: Mutex<Vec<&'static str>>,
    /// What its input counts for.
    held: Mutex<Vec<Charge>>,
}

struct FakeSource(Arc<Told>);

impl Source for FakeSource {
    fn interrupt(&self) {
        self.0.calls.lock().unwrap().push("interrupt");
    }

    fn write_input(&self, data: String, held: Option<Charge>) -> Result<(), InputError> {
        if data.len() > 10 {
            return Err(InputError::Full { unread: 10 });
        }
        self.0.input.lock().unwrap().push(data);
        self.0.held.lock().unwrap().extend(held);
        Ok(())
    }

    fn end_input(&self) {
        self.0.calls.lock().unwrap().push("end_input");
    }

    fn resume(&self) {
        self.0.calls.lock().unwrap().push("resume");
    }
}

struct Fixture {
    run: Arc<Run>,
    feed: Feed,
    told: Arc<Told>,
    subscriber: Arc<ReadyRuns>,
    busy: oneshot::Receiver<()>,
    kept: oneshot::Receiver<()>,
}

const LIMIT: usize = 1000;

fn start(options: RunOptions) -> Fixture {
    let told = Arc::new(Told::default());
    let mut feed = None;
    let limits = Limits { run_buffer: LIMIT, ..Limits::default() };
    let ((busy, busy_ended), (kept, kept_ended)) = (oneshot::channel::<()>(), oneshot::channel::<()>());
    let source = |its: Feed| -> Box<dyn Source> {
        feed = Some(its);
        Box::new(FakeSource(Arc::clone(&told)))
    };
    let spool = SpoolSpace { folder: std::env::temp_dir(), budget: Budget::new(1 << 30) };
    let run = Run::start("a".to_owned(), options, &limits, spool, source, busy, kept);
    let subscriber = Arc::new(ReadyRuns::default());
    run.attach(&subscriber, Cursor::default()).expect("it is new");
    Fixture { run, feed: feed.expect("it was given"), told, subscriber, busy: busy_ended, kept: kept_ended }
}

impl Fixture {
    fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.told.calls.lock().unwrap())
    }

    /// What the subscriber is shown until there is no more.
    fn shown(&self) -> Vec<Shown> {
        std::iter::from_fn(|| self.run.show(&self.subscriber)).collect()
    }
}

fn chunk(text: &str) -> Event {
    Event::Chunk(Stream::Stdout.into(), text.to_owned())
}

const EXTENDED: RunOptions =
    RunOptions { extended: true, resume: false, window: None, stdin: true, detached: false, extensions: &[] };

#[tokio::test]
async fn the_source_is_held_back_told_of_room_and_steered() {
    let mut it = start(EXTENDED);
    it.feed.push(Event::Started);
    assert_eq!(it.feed.excess(), None);
    it.feed.push(chunk(&"x".repeat(LIMIT)));
    let excess = it.feed.excess().expect("it is full");
    it.feed.push(chunk("more"));
    assert_eq!((it.feed.excess(), it.calls()), (Some(excess + 4), vec![]));
    let shown = it.shown();
    assert_eq!(shown.len(), 3, "accepted, started, and one chunk of both: {shown:?}");
    assert_eq!((it.calls(), it.feed.excess()), (vec!["resume"], None), "told once");
    it.feed.push(chunk("y"));
    it.shown();
    assert!(it.calls().is_empty(), "nobody waited");

    it.run.take_stdin(Some("in".to_owned()), true, None);
    it.run.take_stdin(Some("too much for it".to_owned()), true, None);
    assert_eq!((it.calls(), it.told.input.lock().unwrap().concat()), (vec!["end_input"], "in".to_owned()));
    let refused = it.shown();
    assert!(refused.len() == 1 && refused[0].text.contains("has not read 10 bytes"), "{refused:?}");
    assert_eq!(it.feed.stop(), None);
    it.run.interrupt();
    it.run.interrupt_with("the session was released");
    assert_eq!((it.calls(), it.feed.stop()), (vec!["interrupt"; 2], Some(Stop::Client)), "the first reason counts");

    it.feed.push(Event::End(Finish::default()));
    it.feed.push(chunk("late"));
    let shown = it.shown();
    assert!(shown.len() == 1 && shown[0].is_end, "{shown:?}");
    assert!(it.busy.await.is_err() && it.kept.await.is_err(), "both are dropped with the end");
}

#[tokio::test]
async fn input_counts_until_it_is_read() {
    let it = start(EXTENDED);
    let budget = Budget::new(1000);
    it.run.count(budget.nothing(), budget.nothing());
    let room = (1000 - budget.used()) / 74;
    for _ in 0..20 {
        it.run.take_stdin(Some("0123456789".to_owned()), false, None);
    }
    assert_eq!((it.told.input.lock().unwrap().len(), it.told.held.lock().unwrap().len()), (room, room));
    let refused = it.shown();
    assert!(refused.iter().any(|shown| shown.text.contains("--session-buffers")), "{refused:?}");
    let with = budget.used();
    it.told.held.lock().unwrap().clear();
    assert_eq!(budget.used(), with - 74 * room);
    it.run.take_stdin(Some("more".to_owned()), false, None);
    assert_eq!(it.told.input.lock().unwrap().len(), room + 1);
}

/// A large event and a run that has it, in a session that may hold so many bytes.
fn with_large_event(most: usize) -> (Fixture, Arc<ReadyRuns>, Cut) {
    let mut it = start(RunOptions { resume: true, ..EXTENDED });
    let budget = Budget::new(most);
    it.run.count(budget.nothing(), budget.nothing());
    it.feed.push(chunk(&"x".repeat(60_000)));
    let cut = Cut::default();
    let first = Arc::new(ReadyRuns::of(cut.clone()));
    it.run.attach(&first, Cursor::default()).expect("it is new");
    (it, first, cut)
}

/// Shows all that there is, of which the large event stays under way.
fn large_event(run: &Arc<Run>, subscriber: &Arc<ReadyRuns>) -> Shown {
    std::iter::from_fn(|| run.show(subscriber)).find(|shown| shown.held.is_some()).expect("it is large")
}

#[tokio::test]
async fn who_has_lost_the_run_keeps_its_large_event_only_while_there_is_room() {
    let goes: [fn(&Fixture, &Arc<ReadyRuns>); 2] = [
        |it, _| it.run.attach(&it.subscriber, Cursor { after: 1, ..Cursor::default() }).expect("it is kept"),
        |it, first| it.run.leave(first),
    ];
    for go in goes {
        for (most, is_cut) in [(10_000, true), (1 << 20, false)] {
            let (it, first, cut) = with_large_event(most);
            let under_way = large_event(&it.run, &first);
            assert!(!cut.is_cut(), "its subscriber has all the time that it is given");
            go(&it, &first);
            assert_eq!(cut.is_cut(), is_cut, "{most} bytes");
            drop(under_way);
        }
        let (it, first, cut) = with_large_event(10_000);
        drop(large_event(&it.run, &first));
        go(&it, &first);
        assert!(!cut.is_cut(), "it has taken it");
    }
}

#[tokio::test(start_paused = true)]
async fn who_watches_again_and_again_finds_the_newest_events_there() {
    let mut it = start(RunOptions { resume: true, ..EXTENDED });
    it.feed.push(chunk("x"));
    it.shown();
    let observer = Arc::new(ReadyRuns::default());
    let has_tail = || it.run.state().log.has_tail();
    for _ in 0..5 {
        it.run.watch(&observer, Cursor::default()).expect("it goes on");
        it.run.unwatch(&observer);
        assert!(has_tail(), "it is not made anew for the next one");
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    it.run.watch(&observer, Cursor::default()).expect("it goes on");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(has_tail(), "somebody watches");
    it.run.unwatch(&observer);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(!has_tail(), "nobody has watched for long");

    it.run.watch(&observer, Cursor::default()).expect("it goes on");
    let budget = Budget::new(1);
    let _others = budget.charge(1).expect("there is room");
    it.run.count(budget.nothing(), budget.nothing());
    it.run.unwatch(&observer);
    assert!(!has_tail(), "memory is short");
}

#[tokio::test]
async fn over_http_only_what_was_shown_there_is_acknowledged() {
    let mut it = start(RunOptions { resume: true, ..EXTENDED });
    it.feed.push(chunk("x"));
    let all = it.shown().len() as u64;
    assert!(all > 0);
    // Whoever says it, it is not his.
    it.run.acknowledge_over_http(u64::MAX);
    let http = Arc::new(ReadyRuns::over_http(Cut::default()));
    it.run.attach(&http, Cursor::default()).expect("nothing is forgotten");
    it.run.show(&http).expect("the first event");
    it.run.acknowledge_over_http(u64::MAX);
    let from = |after| it.run.attach(&it.subscriber, Cursor { after, ..Cursor::default() });
    assert_eq!(from(1), Ok(()));
    assert_eq!(it.shown().len() as u64, all - 1, "the first is forgotten, and nothing else");
    // A subscriber that comes over HTTP from another transport has what it says that it has.
    it.run.attach(&http, Cursor { after: all, ..Cursor::default() }).expect("it is there");
    it.run.acknowledge_over_http(all);
    assert_eq!(from(1), Err(NoReplay::Forgotten { acked: all }));
}

#[tokio::test]
async fn an_end_of_any_length_is_cut_and_counted() {
    let budget = Budget::new(1 << 20);
    let mut it = start(RunOptions { resume: true, ..EXTENDED });
    it.run.count(budget.nothing(), budget.nothing());
    let text = "\u{7f}".repeat(4 << 20);
    let killed_by = Some(agb_protocol::KilledBy { signal: Some(text.clone()), ..Default::default() });
    it.feed.push(Event::Error(event::failure("E", text.clone())));
    it.feed.push(Event::End(Finish { execution_error: Some(text), killed_by, ..Finish::default() }));
    assert!(it.run.memory() < 256 << 10, "{}", it.run.memory());
    let shown = it.shown();
    assert!(shown.last().is_some_and(|last| last.is_end), "{}", shown.len());
    it.run.acknowledge(&it.subscriber, u64::MAX);

    let end = it.run.finish().expect("it has ended");
    let error = end.execution_error.as_deref().expect("an error");
    assert!(error.len() <= 16 << 10 && error.ends_with("bytes more]"), "{}", error.len());
    assert!(it.run.memory() >= end.memory_size(), "{}", it.run.memory());
    assert!(budget.charge((1 << 20) - end.memory_size() + 1).is_err(), "what is kept of it counts");
}

#[tokio::test]
async fn a_feed_that_goes_without_an_end_ends_its_run() {
    let Fixture { run, feed, subscriber, busy, .. } = start(RunOptions::default());
    drop(feed);
    let end = run.show(&subscriber).expect("an end");
    assert!(end.is_end && end.text.contains("vanished"), "{end:?}");
    assert!(busy.await.is_err());
}

#[tokio::test]
async fn a_run_is_busy_until_its_last_output_has_room() {
    let mut it = start(RunOptions::default());
    it.feed.push(chunk(&"x".repeat(2 * LIMIT)));
    it.feed.push(Event::End(Finish::default()));
    for _ in 0..10 {
        tokio::task::yield_now().await; // the run task has had its turn
    }
    assert_eq!(it.busy.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    assert!(it.shown().last().expect("an end").is_end);
    assert!(it.busy.await.is_err());
}

#[tokio::test]
async fn a_source_goes_on_when_its_run_is_abandoned_or_closed() {
    let mut it = start(EXTENDED);
    it.feed.push(chunk(&"x".repeat(LIMIT)));
    assert!(it.feed.excess().is_some());
    it.run.leave(&it.subscriber);
    assert_eq!(it.feed.excess(), None);
    assert_eq!(it.calls(), ["interrupt"]);

    let mut it = start(RunOptions { resume: true, ..EXTENDED });
    while it.feed.excess().is_none() {
        it.feed.push(chunk(&"x".repeat(LIMIT)));
    }
    it.run.leave(&it.subscriber);
    tokio::task::yield_now().await; // the run task has had its turn
    assert_eq!((it.calls(), it.feed.excess()), (vec!["resume"], None), "the replay takes what waits");
}

/// Whoever sends what cannot be taken and reads nothing is told of it later, in a few words.
#[tokio::test]
async fn what_is_refused_is_told_as_far_as_there_is_room() {
    for resume in [false, true] {
        let mut it = start(RunOptions { resume, ..EXTENDED });
        it.shown();
        it.feed.push(chunk(&"x".repeat(LIMIT)));
        for n in 0..10_000 {
            match n % 3 {
                0 => it.run.take_stdin(Some("too much for it".to_owned()), false, None),
                1 => it.run.take_signal("SIGNONSENSE", None),
                _ => it.run.take_size(agb_protocol::command::TerminalSize { cols: 1, rows: 1 }, None),
            }
        }
        assert!(it.run.memory() < 3 * LIMIT, "{}", it.run.memory());
        let shown = it.shown();
        let told: Vec<_> = shown.iter().filter(|shown| shown.text.contains("inputRefused")).collect();
        assert!(told.len() == 1 && told[0].text.contains("; 9999 more that came after it"), "{shown:?}");
        // Where there is room each is told by itself; before the end all are.
        it.run.take_signal("SIGNONSENSE", None);
        it.run.take_signal("SIGNONSENSE", None);
        it.feed.push(chunk(&"x".repeat(LIMIT)));
        it.run.take_signal("SIGNONSENSE", None);
        it.feed.push(Event::End(Finish::default()));
        let shown = it.shown();
        assert_eq!(shown.iter().filter(|shown| shown.text.contains("inputRefused")).count(), 3, "{shown:?}");
        assert!(shown.last().is_some_and(|shown| shown.is_end));
    }
}
