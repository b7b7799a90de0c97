//! R programs that close, redirect, draw, ask and limit what the harness uses as well.

use agb_kernel::{Language, Outcome};

use crate::support::{Ran, Subject, answered, kernel};

fn r() -> Subject {
    kernel(Language::R)
}

fn pictures(ran: &Ran) -> usize {
    ran.results().iter().filter(|result| result.data.contains_key("image/png")).count()
}

#[tokio::test]
async fn the_harness_keeps_its_connections() {
    let r = r();
    r.run("kept <- 1").await;
    for code in [
        "closeAllConnections()",
        "for (i in getAllConnections()) if (i > 2) close(getConnection(i))",
        "for (i in 3:20) try(close(getConnection(i)), silent = TRUE)",
        "for (i in as.integer(rownames(showConnections()))) close(getConnection(i))",
        "x <- file('own.txt', 'w'); sink(x); print(1); closeAllConnections(); cat('')",
        "con <- textConnection('a'); readLines(con); close(con); invisible(gc())",
        "sink('out.txt'); sink('out2.txt'); cat('x'); sink(); sink(); cat('')",
        "sink(file('err.txt', 'w'), type = 'message'); message('x'); sink(type = 'message')",
    ] {
        let ran = r.run(code).await;
        assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Finished, false), "{code}: {ran:#?}");
        let ran = r.run("cat('out', kept); message('err')").await;
        assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("out 1", "err\n"), "after {code}: {ran:#?}");
    }
}

#[tokio::test]
async fn limits_of_the_program_are_not_the_harness_s() {
    let r = r();
    r.run("kept <- 1").await;
    for code in ["options(expressions = 25)", "options(list(expressions = 30, digits = 7))"] {
        let ran = r.run(code).await;
        assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Finished, false), "{code}: {ran:#?}");
        assert_eq!(r.value("kept").await.as_deref(), Some("[1] 1"), "{code}");
        let error = r.run("f <- function(n) f(n + 1)\nf(1)").await.error();
        assert!(error.value.contains("nested too deeply"), "{error:?}");
    }
    assert_eq!(r.value("options(expressions = 5000)\nkept").await.as_deref(), Some("[1] 1"));
    for code in ["setTimeLimit(elapsed = 0.2)", "setSessionTimeLimit(elapsed = 0.2)"] {
        r.run(code).await;
        assert_eq!(r.value("Sys.sleep(0.5); kept").await.as_deref(), Some("[1] 1"), "{code}");
    }
    let error = r.run("setTimeLimit(elapsed = 0.2); repeat sqrt(2)").await.error();
    assert!(error.value.contains("time limit"), "{error:?}");
    assert_eq!(r.value("kept").await.as_deref(), Some("[1] 1"));
}

