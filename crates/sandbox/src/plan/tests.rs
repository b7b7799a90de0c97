use super::*;
use crate::Command;
use crate::error::Stage;
use crate::reports::Abilities;

#[test]
fn a_plan_survives_the_way_to_the_launcher() {
    let mut policy = Policy::new(Level::Namespaces, "/", 7);
    policy.readonly = vec!["/usr".into()];
    policy.links = vec![Link { at: "/run/bin/python".into(), target: "/usr/bin/python3".into() }];
    policy.mounts = vec![Mount { dir: "/usr/share".into(), at: "/data/x".into() }];
    policy.tmp = Some("/".into());
    policy.network = Network::Proxy;
    policy.limits.memory = 5;
    let mut plan =
        Plan::new(&policy, &Command::new("/bin/sh").args(["-c", "ü"]).in_dir("a"), Kind::Trial).expect("it is valid");
    plan.groups = vec!["/sys".into()];
    let bytes = plan.encode().expect("it is small");
    assert_eq!(Plan::decode(&bytes), Some(plan));
    for end in 0..bytes.len() {
        assert_eq!(Plan::decode(&bytes[..end]), None, "cut at {end}");
    }
}

#[test]
fn messages_survive_the_way_to_the_server() {
    for message in [
        Message::Created,
        Message::Starting,
        Message::Running(Abilities { has_proc: true, changes_files: false }),
        Message::Failed { stage: Stage::Mount, errno: 13, detail: "/usr".into() },
        Message::Signalled,
        Message::Network,
        Message::Processes,
        Message::Ended { status: 9 },
    ] {
        assert_eq!(Message::decode(&message.encode()), Some(message));
    }
    let long = Message::Failed { stage: Stage::Trial, errno: 1, detail: "ü".repeat(MAX_MESSAGE) };
    assert!(long.encode().len() <= MAX_MESSAGE);
}

#[test]
fn impossible_policies_are_refused_in_words() {
    let fail = |change: fn(&mut Policy)| {
        let mut policy = Policy::new(Level::Namespaces, "/", 0);
        change(&mut policy);
        match Plan::new(&policy, &Command::new("/bin/true"), Kind::Program) {
            Err(SpawnError::Invalid(reason)) => reason,
            other => panic!("{other:?}"),
        }
    };
    assert!(fail(|policy| policy.slot = crate::policy::SLOTS).contains("slot"));
    assert!(fail(|policy| policy.workdir = "nowhere".into()).contains("not absolute"));
    assert!(fail(|policy| policy.workdir = "/nowhere".into()).contains("cannot be used"));
    assert!(fail(|policy| policy.workdir = "/etc/passwd".into()).contains("not a directory"));
    assert!(fail(|policy| policy.mount_at = "/usr/lib".into()).contains("a place of the system's"));
    assert!(fail(|policy| policy.mount_at = "/a/../usr".into()).contains("without `..`"));
    assert!(fail(|policy| policy.env = vec![("A=B".into(), String::new())]).contains("environment"));
    assert!(fail(|policy| policy.env = vec![("A".into(), "\0".into())]).contains("zero byte"));
}
