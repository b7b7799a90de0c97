//! How long a run took: by a clock that nobody sets, and of a run that was stopped as well.

use std::time::{Duration, Instant};

use agb_kernel::{Language, Outcome};

use crate::support::{finish, kernel, until};

/// How long the programs here sleep at least, and what the slowest clock may say of it: R's goes in steps of 10 ms.
const SLEEP: Duration = Duration::from_millis(300);
const LEAST: Duration = Duration::from_millis(250);

#[tokio::test]
async fn a_run_that_was_stopped_took_its_time() {
    for (language, code) in [
        (Language::Python, "import time\ntime.sleep(0.3)\nprint('on')\nwhile True: pass"),
        (Language::JavaScript, "await new Promise((done) => setTimeout(done, 300)); console.log('on'); for (;;) ;"),
        (Language::R, "Sys.sleep(0.3); cat('on\\n'); repeat NULL"),
        (Language::Java, "Thread.sleep(300); System.out.println(\"on\"); while (true) ;"),
    ] {
        let subject = kernel(language);
        let began = Instant::now();
        let mut run = subject.start(code);
        until(&mut run, "on\n").await;
        run.control().interrupt();
        let ran = finish(run).await;
        let (wall, time) = (began.elapsed(), ran.end.execution_time);
        assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Cancelled, false), "{language:?}: {ran:#?}");
        assert!(time >= LEAST && time <= wall, "{language:?}: {time:?} of {wall:?}");
        let ran = subject.run_for(code, SLEEP * 2).await;
        assert!(matches!(ran.end.outcome, Outcome::TimedOut(_)), "{language:?}: {ran:#?}");
        assert!(ran.end.execution_time > Duration::ZERO, "{language:?}: {ran:#?}");
    }
}

/// As when the machine's clock is set in the middle of a run. R has no other clock, and a program can put functions in the
/// place of R's own.
#[tokio::test]
async fn a_clock_that_is_set_changes_no_run_of_r() {
    let r = kernel(Language::R);
    for clock in ["real() - 18000", "real() + 18000", "real()", "stop('no clock')", "NA", "NULL"] {
        let code = format!(
            "local({{ real <- Sys.time; unlockBinding('Sys.time', baseenv()); \
             assign('Sys.time', function() {clock}, baseenv()) }}); Sys.sleep(0.3)"
        );
        let began = Instant::now();
        let ran = r.run(&code).await;
        let (wall, time) = (began.elapsed(), ran.end.execution_time);
        assert_eq!(ran.end.outcome, Outcome::Finished, "{clock}: {ran:#?}");
        assert!(time >= LEAST && time <= wall, "{clock}: {time:?} of {wall:?}");
    }
}