#[tokio::test]
async fn values_and_errors_that_cannot_be_shown_are_errors() {
    let r = r();
    r.run("kept <- 1").await;
    for (code, name, value) in [
        ("print.a <- function(x, ...) stop('no print')\nstructure(1, class = 'a')", "Error", "no print"),
        (
            "format.b <- function(x, ...) stop('no format')\nd <- data.frame(n = 1:2)\nd$b <- structure(1:2, class = 'b')\nd",
            "Error",
            "no format",
        ),
        (
            "setClass('S', representation(n = 'numeric'))\nsetMethod('show', 'S', function(object) stop('no show'))\nnew('S', n = 1)",
            "Error",
            "no show",
        ),
        ("stop(structure(class = c('odd', 'error', 'condition'), list(message = NULL)))", "odd", ""),
        ("stop(structure(class = c('odd', 'error', 'condition'), list(message = 1:2, call = 5)))", "odd", "1\n2"),
        (
            "conditionMessage.c <- function(c) stop('no message')\nstop(structure(class = c('c', 'error', 'condition'), list(message = 'm', call = NULL)))",
            "Error",
            "no message",
        ),
        ("stop(simpleCondition('sc'))", "simpleCondition", "sc"),
        (
            "f <- function() stop(structure(class = c('mine', 'condition'), list(message = 'm', call = NULL))); f()",
            "mine",
            "m",
        ),
        ("print.deep <- function(x, ...) print(x)\nstructure(1, class = 'deep')", "", ""),
        ("print.q <- function(x, ...) quit(status = 7)\nstructure(1, class = 'q')", "ProcessExit", "quit(status = 7)"),
    ] {
        let ran = r.run(code).await;
        let error = ran.error();
        assert!(!ran.end.state_lost, "{code}: {ran:#?}");
        if !name.is_empty() {
            assert_eq!((error.name.as_str(), error.value.as_str()), (name, value), "{code}");
        }
        assert_eq!(r.value("kept").await.as_deref(), Some("[1] 1"), "{code}");
    }
    for code in [
        "signalCondition(simpleCondition('sc')); invokeRestart('abort')",
        "try(stop('t'), silent = TRUE); invokeRestart('abort')",
    ] {
        assert_eq!(r.run(code).await.end.outcome, Outcome::Finished, "{code}");
    }
    // A warning without a message is one all the same.
    let ran =
        r.run("warning(structure(class = c('w', 'warning', 'condition'), list(message = NULL, call = NULL)))\n5").await;
    assert_eq!(ran.value().as_deref(), Some("[1] 5"), "{ran:#?}");
}

#[tokio::test]
async fn html_of_a_table_says_what_its_text_says() {
    let r = r();
    for (code, heads, rows) in [
        (
            "d <- data.frame(id = 1:2); d$sub <- data.frame(x = c('a', 'b'), y = 7:8); d",
            &["", "id", "sub.x", "sub.y"][..],
            &[&["1", "1", "a", "7"][..], &["2", "2", "b", "8"]][..],
        ),
        (
            "data.frame(a = c('NA', NA), n = c(NA, 1))",
            &["", "a", "n"],
            &[&["1", "NA", "NA"], &["2", "&lt;NA&gt;", "1"]],
        ),
        (
            "data.frame(f = factor(c('u', NA)), d = as.Date(c('2024-01-02', NA)), b = c(TRUE, NA))",
            &["", "f", "d", "b"],
            &[&["1", "u", "2024-01-02", "TRUE"], &["2", "&lt;NA&gt;", "&lt;NA&gt;", "NA"]],
        ),
        (
            "d <- data.frame(k = 1:2); d$l <- list(1:3, list(1, 'x')); d$m <- matrix(1:4, 2); d",
            &["", "k", "l", "m.1", "m.2"],
            &[&["1", "1", "1, 2, 3", "1", "3"], &["2", "2", "1, x", "2", "4"]],
        ),
        (
            "data.frame(t = as.POSIXct('2024-01-02 03:04:05', tz = 'UTC') + c(0, 1), row.names = c('r1', 'r<2'))",
            &["", "t"],
            &[&["r1", "2024-01-02 03:04:05"], &["r&lt;2", "2024-01-02 03:04:06"]],
        ),
        ("matrix(c('a', NA), 1, dimnames = list('r', c('x', 'y')))", &["", "x", "y"], &[&["r", "a", "&lt;NA&gt;"]]),
        (
            "options(repr.matrix.max.rows = 2); data.frame(x = 1:9)",
            &["", "x"],
            &[&["1", "1"], &["⋮", "⋮"], &["9", "9"]],
        ),
        (
            "options(repr.matrix.max.cols = 2); data.frame(a = 1, b = 2, c = 3)",
            &["", "a", "…", "c"],
            &[&["1", "1", "…", "3"]],
        ),
    ] {
        let ran = r.run(code).await;
        let results = ran.results();
        let [table] = results.as_slice() else { panic!("{code}: {ran:#?}") };
        let html = table.data["text/html"].as_str().unwrap();
        let cells = |line: &str, tag: &str| -> Vec<String> {
            let line = line
                .replace(&format!("<{tag}>"), "\u{0}")
                .replace(&format!("</{tag}>"), "")
                .replace("<th>", "\u{0}")
                .replace("</th>", "");
            line.trim_start_matches("<tr>")
                .trim_end_matches("</tr>")
                .split('\u{0}')
                .skip(1)
                .map(str::to_owned)
                .collect()
        };
        let lines: Vec<&str> = html.lines().filter(|line| line.starts_with("<tr>")).collect();
        assert_eq!(cells(lines[0], "th"), heads, "{code}: {html}");
        let shown: Vec<Vec<String>> = lines[1..].iter().map(|line| cells(line, "td")).collect();
        assert_eq!(shown, rows, "{code}: {html}");
    }
}

