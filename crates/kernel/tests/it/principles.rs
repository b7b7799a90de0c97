//! What holds for every R and Java program, tried with generated ones: the seed is printed, and `AGB_TEST_SEED` repeats it.

use std::fmt::Write as _;
use std::time::Duration;

use agb_kernel::{Cell, CellEvent, Language, Outcome};

use crate::random::Random;
use crate::support::{PATIENCE, Ran, Subject, finish, kernel};

/// What a session of the language shows that is in order: output of both streams, a value, an error, an end.
pub(crate) async fn is_in_order(subject: &Subject, language: Language, after: &str) {
    let (code, failing, value) = match language {
        Language::R => ("cat('out'); message('err'); kept + 1", "stop('told')", "[1] 42"),
        _ => (
            "System.out.print(\"out\"); System.err.print(\"err\\n\"); kept + 1",
            "throw new IllegalStateException(\"told\");",
            "42",
        ),
    };
    let ran = subject.run(code).await;
    assert_eq!(ran.end.outcome, Outcome::Finished, "after {after}: {ran:#?}");
    assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("out", "err\n"), "after {after}: {ran:#?}");
    assert_eq!(ran.value().as_deref(), Some(value), "after {after}: {ran:#?}");
    assert_eq!(subject.run(failing).await.error().value, "told", "after {after}");
}

pub(crate) async fn keep(language: Language) -> Subject {
    let subject = kernel(language);
    let code = if language == Language::R { "kept <- 41" } else { "int kept = 41;" };
    assert_eq!(subject.run(code).await.end.outcome, Outcome::Finished);
    subject
}

/// Principle 1: names that the harness's sources use mean nothing to it when the program gives them another meaning.
#[tokio::test]
async fn r_programs_may_hide_every_name() {
    let sources = concat!(
        include_str!("../../src/r/cells.R"),
        include_str!("../../src/r/values.R"),
        include_str!("../../src/r/plots.R"),
        include_str!("../../src/r/input.R"),
        include_str!("../../src/r/control.R"),
    );
    let mut names: Vec<&str> = sources
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'))
        .filter(|name| name.len() > 2 && name.starts_with(|c: char| c.is_ascii_alphabetic()))
        // What the check itself calls, and words of the language.
        .filter(|name| {
            !["cat", "message", "stop", "kept", "function", "while", "for", "repeat", "next", "break", "else"]
                .contains(name)
        })
        .filter(|name| !["NULL", "TRUE", "FALSE", "Inf", "NA_character_"].contains(name))
        .collect();
    names.sort_unstable();
    names.dedup();
    let mut dice = Random::new();
    let r = keep(Language::R).await;
    for _ in 0..12 {
        let mut code = String::new();
        for _ in 0..20 {
            let value =
                dice.pick(&["5", "function(...) stop('hidden')", "NULL", "function(...) invisible()", "'text'"]);
            let name = names[dice.below(names.len())];
            writeln!(code, "`{name}` <- {value}").expect("a string takes all");
        }
        r.run(&code).await;
        is_in_order(&r, Language::R, &code).await;
        r.run("rm(list = setdiff(ls(), 'kept'))").await;
    }
}

#[tokio::test]
async fn java_programs_may_declare_every_name() {
    let mut dice = Random::new();
    let java = keep(Language::Java).await;
    let names = [
        "Cells",
        "Main",
        "Output",
        "Json",
        "Report",
        "Traces",
        "JShell",
        "Snippet",
        "List",
        "Map",
        "Set",
        "Pattern",
        "Throwable2",
        "Thread2",
        "Notebook",
        "display",
        "Values",
        "Method",
        "Field",
    ];
    for _ in 0..8 {
        let name = dice.pick(&names);
        let code = match dice.below(4) {
            0 => format!(
                "class {name} {{ static int n = 1; public String toString() {{ throw new Error(\"hidden\"); }} }}"
            ),
            1 => format!("record {name}(int n) {{ {name} {{ n = 5; }} }}"),
            2 => format!("int {name} = 3;"),
            _ => format!("int {name}(int n) {{ return n; }}\nenum {name} {{ A }}"),
        };
        let ran = java.run(&code).await;
        assert_eq!(ran.end.outcome, Outcome::Finished, "{code}: {ran:#?}");
        is_in_order(&java, Language::Java, &code).await;
    }
}

