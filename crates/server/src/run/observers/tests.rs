//! What those who watch have of a run's file.

use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::budget::{Budget, Charge};
use crate::run::event::{Event, Finish, Stream};
use crate::run::{Feed, InputError, RunOptions, Source, SpoolSpace};
use crate::settings::Limits;

struct NoSource;

impl Source for NoSource {
    fn interrupt(&self) {}

    fn write_input(&self, _: String, _: Option<Charge>) -> Result<(), InputError> {
        Err(InputError::Closed)
    }

    fn end_input(&self) {}

    fn resume(&self) {}
}

const PATIENCE: Duration = Duration::from_secs(60);
const CHUNK: usize = 60_000;
const CHUNKS: usize = 40;
/// What a part of the file takes at least.
const PART: usize = 256 * 1024;

/// A run with all of its output in its file but a little, and its folder.
async fn run_of_file(budget: &Arc<Budget>) -> (Arc<Run>, tempfile::TempDir) {
    run_of_file_in(&Budget::new(1 << 30), budget).await
}

/// The same, of a session whose runs may have so much in memory, and so much of it for observers.
async fn run_of_file_in(memory: &Arc<Budget>, pages: &Arc<Budget>) -> (Arc<Run>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = Limits { run_buffer: 1000, replay_memory: 1000, ..Limits::default() };
    let options = RunOptions { extended: true, resume: true, ..RunOptions::default() };
    let spool = SpoolSpace { folder: folder.path().to_owned(), budget: Budget::new(1 << 30) };
    let mut feed = None;
    let source = |its: Feed| -> Box<dyn Source> {
        feed = Some(its);
        Box::new(NoSource)
    };
    let run = Run::start("a".to_owned(), options, &limits, spool, source, (), ());
    run.count(memory.nothing(), pages.nothing());
    let mut feed = feed.expect("it was given");
    for n in 0..CHUNKS {
        feed.push(Event::Chunk(Stream::Stdout.into(), format!("{n:0CHUNK$}")));
        while feed.excess().is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await; // the file takes it
        }
    }
    feed.push(Event::End(Finish::default()));
    (run, folder)
}

fn watcher(run: &Arc<Run>) -> Arc<ReadyRuns> {
    let who = Arc::new(ReadyRuns::default());
    run.watch(&who, Cursor::default()).expect("it can be watched");
    who
}

/// Comes when it is its turn to look.
async fn called(who: &ReadyRuns) {
    let turn = async {
        while who.is_empty() {
            who.pushed().await;
        }
    };
    timeout(PATIENCE, turn).await.expect("it is called");
    assert!(matches!(who.pop(), Some(Ready::Run(_))), "it has lost nothing");
}

/// Reads until it has a part of the file, which counts.
async fn goes_into_the_file(run: &Arc<Run>, who: &Arc<ReadyRuns>, budget: &Budget) {
    let before = budget.used();
    called(who).await;
    while budget.used() < before + PART {
        run.show(who).expect("it is there");
        called(who).await;
    }
}

/// Reads the rest; how much that was, and how much was held meanwhile at most.
async fn reads_to_the_end(run: &Arc<Run>, who: &Arc<ReadyRuns>, budget: &Budget) -> (usize, usize) {
    let (mut bytes, mut most) = (0, 0);
    loop {
        most = most.max(budget.used());
        if let Some(shown) = run.show(who) {
            bytes += shown.text.len();
            if shown.is_end {
                return (bytes, most);
            }
        }
        called(who).await;
    }
}

#[tokio::test]
async fn what_they_have_of_the_file_counts() {
    let budget = Budget::new(1 << 30);
    let (run, _folder) = run_of_file(&budget).await;
    let (one, other) = (watcher(&run), watcher(&run));
    let before = budget.used();
    goes_into_the_file(&run, &one, &budget).await;
    goes_into_the_file(&run, &other, &budget).await;
    assert!(budget.used() > before + 2 * PART, "{before}, then {}", budget.used());
    run.unwatch(&one);
    let (bytes, most) = reads_to_the_end(&run, &other, &budget).await;
    assert!(bytes > (CHUNKS - 2) * CHUNK, "{bytes}");
    assert!(most < before + 2 * PART, "one part at a time: {before}, then {most}");
    assert!(budget.used() <= before, "{before}, then {}", budget.used());
}

/// Who does not read has its part taken away after a while, and gets it again.
#[tokio::test]
async fn while_memory_is_short_they_have_it_in_turn() {
    let budget = Budget::new(1);
    let (run, _folder) = run_of_file(&budget).await;
    let (stuck, reader) = (watcher(&run), watcher(&run));
    let before = budget.used();
    goes_into_the_file(&run, &stuck, &budget).await; // and no further
    let (bytes, most) = reads_to_the_end(&run, &reader, &budget).await;
    assert!(bytes > CHUNKS * CHUNK, "{bytes}");
    assert!(most < before + 2 * PART, "one part for both: {before}, then {most}");
    assert!(run.show(&stuck).is_none(), "its part was taken away");
    let (bytes, _) = reads_to_the_end(&run, &stuck, &budget).await;
    assert!(bytes > (CHUNKS - 2) * CHUNK, "{bytes}");
}

/// What they were sent and have not read is bounded. Who would have more waits, and goes on when there is room.
#[tokio::test]
async fn what_they_have_not_read_is_bounded() {
    const MOST: usize = 4 * PART;
    let budget = Budget::new(MOST);
    let (run, _folder) = run_of_file(&budget).await;
    let (stuck, reader) = (watcher(&run), watcher(&run));
    let mut unread = Vec::new();
    while !run.observers_need_room() {
        called(&stuck).await;
        unread.extend(run.show(&stuck));
    }
    let held: usize = unread.iter().map(|shown| shown.text.len()).sum();
    assert!(held > CHUNK && budget.used() <= MOST + 2 * CHUNK, "{held} bytes, and {} count", budget.used());
    assert!(unread.len() < CHUNKS, "{}", unread.len());
    drop(unread);
    for who in [&stuck, &reader] {
        let (_, most) = reads_to_the_end(&run, who, &budget).await;
        assert!(most <= MOST + 2 * CHUNK, "{most}");
    }
    assert!(!run.observers_need_room());
}

/// Those who have come back to runs of one session as well.
#[tokio::test]
async fn while_memory_is_short_subscribers_have_the_file_in_turn() {
    let budget = Budget::new(1);
    let pages = Budget::new(1 << 30);
    let [(one, _folder), (other, _other_folder)] =
        [run_of_file_in(&budget, &pages).await, run_of_file_in(&budget, &pages).await];
    let before = budget.used();
    let [stuck, reader] = [&one, &other].map(|run| {
        let who = Arc::new(ReadyRuns::default());
        run.attach(&who, Cursor::default()).expect("it is kept");
        who
    });
    goes_into_the_file(&one, &stuck, &budget).await; // and no further
    let (bytes, most) = reads_to_the_end(&other, &reader, &budget).await;
    assert!(bytes > CHUNKS * CHUNK, "{bytes}");
    assert!(most < before + 2 * PART, "one part for both: {before}, then {most}");
    assert!(one.show(&stuck).is_none(), "its part was another's turn");
    let (bytes, _) = reads_to_the_end(&one, &stuck, &budget).await;
    assert!(bytes > (CHUNKS - 2) * CHUNK, "{bytes}");
}
