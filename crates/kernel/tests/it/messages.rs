//! What a program's own messages do to a run: pace, and nonces of runs that have ended.

use std::time::{Duration, Instant};

use agb_kernel::{Death, Language, Outcome, ProtocolError};

use crate::support::{Subject, kernel, kernel_with};

/// Results are paced as what is printed is. The bound is below the truth: a second's worth comes at once.
#[tokio::test]
async fn results_are_taken_no_faster_than_output() {
    const RATE: u64 = 4 << 20;
    for (language, show, count) in [
        (Language::Python, "for _ in range({count}): display({'text/plain': 'x' * 1_000_000}, raw=True)", 6),
        (Language::Java, "for (int i = 0; i < {count}; i++) display(\"x\".repeat(1_000_000), \"text/html\");", 6),
        // Each message costs something, however small it is.
        (Language::Python, "for _ in range({count}): display(1)", 6000),
    ] {
        let subject = kernel_with(language, |limits| limits.output_rate = RATE);
        subject.run("1").await;
        let began = Instant::now();
        let ran = subject.run(&show.replace("{count}", &count.to_string())).await;
        let took = began.elapsed();
        assert_eq!((&ran.end.outcome, ran.results().len()), (&Outcome::Finished, count), "{show}: {:?}", ran.end);
        // The last one is taken, and nothing is waited for behind it.
        let bytes = (count as u64 - 1) * if count > 100 { 1024 } else { 1_000_000 };
        let least = Duration::from_secs_f64((bytes - RATE) as f64 / RATE as f64);
        assert!(took >= least, "{show}: {bytes} bytes at {RATE} a second in {took:?}, not {least:?}");
    }
}

/// Has the program know the nonce of its run, which nothing tells it.
async fn python_with_nonces() -> Subject {
    let python = kernel(Language::Python);
    let code = "import gc, json, os\ncontrol = next(one for one in gc.get_objects() if type(one).__name__ == 'Control')\n\
                kept, nonces = 1, [control.nonce]\n\
                def tell(nonce, **fields):\n    data = json.dumps(dict(fields, nonce=nonce)).encode()\n    \
                os.write(4, len(data).to_bytes(4, 'big') + data)";
    assert_eq!(python.run(code).await.end.outcome, Outcome::Finished);
    assert_eq!(python.value("len(control.nonce), control.nonce != nonces[0]").await.as_deref(), Some("(32, True)"));
    python
}

#[tokio::test]
async fn messages_of_an_ended_run_are_dropped() {
    let python = python_with_nonces().await;
    let code = "tell(nonces[0], type='done', failed=True, seconds=1e6)\n\
                tell(nonces[0], type='error', name='E', value='v', traceback='t')\n\
                tell(nonces[0], type='result', main=True, data={'text/plain': 'of another'})\n\
                tell(nonces[0], type='input', prompt='? ')\nprint('still here')\nkept + 1";
    let ran = python.run(code).await;
    assert_eq!((&ran.end.outcome, ran.stdout().as_str()), (&Outcome::Finished, "still here\n"), "{ran:#?}");
    assert_eq!((ran.value().as_deref(), ran.results().len(), ran.stderr().as_str()), (Some("2"), 1, ""), "{ran:#?}");
    assert!(ran.end.execution_time < Duration::from_secs(1000));
    // The end of this run itself, which the program has sent: what comes after it belongs to no run.
    let ran = python.run("tell(control.nonce, type='done', failed=False, seconds=0)\nprint('late')").await;
    assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Finished, false), "{ran:#?}");
    for _ in 0..3 {
        let ran = python.run("kept").await;
        assert_eq!((&ran.end.outcome, ran.value().as_deref()), (&Outcome::Finished, Some("1")), "{ran:#?}");
    }
}

#[tokio::test]
async fn a_nonce_of_long_ago_is_a_forgery() {
    let python = python_with_nonces().await;
    for _ in 0..20 {
        python.run("pass").await;
    }
    let ran = python.run("tell(nonces[0], type='done', failed=False, seconds=0)\nimport time; time.sleep(100)").await;
    let expected = Outcome::Killed(Death::Protocol(ProtocolError::Stray));
    assert_eq!((&ran.end.outcome, ran.end.state_lost), (&expected, true), "{ran:#?}");
}