/// Principle 2: whatever became of the streams, the next run begins with working ones.
#[tokio::test]
async fn streams_work_again_whatever_was_closed_and_wrapped() {
    for language in [Language::R, Language::Java] {
        let mut dice = Random::new();
        let subject = keep(language).await;
        let steps: &[&str] = match language {
            Language::R => &[
                "closeAllConnections()",
                "sink(tempfile()); sink()",
                "f <- file(tempfile(), 'w'); sink(f); print(1); sink(); close(f)",
                "try(close(getConnection(sample(3:9, 1))), silent = TRUE)",
                "con <- textConnection('x', 'w'); sink(con); cat('y'); sink(); close(con)",
                "sink(stderr(), type = 'message')",
                "try(close(stdin()), silent = TRUE)",
                "invisible(capture.output(print(1)))",
                "try(close(file('stdin')), silent = TRUE)",
                "zz <- file(tempfile(), 'w'); sink(zz, type = 'message'); message('m'); sink(type = 'message'); close(zz)",
            ],
            _ => &[
                "System.out.close();",
                "System.err.close();",
                "System.setOut(new PrintStream(new ByteArrayOutputStream()));",
                "System.setErr(null);",
                "System.setOut(null);",
                "System.setIn(new ByteArrayInputStream(new byte[0]));",
                "new FileOutputStream(FileDescriptor.out).close();",
                "new FileOutputStream(FileDescriptor.err).close();",
                "new PrintWriter(System.err).close();",
                "try (var w = new BufferedWriter(new OutputStreamWriter(System.err))) { }",
                "new Scanner(System.in).close();",
            ],
        };
        for _ in 0..15 {
            let code: Vec<&str> = (0..1 + dice.below(4)).map(|_| dice.pick(steps)).collect();
            let code = code.join("\n");
            let ran = subject.run(&code).await;
            assert!(!ran.end.state_lost, "{code}: {ran:#?}");
            is_in_order(&subject, language, &code).await;
        }
    }
}

/// Principles 3 and 4: an end says what happened, and nothing but the program's own death ends the interpreter.
#[tokio::test]
async fn an_end_says_what_happened() {
    for language in [Language::R, Language::Java] {
        let mut dice = Random::new();
        let subject = keep(language).await;
        // A statement, and whether it fails.
        let ends: &[(&str, bool)] = match language {
            Language::R => &[
                ("stop('x')", true),
                ("stop(structure(class = c('c', 'error', 'condition'), list(message = NULL)))", true),
                ("q(status = 3)", true),
                ("quit('no')", false),
                ("q(status = 0L)", false),
                ("log('a')", true),
                ("f <- function(n) f(n + 1); f(1)", true),
                ("setTimeLimit(elapsed = 0.05); repeat sqrt(2)", true),
                ("warning('w')", false),
                ("invokeRestart('abort')", false),
                ("options(expressions = 30)", false),
                ("match.arg('x', 'y')", true),
                ("stopifnot(FALSE)", true),
                ("1 +", true),
            ],
            _ => &[
                ("throw new Exception(\"x\");", true),
                ("throw new Error();", true),
                ("Object o = null; o.toString();", true),
                ("int z = 0; int y = 1 / z;", true),
                ("int[] a = new int[0]; a[1] = 0;", true),
                ("int over(int n) { return over(n + 1) + 1; }\nover(0);", true),
                ("throw null;", true),
                (
                    "Thread t = new Thread(() -> { throw new IllegalStateException(); }); t.setUncaughtExceptionHandler((x, e) -> { }); t.start(); t.join();",
                    false,
                ),
                ("class X extends Nothing {}", true),
                ("int n = ;", true),
                ("new Thread(() -> { }).start();", false),
                ("Thread.currentThread().interrupt();", false),
            ],
        };
        for _ in 0..15 {
            let (end, fails) = ends[dice.below(ends.len())];
            let wrapped = match (language, dice.below(4), fails) {
                (Language::R, 0, _) if !end.ends_with('+') => format!("local({{ {end} }})"),
                (Language::R, 1, _) if !end.ends_with('+') => format!("x <- lapply(1, function(i) {{ {end} }})"),
                _ => end.to_owned(),
            };
            let ran = subject.run(&wrapped).await;
            assert_eq!(matches!(ran.end.outcome, Outcome::Failed(_)), fails, "{wrapped}: {ran:#?}");
            assert!(fails || ran.end.outcome == Outcome::Finished, "{wrapped}: {ran:#?}");
            assert!(!ran.end.state_lost, "{wrapped}: {ran:#?}");
            is_in_order(&subject, language, &wrapped).await;
        }
    }
}

