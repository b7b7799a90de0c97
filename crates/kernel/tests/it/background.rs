//! What is written after the end of a cell: kept for the next one, never mixed into it.

use agb_kernel::{CellEvent, Language, Outcome, Stream};

use crate::support::{Ran, Subject, eventually, finish, kernel, kernel_with, until};

/// Lets what waits for the file `go` write, and waits until it has written and said so by the file `done`.
async fn let_it_write(subject: &Subject) {
    let at = |name: &str| subject.workdir.path().join(name);
    std::fs::write(at("go"), "").unwrap();
    eventually("what runs in the background has written", || at("done").exists()).await;
}

fn background(ran: &Ran) -> Vec<(Stream, String)> {
    let texts = ran.events.iter().filter_map(|(_, event)| match event {
        CellEvent::Background { stream, text } => Some((*stream, text.clone())),
        _ => None,
    });
    texts.collect()
}

#[tokio::test]
async fn late_output_comes_with_the_next_cell_and_apart() {
    let waits = "until [ -e go ]; do sleep 0.01; done; echo late; echo oops >&2; touch done";
    for (language, starts, own) in [
        (
            Language::Python,
            "import os, sys, threading, time\n\
             def late():\n    while not os.path.exists('go'): time.sleep(0.01)\n    \
             print('late')\n    print('oops', file=sys.stderr)\n    open('done', 'w')\n\
             threading.Thread(target=late).start()"
                .to_owned(),
            "print('own')",
        ),
        (
            Language::Python,
            format!("import subprocess\nchild = subprocess.Popen(['sh', '-c', {waits:?}])"),
            "print('own')",
        ),
        (
            Language::JavaScript,
            format!(
                "require('child_process').spawn('sh', ['-c', {waits:?}], {{ stdio: 'inherit' }}).unref(); undefined"
            ),
            "console.log('own')",
        ),
    ] {
        let subject = kernel(language);
        let first = subject.run(&starts).await;
        assert_eq!(first.end.outcome, Outcome::Finished, "{first:#?}");
        let_it_write(&subject).await;
        let second = subject.run(own).await;
        assert!(matches!(second.events[0].1, CellEvent::Started), "{second:#?}");
        let late = background(&second);
        assert!(late.contains(&(Stream::Stdout, "late\n".to_owned())), "{second:#?}");
        assert!(late.contains(&(Stream::Stderr, "oops\n".to_owned())), "{second:#?}");
        assert_eq!((second.stdout().as_str(), second.stderr().as_str()), ("own\n", ""), "{second:#?}");
        assert!(background(&subject.run(own).await).is_empty(), "it comes once");
    }
}

#[tokio::test]
async fn output_during_a_cell_is_that_cells() {
    let python = kernel(Language::Python);
    python
        .run(
            "import os, threading, time\n\
             def late():\n    while not os.path.exists('go'): time.sleep(0.01)\n    print('from a thread')\n    open('done', 'w')\n\
             threading.Thread(target=late).start()",
        )
        .await;
    let mut run = python.start("print('own')\nwhile not os.path.exists('done'): time.sleep(0.01)");
    until(&mut run, "own").await;
    std::fs::write(python.workdir.path().join("go"), "").unwrap();
    let ran = finish(run).await;
    assert_eq!((ran.stdout().as_str(), background(&ran)), ("from a thread\n", Vec::new()));
}

/// A flood between two cells neither blocks nor costs memory: the newest of it is kept.
#[tokio::test]
async fn a_flood_between_cells_is_bounded() {
    let python = kernel_with(Language::Python, |limits| limits.background_output = 20_000);
    let script = "until [ -e go ]; do sleep 0.01; done; seq -w 1 100000; touch done";
    python.run(&format!("import subprocess\nchild = subprocess.Popen(['sh', '-c', {script:?}])")).await;
    let_it_write(&python).await;
    let ran = python.run("print('own')").await;
    let kept: String = background(&ran).into_iter().map(|(_, text)| text).collect();
    assert!(kept.len() <= 21_000 && kept.len() > 10_000, "{} bytes", kept.len());
    assert!(kept.starts_with('[') && kept.contains("left out") && kept.ends_with("100000\n"), "{kept:.200}");
    assert_eq!(ran.stdout(), "own\n");
}

#[tokio::test]
async fn the_last_words_of_a_kernel_that_died_between_cells_are_kept() {
    let python = kernel(Language::Python);
    python
        .run(
            "import os, threading, time\n\
             def late():\n    while not os.path.exists('go'): time.sleep(0.01)\n    print('last words')\n    open('done', 'w')\n    os._exit(3)\n\
             threading.Thread(target=late).start()",
        )
        .await;
    let_it_write(&python).await;
    eventually("the process is gone", || crate::support::processes_in(python.workdir.path()).is_empty()).await;
    eventually("the kernel has noticed", || !python.kernel.is_warm()).await;
    let ran = python.run("print('again')").await;
    assert_eq!(background(&ran), [(Stream::Stdout, "last words\n".to_owned())], "{ran:#?}");
    assert!(ran.stderr().contains("died between two runs"), "{ran:#?}");
    assert_eq!(ran.stdout(), "again\n");
}
