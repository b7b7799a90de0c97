//! Principle 1, of R: programs that replace functions of R's own packages, where all others find them.

use std::time::{Duration, Instant};

use agb_kernel::{Language, Outcome};

use crate::random::Random;
use crate::support::{PATIENCE, Subject, kernel};

/// What the checks themselves call, and what R itself calls at every error.
const SPARED: [&str; 8] = [".Internal", "quote", "function", "list", "+", "-", "stop", ".handleSimpleError"];

/// By what they are replaced.
const REPLACEMENTS: [&str; 8] = [
    "function(...) stop('hidden')",
    "function(...) 'nonsense'",
    "function(...) NULL",
    "function(x, ...) x",
    "function(...) cat('noise')",
    "function(...) quit(status = 9)",
    "function(...) invokeRestart('abort')",
    "5",
];

/// A session whose harness is compiled. The first ones on a machine start while it is being compiled: R compiles theirs
/// as it runs, by functions that the program may have replaced.
async fn compiled() -> Subject {
    let begin = Instant::now();
    loop {
        let r = kernel(Language::R);
        let kind = r.value("typeof(.Internal(bodyCode(getHook('plot.new')[[1]])))").await;
        if kind.as_deref() == Some("[1] \"bytecode\"") {
            return r;
        }
        assert!(begin.elapsed() < PATIENCE, "the harness is never compiled: {kind:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A session with something to show.
async fn keep() -> Subject {
    let r = compiled().await;
    let ran = r
        .run("kept <- 41\ntable <- data.frame(n = c(1.5, NA), f = factor(c('u', 'v')), d = as.Date('2024-01-02'))")
        .await;
    assert_eq!(ran.end.outcome, Outcome::Finished, "{ran:#?}");
    r
}

/// Output of both streams, values, an error: by nothing but R's internal functions.
async fn is_in_order(r: &Subject, after: &str) {
    const OUTPUT: &str = ".Internal(cat(list('out'), 1L, ' ', FALSE, NULL, FALSE))\n\
                          .Internal(cat(list('err'), 2L, ' ', FALSE, NULL, FALSE))\nkept + 1";
    let ran = r.run(OUTPUT).await;
    assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Finished, false), "after {after}: {ran:#?}");
    assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("out", "err"), "after {after}: {ran:#?}");
    assert_eq!(ran.value().as_deref(), Some("[1] 42"), "after {after}: {ran:#?}");
    let ran = r.run("kept + 'a'").await;
    assert_eq!(ran.error().value, "non-numeric argument to binary operator", "after {after}: {ran:#?}");
    let ran = r.run("table").await;
    let shown = "    n f          d\n1 1.5 u 2024-01-02\n2  NA v 2024-01-02";
    assert_eq!(ran.value().as_deref(), Some(shown), "after {after}: {ran:#?}");
    let html = ran.results()[0].data["text/html"].as_str().unwrap_or_default().to_owned();
    assert!(html.contains("<tr><th>2</th><td>NA</td><td>v</td><td>2024-01-02</td></tr>"), "after {after}: {html}");
}

/// As `assignInNamespace` does, by what cannot be replaced.
fn replacing(package: &str, name: &str, by: &str) -> String {
    let place = match package {
        "base" => ".BaseNamespaceEnv".to_owned(),
        _ => format!(".Internal(getRegisteredNamespace('{package}'))"),
    };
    format!(".Internal(unlockBinding(quote(`{name}`), {place}))\n.Internal(assign('{name}', {by}, {place}, FALSE))")
}