/// Principle 5: every way to read asks once for each line, after the text that asks for it.
#[tokio::test]
async fn each_question_is_asked_once_after_its_text() {
    for language in [Language::R, Language::Java] {
        let mut dice = Random::new();
        let subject = keep(language).await;
        for _ in 0..10 {
            let count = 1 + dice.below(4);
            let code = match language {
                Language::R => {
                    let reader = dice.pick(&["stdin()", "file('stdin')", "'stdin'", "'/dev/stdin'"]);
                    let read = match dice.below(3) {
                        0 => format!("readLines({reader}, n = 1)"),
                        1 => "readline()".to_owned(),
                        _ => format!("scan({reader}, what = '', n = 1, quiet = TRUE)"),
                    };
                    format!(
                        "for (i in 1:{count}) {{ cat('q', i, '? ', sep = ''); a <- {read}; cat('<', a, '>', sep = '') }}"
                    )
                }
                _ => {
                    let (make, read) = match dice.below(3) {
                        0 => ("var in = new Scanner(System.in);", "in.nextLine()"),
                        1 => ("var in = new BufferedReader(new InputStreamReader(System.in));", "in.readLine()"),
                        _ => (
                            "String line() throws IOException { var s = new StringBuilder(); for (int c; (c = System.in.read()) != '\\n'; ) s.append((char) c); return s.toString(); }",
                            "line()",
                        ),
                    };
                    format!(
                        "{make}\nfor (int i = 1; i <= {count}; i++) {{ System.out.print(\"q\" + i + \"? \"); String a = {read}; System.out.print(\"<\" + a + \">\"); }}"
                    )
                }
            };
            let mut run = subject.kernel.run(Cell { code: code.clone(), timeout: PATIENCE, stdin: true });
            let control = run.control();
            let mut seen = String::new();
            let mut asked = 0;
            let end = loop {
                match crate::support::next(&mut run).await.expect("an execution has an end") {
                    CellEvent::Stdout(text) => seen += &text,
                    CellEvent::InputRequest { .. } => {
                        asked += 1;
                        assert!(seen.ends_with(&format!("q{asked}? ")), "{code}: {seen}");
                        control.write_stdin(format!("a{asked}\n")).unwrap();
                    }
                    CellEvent::End(end) => break end,
                    _ => {}
                }
            };
            assert_eq!((&end.outcome, asked), (&Outcome::Finished, count), "{code}: {seen}");
            let expected: String = (1..=count).map(|i| format!("q{i}? <a{i}>")).collect();
            assert_eq!(seen, expected, "{code}");
        }
    }
}

/// Principle 6: types of one program need each other in any order.
#[tokio::test]
async fn java_types_come_in_any_order() {
    let mut dice = Random::new();
    let java = keep(Language::Java).await;
    for round in 0..6 {
        let count = 3 + dice.below(5);
        let mut types: Vec<String> = (0..count)
            .map(|i| {
                let base = if i == 0 { String::new() } else { format!(" extends T{round}_{}", dice.below(i)) };
                let other = dice.below(count);
                let own = match dice.below(3) {
                    0 => format!("T{round}_{other} other{i}() {{ return new T{round}_{other}(); }}"),
                    1 => format!("static final List<T{round}_{other}> ALL = new ArrayList<>();"),
                    _ => format!("record R(T{round}_{other} t) {{ R {{ Objects.requireNonNull(t); }} }}"),
                };
                let parent = if i == 0 { "0" } else { "super.id()" };
                format!(
                    "class T{round}_{i}{base} {{ int id() {{ return {parent} + 1 + helper{round}({i}); }}\n  {own} }}"
                )
            })
            .collect();
        types.push(format!("int helper{round}(int n) {{ return n * scale{round}; }}"));
        types.push(format!("int helper{round}(String s) {{ return helper{round}(s.length()); }}"));
        for at in (1..types.len()).rev() {
            types.swap(at, dice.below(at + 1));
        }
        let code = format!(
            "{}\nint scale{round} = 0;\nSystem.out.print(new T{round}_0().id() + helper{round}(\"abc\") + (new T{round}_{}().id() > 0 ? \"y\" : \"n\"));",
            types.join("\n"),
            count - 1
        );
        let ran = java.run(&code).await;
        assert_eq!((&ran.end.outcome, ran.stdout().as_str()), (&Outcome::Finished, "1y"), "{code}");
    }
}