/// As many rows and columns as the table has as HTML, and a line that says how many are left out.
#[tokio::test]
async fn text_of_a_table_is_as_long_as_its_html() {
    let r = r();
    for (options, code, text) in [
        (
            "repr.matrix.max.rows = 4",
            "data.frame(x = 1:9, y = c('a', NA, letters[1:7]))",
            "  x    y\n1 1    a\n2 2 <NA>\n⋮ ⋮    ⋮\n8 8    f\n9 9    g\n\
             9 rows × 2 columns; left out: 5 rows (repr.matrix.max.rows)",
        ),
        (
            "repr.matrix.max.rows = 3, repr.matrix.max.cols = 2",
            "data.frame(a = 1:5, b = 2, c = 3)",
            "  a … c\n1 1 … 3\n2 2 … 3\n⋮ ⋮ ⋮ ⋮\n5 5 … 3\n\
             5 rows × 3 columns; left out: 2 rows (repr.matrix.max.rows), 1 columns (repr.matrix.max.cols)",
        ),
        (
            "repr.matrix.max.rows = 2",
            "matrix(c(1.5, 2, 3, 4, 5, 6), 3)",
            "     [,1] [,2]\n[1,]  1.5    4\n⋮       ⋮    ⋮\n[3,]  3.0    6\n\
             3 rows × 2 columns; left out: 1 rows (repr.matrix.max.rows)",
        ),
        (
            "repr.matrix.max.rows = 2",
            "matrix(c('a', 'b', NA), 3, dimnames = list(NULL, 'n'))",
            "     n  \n[1,] \"a\"\n⋮    ⋮  \n[3,] NA \n3 rows × 1 columns; left out: 1 rows (repr.matrix.max.rows)",
        ),
        // Whole where it fits, where the program wants all of it, and where it prints it itself.
        ("repr.matrix.max.rows = 3", "data.frame(x = 1:3)", "  x\n1 1\n2 2\n3 3"),
        (
            "repr.matrix.max.rows = 2",
            "data.frame(x = 1:3)[0, , drop = FALSE]",
            "[1] x\n<0 rows> (or 0-length row.names)",
        ),
        (
            "repr.matrix.max.rows = 2",
            "structure(list(x = 1:3), class = c('mine', 'data.frame'), row.names = 1:3)",
            "mine",
        ),
        ("repr.matrix.max.rows = 2", "table(c('a', 'b', 'c'), 1:3)[, 1]", "a b c \n1 0 0 "),
    ] {
        let code = format!("print.mine <- function(x, ...) cat('mine\\n')\noptions({options})\n{code}");
        assert_eq!(r.value(&code).await.as_deref(), Some(text), "{code}");
    }
    let lines = |text: Option<String>| text.unwrap().lines().count();
    let hundred = "d <- data.frame(x = 1:100)";
    for (limit, count) in [("NULL", 63), ("Inf", 101), ("100", 101), ("NA", 63), ("'all'", 63), ("0", 63)] {
        let code = format!("{hundred}\noptions(repr.matrix.max.rows = {limit})\nd");
        assert_eq!(lines(r.value(&code).await), count, "{limit}");
    }
    assert_eq!(r.output("print(d)").await.lines().count(), 101);
}

