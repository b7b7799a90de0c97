//! Principle 3: nothing that a program leaves behind - threads, timers, finalizers, handlers, settings - ends the interpreter
//! or spoils a later run. `python_properties.rs` and `javascript/ends.rs` have the other two languages. The programs are made
//! by chance: `AGB_TEST_SEED` repeats them.

use agb_kernel::{Language, Outcome};

use crate::principles::{is_in_order, keep};
use crate::random::Random;
use crate::support::Subject;

/// How many programs of each language, in one interpreter.
const PROGRAMS: usize = 12;

/// What is done late.
const R_DEEDS: [&str; 12] = [
    "stop('late')",
    "stop(structure(class = c('c', 'error', 'condition'), list(message = NULL)))",
    "q(status = 3)",
    "cat('late\\n')",
    "print(1)",
    "warning('late')",
    "message('late')",
    "invokeRestart('abort')",
    "readline('late? ')",
    "closeAllConnections()",
    "options(warn = 2)",
    "signalCondition(structure(class = c('c', 'condition'), list(message = 'x', call = NULL)))",
];

/// What is left behind, with `DEED` for what it does.
const R_LEFT: [&str; 14] = [
    "reg.finalizer(new.env(), function(e) { DEED })",
    "local({ e <- new.env(); reg.finalizer(e, function(e) { DEED }, onexit = TRUE); NULL })",
    "invisible(addTaskCallback(function(...) { DEED; TRUE }))",
    "options(error = quote({ DEED }))",
    "options(warning.expression = quote({ DEED }))",
    ".Last <- function() { DEED }",
    "makeActiveBinding('looked', function() { DEED }, globalenv())",
    "child <- parallel::mcparallel({ Sys.sleep(0.01); DEED })",
    "setTimeLimit(elapsed = 0.03)",
    "setSessionTimeLimit(elapsed = 0.03)",
    "options(OutDec = ',', digits = 3, encoding = 'latin1')",
    "globalCallingHandlers(condition = function(c) NULL)",
    "options(expressions = 40)",
    "dir.create('gone'); setwd('gone'); unlink('../gone', recursive = TRUE)",
];

const R_UNDONE: &str = "gc(); while (removeTaskCallback(1)) NULL
options(error = NULL, warning.expression = NULL, warn = 0, expressions = 5000, OutDec = '.', encoding = 'native.enc')
try(globalCallingHandlers(NULL), silent = TRUE)
try(parallel::mccollect(), silent = TRUE)
rm(list = setdiff(ls(all.names = TRUE), c('kept', 'place')))
setwd(place)
invisible(0)";

const JAVA_DEEDS: [&str; 9] = [
    "System.out.println(\"late\");",
    "display(\"late\");",
    "if (on.get()) throw new IllegalStateException(\"late\");",
    "if (on.get()) throw new Error();",
    "new Scanner(System.in).hasNextLine();",
    "System.setOut(null);",
    "System.setIn(null);",
    "new Exception(\"late\").printStackTrace();",
    "System.out.close();",
];

/// What is left behind until `on` is false, and how its end is awaited.
const JAVA_LEFT: [(&str, &str); 7] = [
    (
        "var t = new Thread(() -> { while (on.get()) { try { DEED } catch (Throwable late) { } try { Thread.sleep(1); } catch (InterruptedException e) { } } }); t.start();",
        "t.join();",
    ),
    ("var t = new Thread(() -> { DEED }); t.setDaemon(true); t.start();", "t.join();"),
    (
        "var timer = new java.util.Timer(\"late\"); timer.schedule(new java.util.TimerTask() { public void run() { if (on.get()) { DEED } } }, 2, 2);",
        "timer.cancel();\nfor (Thread t : Thread.getAllStackTraces().keySet()) if (t.getName().equals(\"late\")) t.join();",
    ),
    (
        "var pool = Executors.newScheduledThreadPool(2); pool.scheduleAtFixedRate(() -> { DEED }, 1, 1, TimeUnit.MILLISECONDS);",
        "pool.shutdownNow(); pool.awaitTermination(1, TimeUnit.MINUTES);",
    ),
    ("var later = CompletableFuture.runAsync(() -> { DEED });", "try { later.join(); } catch (Exception e) { }"),
    ("Thread.currentThread().setUncaughtExceptionHandler((t, e) -> { DEED });", ""),
    (
        "Thread.setDefaultUncaughtExceptionHandler((t, e) -> { throw new Error(e); });",
        "Thread.setDefaultUncaughtExceptionHandler(null);",
    ),
];