/// Principle 7: a table as HTML has the cells that its text has.
#[tokio::test]
async fn r_tables_say_the_same_in_both_forms() {
    let mut dice = Random::new();
    let r = keep(Language::R).await;
    for _ in 0..12 {
        let columns: Vec<String> = (0..1 + dice.below(5))
            .map(|i| {
                let column = dice.pick(&[
                    "c('NA', NA, 'x')",
                    "c(1.5, NA, 1000)",
                    "factor(c('u', 'v', NA))",
                    "as.Date('2024-01-01') + c(0, NA, 2)",
                    "c(TRUE, NA, FALSE)",
                    "I(list(1:2, 'a', NULL))",
                    "c(1L, NA, 3L)",
                    "as.POSIXct('2024-01-01 10:00:00', tz = 'UTC') + c(0, 5, NA)",
                    "complex(real = 1:3, imaginary = 0)",
                ]);
                format!("d$c{i} <- {column}")
            })
            .collect();
        let nested = if dice.below(2) == 0 {
            "d$sub <- data.frame(p = c('a', NA, 'c'), q = 1:3)"
        } else {
            "d$m <- matrix(1:6, 3)"
        };
        // What is left out of one form is left out of the other.
        let limits = [dice.pick(&["NULL", "1", "2", "3"]), dice.pick(&["NULL", "1", "2", "4", "7", "Inf"])];
        let code = format!(
            "options(width = 500, repr.matrix.max.rows = {}, repr.matrix.max.cols = {})\n\
             d <- data.frame(id = 1:3)\n{}\n{nested}\nd",
            limits[0],
            limits[1],
            columns.join("\n")
        );
        let ran = r.run(&code).await;
        let results = ran.results();
        let [table] = results.as_slice() else { panic!("{code}: {ran:#?}") };
        let words = |text: &str| -> Vec<String> {
            let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            words.sort();
            words
        };
        let mut html = String::new();
        let mut is_tag = false;
        for c in table.data["text/html"].as_str().unwrap().chars() {
            match c {
                '<' => is_tag = true,
                '>' => (is_tag, html) = (false, html + " "),
                _ if !is_tag => html.push(c),
                _ => {}
            }
        }
        let html = html.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        let text = table.data["text/plain"].as_str().unwrap();
        let (cells, _) = text.split_once("; left out: ").unwrap_or((text, ""));
        assert_eq!(words(&html), words(cells), "{code}");
    }
}

/// Principle 8: describing an error costs no more than the program did.
#[tokio::test]
async fn an_error_of_any_size_is_described_at_once() {
    for (language, programs) in [
        (
            Language::R,
            &[
                "stop(strrep('x', 1e7))",
                "f <- function(n) if (n == 0) stop('bottom') else f(n - 1); f(300)",
                "do.call(stop, list(paste(rep('x', 1e5), collapse = ' ')))",
                "g <- function(d) stop('deep'); do.call(g, list(as.list(1:1e6)))",
                "for (i in 1:5000) suppressWarnings(warning(i)); stop('many')",
            ][..],
        ),
        (
            Language::Java,
            &[
                "Exception e = null; for (int i = 0; i < 200_000; i++) e = new Exception(\"c\", e); throw e;",
                "throw new Exception(\"x\".repeat(10_000_000));",
                "int down(int n) { if (n == 0) throw new IllegalStateException(); return down(n - 1); }\ndown(5000);",
                "Exception s = new Exception(\"s\"); for (int i = 0; i < 100_000; i++) s.addSuppressed(new Exception(\"t\")); throw s;",
            ],
        ),
    ] {
        let subject = keep(language).await;
        for code in programs {
            let ran: Ran = finish(subject.kernel.run(Cell::new(*code, PATIENCE))).await;
            let error = ran.error();
            assert!(
                error.traceback.len() <= 600_000 && error.value.len() <= 600_000,
                "{code}: {}",
                error.traceback.len()
            );
            // A generous bound: it takes a fraction of a second on a machine that has time.
            assert!(ran.end.execution_time < Duration::from_secs(20), "{code}: {:?}", ran.end);
        }
        is_in_order(&subject, language, "large errors").await;
    }
}