#[tokio::test]
async fn every_page_of_every_device_is_shown_once_where_it_was_drawn() {
    let r = r();
    for (code, count) in [
        ("dev.new(); plot(1, main = 'ONE'); dev.new(); plot(2, main = 'TWO')", 2),
        ("plot(3, main = 'THREE')", 1),
        ("1 + 1", 0),
        ("graphics.off()", 0),
        ("plot(1:3); x <- recordPlot(); replayPlot(x)", 2),
        ("replayPlot(x)", 1),
        ("dev.print(pdf, 'p.pdf'); invisible(file.exists('p.pdf'))", 0),
        ("plot(1:3); dev.copy(png, 'copy.png'); dev.off()", 1),
        // The page is kept: what a later cell draws comes on it.
        ("plot(1:10)", 1),
        ("lines(c(1, 10), c(10, 1))", 1),
        ("abline(h = 5); legend('top', 'a')", 1),
        ("plot(4); plot(5); plot(6)", 3),
        ("dev.off()", 0),
        ("dev.new(width = 2, height = 2); plot(1, mar = c(0, 0, 0, 0)); dev.off()", 1),
        ("dev.new(); dev.control('inhibit'); plot(1:2)", 1),
        ("graphics.off(); par(mfrow = c(1, 2)); plot(1)", 1),
        ("plot(2)", 1),
        ("for (i in 1:2) { dev.new(); plot(i); dev.off() }", 2),
        ("library(grid); grid.newpage(); grid.text('x'); grid.newpage(); grid.rect()", 2),
        ("grid.text('y')", 1),
    ] {
        let ran = r.run(code).await;
        assert_eq!(
            (&ran.end.outcome, pictures(&ran)),
            (&Outcome::Finished, count),
            "{code}: {:?} {:?}",
            ran.end,
            ran.stderr()
        );
    }
    assert!(r.workdir.path().join("p.pdf").metadata().unwrap().len() > 1000);
    assert!(r.workdir.path().join("copy.png").metadata().unwrap().len() > 1000);
    assert!(!r.workdir.path().join("Rplots.pdf").exists());
}

/// The top level of a program is one: no frame of the harness is below it.
#[tokio::test]
async fn the_top_level_is_the_top() {
    let r = r();
    for (code, out) in [
        ("main <- function() cat('main')\nif (sys.nframe() == 0L) main()", "main"),
        ("if (sys.nframe() == 0) { cat('a') } else { cat('b') }", "a"),
        (
            "cat(is.null(sys.call()), length(sys.calls()), sys.parent(), identical(parent.frame(), globalenv()))",
            "TRUE 0 0 TRUE",
        ),
        ("invisible(list2env(list(made = 5), envir = parent.frame())); cat(made)", "5"),
        (
            "f <- function(a = c('x', 'y')) { a <- match.arg(a); g <- function() assign('b', 2, envir = parent.frame()); g(); paste(a, b, sys.nframe() > 0) }\ncat(f())",
            "x 2 TRUE",
        ),
        (
            "f <- function(...) deparse(match.call())\ncat(f(1, b = 2), deparse((function() sys.call())()))",
            "f(1, b = 2) (function() sys.call())()",
        ),
        (
            "f <- function() eval.parent(quote(late <- 3))\nf()\ncat(late, local(identical(parent.frame(), globalenv())))",
            "3 FALSE",
        ),
        ("tryCatch({ if (sys.nframe() == 0) cat('top') else cat('inside') }, error = stop)", "top"),
    ] {
        assert_eq!(r.output(code).await, out, "{code}");
    }
}

