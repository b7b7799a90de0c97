use serde_json::{Value, json};

use super::*;
use crate::error::TransportError;
use crate::operations::fixtures::line;
use crate::operations::played::{Played, data};
use crate::procedure::Reply;

const SECOND: Duration = Duration::from_secs(1);

fn filter() -> TaskFilter {
    TaskFilter { context_id: Some("c".into()), path: Some("/p".into()), kind: None }
}

fn task(kind: &str, status: &str, error: &str) -> Value {
    json!({"contextId": "c", "path": "/p", "taskType": kind, "status": status, "errorMessage": error})
}

fn tasks(tasks: &[Value]) -> Reply {
    data(json!({"contextStatus": [{"type": "data", "data": tasks}]}))
}

fn synced(retries: u64) -> Played<SyncContext> {
    let mut played = Played::new(SyncContext::new("s", filter(), Some(SyncMode::Upload), retries, SECOND));
    let expected = "POST https://h/sdk/SyncContext?sessionId=s&contextId=c&path=%2Fp&mode=upload";
    assert_eq!(line(&played.call()), expected);
    played.answer(data(Value::Null));
    assert_eq!(line(&played.call()), "GET https://h/sdk/GetContextInfo?sessionId=s&contextId=c&path=%2Fp");
    played
}

#[test]
fn waits_ever_longer_until_what_carries_files_is_over() {
    let mut played = synced(150);
    for expected in [50, 100, 200, 400, 800, 1000, 1000] {
        played.answer(tasks(&[task("upload", "InProgress", ""), task("other", "InProgress", "")]));
        assert_eq!(played.wait(), expected);
        played.call();
    }
    assert_eq!(played.end(tasks(&[task("upload", "Success", ""), task("other", "InProgress", "")])), Ok(()));
    assert_eq!(synced(150).end(tasks(&[])), Ok(()));
}

#[test]
fn a_task_that_failed_says_why() {
    let error = synced(150).end(tasks(&[task("upload", "Failed", "disk full")])).unwrap_err();
    assert_eq!((error.code(), error.to_string().contains("disk full")), ("SYNC_FAILED", true));
    let error = synced(150).end(tasks(&[task("download", "Failed", "")])).unwrap_err();
    assert!(error.to_string().contains("the download of /p failed"));
}

#[test]
fn time_that_is_used_up_is_a_failure_and_so_is_an_answer_that_never_comes() {
    let mut played = synced(1);
    let mut waited = 0;
    while waited < 1000 {
        played.answer(tasks(&[task("upload", "InProgress", "")]));
        waited += played.wait();
        played.call();
    }
    assert_eq!(played.end(tasks(&[task("upload", "InProgress", "")])).unwrap_err().code(), "TIMED_OUT");

    let mut played = synced(0);
    played.fail(TransportError::Interrupted { reason: "cut".into() }.into());
    assert_eq!(played.result().unwrap_err().code(), "INTERRUPTED");
    let mut played = synced(150);
    played.fail(ApiError::NotFound(Refusal::default()));
    assert_eq!(played.result().unwrap_err().code(), "NOT_FOUND");
}

#[test]
fn a_cut_on_the_way_is_waited_out() {
    let mut played = synced(150);
    played.fail(TransportError::Interrupted { reason: "cut".into() }.into());
    played.wait();
    played.call();
    assert_eq!(played.end(tasks(&[task("upload", "Success", "")])), Ok(()));
}

#[test]
fn mounts_have_settled_when_each_is_over_and_tell_which_failed() {
    let mut played = Played::new(Settle::new("s", TaskFilter::default(), 150, 2 * SECOND));
    played.call();
    played.answer(tasks(&[task("download", "Failed", "x"), task("download", "Preparing", "")]));
    played.wait();
    played.call();
    let settled = played.end(tasks(&[task("download", "Failed", "x"), task("download", "Success", "")])).unwrap();
    assert_eq!(settled.iter().filter(|task| task.has_failed()).count(), 1);
}

#[test]
fn one_task_is_done_in_many_words() {
    let await_one = || {
        let filter = TaskFilter { kind: Some("download".into()), ..filter() };
        let mut played = Played::new(await_task("s", filter, 20, SECOND));
        played.call();
        played
    };
    for word in ["Success", "FINISHED", "ok", "completed"] {
        assert_eq!(await_one().end(tasks(&[task("download", word, "")])), Ok(()));
    }
    let mut played = await_one();
    played.answer(tasks(&[task("upload", "Success", ""), task("download", "Running", "")]));
    assert_eq!(played.wait(), 50);
    let error = await_one().end(tasks(&[task("download", "Running", "no such file")])).unwrap_err();
    assert!(error.to_string().contains("no such file"));
}