#[tokio::test]
async fn functions_of_rs_packages_may_be_replaced() {
    let all = kernel(Language::R)
        .output(
            "for (package in c('base', 'base', 'methods', 'utils', 'stats', 'grDevices', 'graphics', 'compiler')) {\n\
               place <- asNamespace(package)\n\
               for (name in ls(place, all.names = TRUE)) if (is.function(get(name, place))) cat(package, ' ', name, '\\n', sep = '')\n\
             }",
        )
        .await;
    let all: Vec<(&str, &str)> = all.lines().filter_map(|line| line.split_once(' ')).collect();
    assert!(all.len() > 3000, "{}", all.len());
    let all: Vec<_> =
        all.into_iter().filter(|(_, name)| !SPARED.contains(name) && !name.contains(['`', '\\', '\''])).collect();
    let mut dice = Random::new();
    for _ in 0..3 {
        let r = keep().await;
        let mut done = String::new();
        for _ in 0..15 {
            let codes: Vec<String> = (0..=dice.below(3))
                .map(|_| {
                    let (package, name) = all[dice.below(all.len())];
                    replacing(package, name, dice.pick(&REPLACEMENTS))
                })
                .collect();
            let code = codes.join("\n");
            let ran = r.run(&code).await;
            done = format!("{done}{code}\n");
            assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Finished, false), "{done}: {ran:#?}");
            is_in_order(&r, &done).await;
        }
    }
}

/// Some of those that a harness needs most, each alone, in the ways in which programs do it.
#[tokio::test]
async fn what_every_run_needs_may_be_replaced() {
    const NEEDED: [&str; 32] = [
        "paste",
        "paste0",
        "cat",
        "print",
        "print.default",
        "print.data.frame",
        "format",
        "format.data.frame",
        "eval",
        "parse",
        "tryCatch",
        "withCallingHandlers",
        "withRestarts",
        "withVisible",
        "conditionMessage",
        "simpleError",
        "inherits",
        "identical",
        "is.function",
        "gsub",
        "nchar",
        "sprintf",
        "readBin",
        "writeBin",
        "flush",
        "file",
        "get",
        "exists",
        "lazyLoadDBfetch",
        "getNamespace",
        "sys.call",
        "suspendInterrupts",
    ];
    let mut dice = Random::new();
    for _ in 0..10 {
        let name = dice.pick(&NEEDED);
        let by = dice.pick(&REPLACEMENTS);
        let r = keep().await;
        // The run itself may see what it has done.
        let code = match dice.below(2) {
            0 => format!("unlockBinding('{name}', baseenv())\nassign('{name}', {by}, baseenv())\nkept"),
            _ => format!(
                "local({{ place <- as.environment('package:base')\nunlockBinding('{name}', place)\nplace${name} <- {by} }})\nkept"
            ),
        };
        let ran = r.run(&code).await;
        assert!(!ran.end.state_lost, "{code}: {ran:#?}");
        is_in_order(&r, &code).await;
    }
}

/// It is the program's session: what it replaced stays replaced for it, and its own methods come before R's.
#[tokio::test]
async fn what_a_program_replaced_is_its_own() {
    let r = keep().await;
    r.run("unlockBinding('paste', baseenv()); assign('paste', function(...) 'mine', baseenv())").await;
    assert_eq!(r.output("cat(paste('a', 'b'))").await, "mine");
    r.run(&replacing("utils", "head", "function(x, ...) 'head of mine'")).await;
    assert_eq!(r.value("utils::head(1:3)").await.as_deref(), Some("[1] \"head of mine\""));
    is_in_order(&r, "both").await;
    r.run("print.data.frame <- function(x, ...) cat('a table of', nrow(x), '\\n')").await;
    assert_eq!(r.value("table").await.as_deref(), Some("a table of 2 "));
    r.run("print.function <- function(x, ...) cat('a function\\n')").await;
    assert_eq!(r.value("mean").await.as_deref(), Some("a function"));
    r.run("print.numeric <- function(x, ...) cat('a number\\n')").await;
    assert_eq!(r.value("kept").await.as_deref(), Some("[1] 41"), "R's prompt asks for no method of what has no class");
    assert_eq!(r.value("print(kept)").await.as_deref(), None);
}