/// The harness's own errors are not the program's last one.
#[tokio::test]
async fn the_last_error_is_the_programs() {
    let r = r();
    let code = "try(stop('quiet'), silent = TRUE)\n1 + 1\ncat(geterrmessage())\nx <- try(log('a'), silent = TRUE)\ny <- 2\ncat(geterrmessage())";
    let out = r.output(code).await;
    assert!(out.contains("Error in try(stop(\"quiet\"), silent = TRUE) : quiet\n"), "{out}");
    assert!(out.contains("Error in log(\"a\") : non-numeric argument to mathematical function\n"), "{out}");
}

#[tokio::test]
async fn what_would_wait_for_somebody_says_so() {
    let r = r();
    for code in
        ["edit(1:3)", "fix(letters)", "vi(1)", "file.edit('x.R')", "edit(mtcars)", "View(mtcars)", "data.entry(1)"]
    {
        let ran = r.run(code).await;
        assert!(matches!(ran.end.outcome, Outcome::Failed(_)) && !ran.end.state_lost, "{code}: {ran:#?}");
        assert!(!ran.stdout().contains('\u{1b}'), "{code}: {ran:#?}");
    }
    for code in [
        "page(1:3)",
        "?mean",
        "locator(1)",
        "browseURL('http://example.com')",
        "browser()",
        "help.start(browser = NULL)",
    ] {
        let ran = r.run(code).await;
        assert!(!ran.end.state_lost && !matches!(ran.end.outcome, Outcome::TimedOut(_)), "{code}: {ran:#?}");
    }
    assert_eq!(r.value("menu(c('yes', 'no'), title = 'Sure?')").await.as_deref(), Some("[1] 0"), "nobody answers");
    let (ran, prompts) = answered(&r, "menu(c('yes', 'no'), title = 'Sure?')", &["7\n", "2\n"]).await;
    assert_eq!((ran.value().as_deref(), prompts), (Some("[1] 2"), vec!["Selection: ".to_owned(); 2]), "{ran:#?}");
    assert!(ran.stdout().starts_with("Sure?"), "{ran:#?}");
    let (ran, _) = answered(&r, "select.list(c('a', 'b'))", &["b"]).await;
    assert_eq!(ran.value().as_deref(), Some("[1] \"b\""), "{ran:#?}");
}

#[tokio::test]
async fn every_way_to_read_standard_input_asks() {
    let r = r();
    for code in [
        "c(readline('? '), readline('? '))",
        "readLines(stdin())",
        "readLines(file('stdin'))",
        "readLines('stdin')",
        "readLines('/dev/stdin')",
        "readLines(file('/dev/stdin'))",
        "con <- file('/dev/fd/0', 'r'); l <- character(); while (length(x <- readLines(con, 1)) > 0) l <- c(l, x); close(con); l",
        "con <- file('stdin', open = 'r'); on <- readLines(con, n = 2); close(con); on",
        "scan('stdin', what = '', sep = '\\n', quiet = TRUE)",
        "scan(file('stdin'), what = character(), quiet = TRUE)",
        "scan('/dev/stdin', what = '', quiet = TRUE)",
        "scan(stdin(), what = '', n = 2, quiet = TRUE)",
        "as.character(read.table(file('stdin'))$V1)",
        "as.character(read.csv('/dev/stdin', header = FALSE)$V1)",
    ] {
        let (ran, prompts) = answered(&r, code, &["a\n", "b\n"]).await;
        assert_eq!(ran.value().as_deref(), Some("[1] \"a\" \"b\""), "{code}: {ran:#?}");
        assert!((2..=3).contains(&prompts.len()), "{code}: one request for each question: {prompts:?}");
    }
}

#[tokio::test]
async fn line_ends_and_a_mark_make_no_difference() {
    let r = r();
    let program = "a <- 1\n# note\ns <- 'x\ny'\ncat(a, s)";
    for code in [
        program.to_owned(),
        program.replace('\n', "\r\n"),
        format!("\u{feff}{program}"),
        format!("{program}\r"),
        format!("{program}\r\n"),
    ] {
        assert_eq!(r.output(&code).await, "1 x\ny", "{code:?}");
    }
    let error = r.run("\u{feff}1\r\n\r\nprint(x y)").await.error();
    assert!(error.value.ends_with("(line 3, column 9)"), "{error:?}");
}