/// What a program can change of the interpreter, with nothing to be undone.
const JAVA_CHANGES: [&str; 8] = [
    "",
    "Locale.setDefault(new Locale(\"ar\", \"EG\"));",
    "TimeZone.setDefault(TimeZone.getTimeZone(\"GMT+5\"));",
    "Thread.currentThread().interrupt();",
    "Thread.currentThread().setContextClassLoader(null);",
    "Thread.currentThread().setName(\"\");",
    "java.util.logging.LogManager.getLogManager().reset();",
    "System.setProperty(\"line.separator\", \"!\");",
];

/// What is left behind may print meanwhile; runs begin and end, and find their variables.
async fn goes_on(subject: &Subject, run: &str, value: &str, after: &str) {
    for _ in 0..3 {
        let ran = subject.run(run).await;
        assert!(!ran.end.state_lost, "after {after}: {ran:#?}");
        assert!(ran.stdout().contains(value) || ran.value().as_deref() == Some(value), "after {after}: {ran:#?}");
    }
}

#[tokio::test]
async fn nothing_that_r_leaves_behind_spoils_a_later_run() {
    let mut random = Random::new();
    let r = keep(Language::R).await;
    r.run("place <- getwd()").await;
    for _ in 0..PROGRAMS {
        let mut code = String::new();
        for _ in 0..=random.below(3) {
            code += &random.pick(&R_LEFT).replace("DEED", random.pick(&R_DEEDS));
            code.push('\n');
        }
        println!("{code}---");
        let ran = r.run(&code).await;
        assert!(!ran.end.state_lost, "{code}: {ran:#?}");
        // A collection runs the finalizers of objects that are gone, wherever the interpreter is.
        let ran = r.run("invisible(gc())").await;
        assert!(!ran.end.state_lost, "{code}: {ran:#?}");
        goes_on(&r, "kept + 1", "[1] 42", &code).await;
        for _ in 0..2 {
            let ran = r.run(R_UNDONE).await; // a program's own time limit may end the first
            assert!(!ran.end.state_lost, "{code}: {ran:#?}");
        }
        is_in_order(&r, Language::R, &code).await;
    }
}

#[tokio::test]
async fn nothing_that_java_leaves_behind_spoils_a_later_run() {
    let mut random = Random::new();
    let java = keep(Language::Java).await;
    java.run("import java.util.concurrent.*;\nvar on = new java.util.concurrent.atomic.AtomicBoolean();").await;
    for _ in 0..PROGRAMS {
        let (left, awaited) = JAVA_LEFT[random.below(JAVA_LEFT.len())];
        let left = left.replace("DEED", random.pick(&JAVA_DEEDS));
        let code = format!("on.set(true);\n{}\n{left}", random.pick(&JAVA_CHANGES));
        println!("{code}\n---");
        let ran = java.run(&code).await;
        assert_eq!(ran.end.outcome, Outcome::Finished, "{code}: {ran:#?}");
        goes_on(&java, "kept + 1", "42", &code).await;
        let ran = java.run(&format!("on.set(false);\n{awaited}")).await;
        assert_eq!(ran.end.outcome, Outcome::Finished, "{code}: {ran:#?}");
        is_in_order(&java, Language::Java, &code).await;
    }
}
