//! Two servers of one name.

use std::time::Duration;

use agb_testkit::etcd::Etcd;

use crate::support::Node;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_of_a_name_does_not_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    let mut first = Node::start("same", &etcd.url(), folder.path()).await;

    // On the same machine, with the same folder: the lock says so at once.
    let mut second = Node::new("same", &etcd.url(), folder.path());
    second.spawn();
    assert_eq!(second.exit_code(Duration::from_secs(20)).await, Some(1), "{}", second.log());
    assert!(second.log().contains("another server on this machine is named \"same\""), "{}", second.log());

    // Elsewhere: it waits whether the first still lives, which it does.
    let elsewhere = folder.path().join("elsewhere");
    let mut third = Node::new("same", &etcd.url(), &elsewhere);
    third.spawn();
    let (status, text) = loop {
        if let Some(readiness) = third.readiness().await {
            break readiness;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((status.as_u16(), text.as_str()), (503, "joining\n"));
    assert_eq!(third.exit_code(Duration::from_secs(40)).await, Some(1), "{}", third.log());
    assert!(
        third.log().contains("two servers are named \"same\": the other one is at http://127.0.0.1:"),
        "{}",
        third.log()
    );
    assert!(first.ended().is_none(), "{}", first.log());
    assert_eq!(first.readiness().await.expect("an answer").0.as_u16(), 200);
}