/// A condition's own methods are asked by `stop` first, and then to tell of the error.
#[tokio::test]
async fn an_error_is_told_whatever_its_methods_do() {
    let r = r();
    r.run("kept <- 41").await;
    for method in ["conditionCall", "conditionMessage"] {
        for body in ["stop('no')", "q(status = 3)", "invokeRestart('abort')"] {
            let code = format!(
                "calls <- 0\n{method}.k <- function(c) {{ calls <<- calls + 1; if (calls > 1) {body} else NULL }}\n\
                 stop(structure(class = c('k', 'error', 'condition'), list(message = 'm', call = NULL)))"
            );
            let ran = r.run(&code).await;
            assert!(!ran.end.state_lost, "{code}: {ran:#?}");
            assert_eq!(ran.error().name, "k", "{code}");
            assert_eq!(r.value("kept + 1").await.as_deref(), Some("[1] 42"), "{code}");
            r.run(&format!("rm({method}.k)")).await;
        }
    }
}

#[tokio::test]
async fn errors_show_the_names_of_rs_functions() {
    let r = r();
    for (code, call) in [
        ("file('absent', 'r')", "Error in file("),
        ("readLines('absent')", "Error in file("),
        ("read.csv('absent')", "Error in file("),
        ("source('absent')", "Error in file("),
        ("readBin(1:3, 'nothing')", "Error in readBin("),
        ("getConnection(99)", "Error in getConnection("),
    ] {
        let ran = r.run(code).await;
        let error = ran.error();
        assert!(error.traceback.starts_with(call) && !error.traceback.contains("original"), "{code}: {error:?}");
        assert!(!ran.stderr().contains("original"), "{code}: {}", ran.stderr());
    }
}

#[tokio::test]
async fn a_programs_time_limit_is_none_of_the_next_run() {
    let r = r();
    for limit in ["setSessionTimeLimit(elapsed = 0.01)", "setTimeLimit(elapsed = 0.01)", "setTimeLimit(cpu = 0.01)"] {
        let ran = r.run(limit).await;
        assert!(!ran.end.state_lost, "{limit}: {ran:#?}");
        for _ in 0..2 {
            assert_eq!(r.output("Sys.sleep(0.05); cat('on')").await, "on", "after {limit}");
        }
    }
}

/// A program may say what is to be done at an error, and end itself then.
#[tokio::test]
async fn an_error_is_what_the_program_makes_of_it() {
    let r = kernel(Language::R);
    for option in ["function() { cat('mine\\n'); q('no', status = 5) }", "quote({ cat('mine\\n'); quit(status = 5) })"]
    {
        let ran = r.run(&format!("options(error = {option}); f <- function() stop('why'); f()")).await;
        assert_eq!((ran.stdout().as_str(), ran.error().value.as_str()), ("mine\n", "quit(status = 5)"), "{option}");
        assert!(ran.stderr().contains("Error in f() : why"), "{ran:#?}");
    }
    let ran = r.run("options(error = quote(q('no', 0))); stop('why')").await;
    assert_eq!(ran.end.outcome, Outcome::Finished, "{ran:#?}");
    for option in ["quote(cat('seen\\n'))", "function() { cat('seen\\n'); stop('another') }"] {
        let ran = r.run(&format!("options(error = {option}); f <- function() stop('why'); f()")).await;
        assert_eq!((ran.stdout().as_str(), ran.error().value.as_str()), ("seen\n", "why"), "{option}");
        assert!(ran.error().traceback.contains("1: f()"), "{ran:#?}");
    }
    assert_eq!(r.run("options(error = NULL); stop('why')").await.stdout(), "");
}
