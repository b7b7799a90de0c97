//! What R cells do.

use std::path::Path;
use std::time::{Duration, Instant};

use agb_kernel::{Cell, CellEvent, Death, Kernel, Language, Outcome, StartError, StdinError};

use crate::support::{
    PATIENCE, Ran, Shown, Subject, Workdir, answered, eventually, finish, kernel, kernel_with, next, processes_in,
    questions, spec, until,
};

fn r() -> Subject {
    kernel(Language::R)
}

fn pictures(ran: &Ran) -> Vec<Shown> {
    ran.results().into_iter().filter(|result| result.data.contains_key("image/png")).collect()
}

#[tokio::test]
async fn state_is_kept_and_cells_are_counted() {
    let r = r();
    let first = r.run("library(stats)\nx <- 20\ndouble <- function(n) {\n  n * 2\n}").await;
    assert_eq!((&first.end.outcome, first.end.execution_count, first.end.state_lost), (&Outcome::Finished, 1, false));
    assert!(first.results().is_empty(), "{first:#?}");
    let second = r.run("cat(floor(2.5), '\\n')\ndouble(x) + 2").await;
    assert_eq!(second.end.execution_count, 2);
    assert_eq!((second.stdout().as_str(), second.value().as_deref()), ("2 \n", Some("[1] 42")));
    assert_eq!(r.output("cat(ls(), search()[[1]])").await, "double x .GlobalEnv", "nothing of the harness is seen");
}

#[tokio::test]
async fn visible_values_are_printed_and_the_last_is_the_result() {
    let r = r();
    assert_eq!(r.value("42").await.as_deref(), Some("[1] 42"));
    assert_eq!(r.value("'Final result'").await.as_deref(), Some("[1] \"Final result\""));
    assert_eq!(r.value("x <- 5").await, None);
    assert_eq!(r.value("invisible(x)").await, None);
    assert_eq!(r.value("(x <- 6)").await.as_deref(), Some("[1] 6"));
    assert_eq!(r.value("x; # R knows no quiet semicolon").await.as_deref(), Some("[1] 6"));
    assert_eq!(r.value("NULL").await.as_deref(), Some("NULL"));
    assert_eq!(r.value("").await, None);
    assert_eq!(r.value("# nothing").await, None);
    assert_eq!(r.value("for (i in 1:3) i").await, None);
    assert_eq!(r.value("if (TRUE) 7").await.as_deref(), Some("[1] 7"));
    assert_eq!(r.value("print('once')").await, None);
    assert_eq!(r.value("'ß€😀'\n").await.as_deref(), Some("[1] \"ß€😀\""));
    assert_eq!(r.value(".Last.value").await.as_deref(), Some("[1] \"ß€😀\""));
    let ran = r.run("1\r\n'two'\r\nx <- 3\r\nx").await;
    assert_eq!((ran.stdout().as_str(), ran.value().as_deref()), ("[1] 1\n[1] \"two\"\n", Some("[1] 3")));
    let ran = r.run("setClass('P', representation(n = 'numeric'))\nsetMethod('show', 'P', function(object) cat('P of', object@n, '\\n'))\nnew('P', n = 3)").await;
    assert_eq!(ran.value().as_deref(), Some("P of 3 "), "{ran:#?}");
    let ran = r.run("print.mine <- function(x, ...) cat('mine\\n')\nstructure(1, class = 'mine')").await;
    assert_eq!(ran.value().as_deref(), Some("mine"), "{ran:#?}");
}

#[tokio::test]
async fn tables_are_text_and_html() {
    let r = r();
    let ran = r.run("df <- data.frame(city = c('Rome', '<Oslo>'), n = c(3, NA), f = factor(c('a', 'b')))\ndf").await;
    let [table] = ran.results().try_into().unwrap_or_else(|_| panic!("{ran:#?}"));
    assert!(table.is_main);
    assert_eq!(table.data["text/plain"], "    city  n f\n1   Rome  3 a\n2 <Oslo> NA b");
    assert_eq!(
        table.data["text/html"],
        "<table class=\"dataframe\">\n<thead>\n<tr><th></th><th>city</th><th>n</th><th>f</th></tr>\n</thead>\n<tbody>\n\
         <tr><th>1</th><td>Rome</td><td>3</td><td>a</td></tr>\n\
         <tr><th>2</th><td>&lt;Oslo&gt;</td><td>NA</td><td>b</td></tr>\n</tbody>\n</table>"
    );
    for (code, needle) in [
        ("matrix(1:4, 2)", "<th>V2</th>"),
        ("data.frame()", "<table"),
        ("df[0, ]", "<th>city</th>"),
        ("data.frame(n = 1:1000)", "<p>1000 rows × 1 columns</p>"),
        ("data.frame(d = as.Date('2024-02-03'), l = I(list(1:2)))", "<td>1, 2</td>"),
        ("aggregate(n ~ city, df, sum)", "<td>Rome</td>"),
    ] {
        let ran = r.run(code).await;
        let [table] = ran.results().try_into().unwrap_or_else(|_| panic!("{ran:#?}"));
        assert!(table.data["text/html"].as_str().is_some_and(|html| html.contains(needle)), "{code}: {table:#?}");
    }
    for code in ["1:3", "list(a = 1)", "table(c('a', 'b', 'a'))", "summary(lm(mpg ~ wt, mtcars))", "str"] {
        let ran = r.run(code).await;
        assert_eq!((&ran.end.outcome, ran.results()[0].data.len()), (&Outcome::Finished, 1), "{code}: {ran:#?}");
    }
}

#[tokio::test]
async fn plots_are_pictures() {
    let r = r();
    let ran = r.run("plot(1:10, main = 'ß')").await;
    assert_eq!((&ran.end.outcome, ran.stderr().as_str(), ran.value()), (&Outcome::Finished, "", None), "{ran:#?}");
    let [picture] = pictures(&ran).try_into().unwrap_or_else(|_| panic!("{ran:#?}"));
    let png = picture.data["image/png"].as_str().unwrap();
    assert!(png.starts_with("iVBORw0KGgo") && png.len() > 1000 && png.len() % 4 == 0, "{png:.50}");
    assert!(!picture.is_main);
    for (code, count) in [
        ("hist(rnorm(100)); lines(1:2)", 1),
        ("for (i in 1:3) plot(i)", 3),
        ("par(mfrow = c(1, 2)); plot(1); plot(2)", 1),
        ("curve(sin, 0, 6)\nabline(h = 0)", 1),
        ("barplot(table(c('a', 'b')))", 1),
        ("boxplot(mpg ~ cyl, mtcars); invisible()", 1),
        ("grid::grid.newpage(); grid::grid.text('x')", 1),
        ("1 + 1", 0),
        ("png('own.png'); plot(1); invisible(dev.off())", 0),
        ("pdf(NULL); plot(1); invisible(dev.off())", 0),
        ("plot(1); dev.off()", 1),
    ] {
        let ran = r.run(code).await;
        assert_eq!((&ran.end.outcome, pictures(&ran).len()), (&Outcome::Finished, count), "{code}: {ran:#?}");
    }
    assert!(r.workdir.path().join("own.png").exists() && !r.workdir.path().join("Rplots.pdf").exists());
    // What was drawn before an error is shown. Pictures and printed text come over two channels: which of two that were
    // made at the same moment is read first is not promised.
    let ran = r.run("plot(1)\nhead(mtcars)").await;
    let shown: Vec<bool> = ran.results().iter().map(|result| result.is_main).collect();
    assert_eq!(shown, [false, true], "a plot comes before the value that follows it: {ran:#?}");
    let ran = r.run("plot(1)\nstop('late')").await;
    assert_eq!((ran.error().value.as_str(), pictures(&ran).len()), ("late", 1));
    let ran = r.run("plot(1)\nplot(2)\ncat('after')\nplot(3)").await;
    assert_eq!((pictures(&ran).len(), ran.stdout().as_str()), (3, "after"), "{ran:#?}");
}

#[tokio::test]
async fn warnings_and_messages_are_on_stderr() {
    let r = r();
    let ran = r.run("message('note')\nf <- function() warning('careful')\nf()\nas.numeric('x')\ncat('out\\n')").await;
    assert_eq!(ran.end.outcome, Outcome::Finished, "{ran:#?}");
    assert_eq!(ran.stderr(), "note\nWarning in f() : careful\nWarning: NAs introduced by coercion\n");
    assert_eq!(ran.stdout(), "[1] NA\nout\n", "{ran:#?}");
    let ran = r.run("for (i in 1:60) warning(i)").await;
    assert!(ran.stderr().ends_with("Warning: 50\nThere were 10 more warnings\n"), "{ran:#?}");
    assert_eq!(r.output("cat(length(warnings()))").await, "50");
    let ran = r.run("suppressWarnings(f())\nsuppressMessages(message('x'))\nwithCallingHandlers(f(), warning = function(w) { cat('mine\\n'); invokeRestart('muffleWarning') })").await;
    assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("mine\n", ""), "{ran:#?}");
    let error = r.run("options(warn = 2)\nf()").await.error();
    assert!(error.value.contains("converted from warning") && error.value.contains("careful"), "{error:?}");
    r.run("options(warn = 0)").await;
    assert_eq!(r.run("write('err', stderr())\ncat('more\\n', file = stderr())").await.stderr(), "err\nmore\n");
}

#[tokio::test]
async fn an_error_has_name_value_and_the_users_calls() {
    let r = r();
    r.run("divide <- function(a, b) {\n  if (b == 0) stop('no division by zero')\n  a / b\n}").await;
    let ran = r.run("cat('before\\n')\nhalf <- function(n) divide(n, 0)\nhalf(1)\ncat('never')").await;
    let error = ran.error();
    assert_eq!((error.name.as_str(), error.value.as_str()), ("Error", "no division by zero"));
    assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("before\n", ""));
    assert_eq!(
        error.traceback,
        "Error in divide(n, 0) : no division by zero\nTraceback:\n\
         3: stop(\"no division by zero\")  at <cell 1>, line 2\n\
         2: divide(n, 0)  at <cell 2>, line 2\n\
         1: half(1)  at <cell 2>, line 3\n"
    );
    let error = r.run("1\nabsent + 1").await.error();
    assert_eq!((error.name.as_str(), error.value.as_str()), ("Error", "object 'absent' not found"));
    assert_eq!(error.traceback, "Error: object 'absent' not found\n  at <cell 3>, line 2\n");
    let error = r.run("log('x')").await.error();
    assert_eq!(error.value, "non-numeric argument to mathematical function");
    assert!(error.traceback.starts_with("Error in log(\"x\") : non-numeric"), "{error:?}");
    let error = r
        .run("stop(structure(class = c('http_error', 'error', 'condition'), list(message = 'gone', call = NULL)))")
        .await;
    assert_eq!((error.error().name.as_str(), error.error().value.as_str()), ("http_error", "gone"));
    let error = r.run("f <- function(n) f(n + 1)\nf(1)").await.error();
    assert!(error.value.contains("nested too deeply") || error.value.contains("stack"), "{error:?}");
    assert_eq!(
        r.value("tryCatch(stop('x'), error = function(e) 'caught', finally = cat('done'))").await.as_deref(),
        Some("[1] \"caught\"")
    );
    assert_eq!(
        r.run("try(stop('x'), silent = TRUE)\ninherits(try(log(-1:'a'), TRUE), 'try-error')").await.value().as_deref(),
        Some("[1] TRUE")
    );
    assert_eq!(r.value("divide(4, 2)").await.as_deref(), Some("[1] 2"));
}

#[tokio::test]
async fn a_syntax_error_points_at_its_place() {
    let r = r();
    let ran = r.run("cat('x')\nprint(x y)").await;
    let error = ran.error();
    assert_eq!((error.name.as_str(), error.value.as_str()), ("ParseError", "unexpected symbol (line 2, column 9)"));
    assert_eq!(error.traceback, "Error: <cell 1>:2:9: unexpected symbol\n1: cat('x')\n2: print(x y\n           ^\n");
    assert_eq!(ran.stdout(), "", "nothing of it ran");
    assert!(r.run("f <- function() {").await.error().value.contains("unexpected end of input"));
}

#[tokio::test]
async fn output_arrives_when_it_is_written() {
    let r = r();
    for code in [
        "cat('on')\nrepeat {}",
        "cat('on', file = stdout())\nwhile (TRUE) sqrt(2)",
        "system('printf on')\nrepeat {}",
        "print('on')\nrepeat {}",
    ] {
        let mut run = r.start(code);
        until(&mut run, "on").await;
        run.control().interrupt();
        let ran = finish(run).await;
        assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Cancelled, false), "{code}: {ran:#?}");
    }
    let mut run = r.start("message('on')\nrepeat {}");
    assert_eq!(next(&mut run).await, Some(CellEvent::Started));
    assert!(matches!(next(&mut run).await, Some(CellEvent::Stderr(text)) if text.starts_with("on")));
}

#[tokio::test]
async fn what_children_write_is_caught() {
    let r = r();
    let ran = r.run("cat('a\\n')\nsystem('echo b; echo c >&2')\ncat('d\\n')\nsystem2('echo', 'e')").await;
    assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("a\nb\nd\ne\n", "c\n"), "{ran:#?}");
    assert_eq!(r.value("system('echo x; echo y', intern = TRUE)").await.as_deref(), Some("[1] \"x\" \"y\""));
    assert_eq!(r.value("system('exit 3')").await, None);
    assert_eq!(r.value("status <- system('exit 3')\nstatus").await.as_deref(), Some("[1] 3"));
}

/// R cannot mark descriptors, so its shells close what is the kernel's own.
#[tokio::test]
async fn children_do_not_get_the_control_channel() {
    let r = r();
    r.run("connection <- file('own.txt', 'w')").await;
    let list = "ls -l /proc/self/fd | sed 's/.* -> //'";
    let control = r.value(r#"length(unique(Sys.readlink(c("/proc/self/fd/3", "/proc/self/fd/4"))))"#).await;
    assert_eq!(control.as_deref(), Some("[1] 2"), "the interpreter itself has it");
    for start in
        ["system(list, intern = TRUE)", "readLines(p <- pipe(list))", "system2('sh', c('-c', shQuote(list)), TRUE)"]
    {
        let code = format!(
            "list <- {list:?}\nchannel <- Sys.readlink(c('/proc/self/fd/3', '/proc/self/fd/4'))\n\
             open <- {start}\ncat(any(open %in% channel), any(grepl('Rscript', open)), any(grepl('null', open)))"
        );
        assert_eq!(r.output(&code).await, "FALSE FALSE TRUE", "{start}");
    }
    let ran = r.run("system('no-such-program')").await;
    assert_eq!(
        ran.stderr(),
        "sh: 1: no-such-program: not found\nWarning in system(\"no-such-program\") : error in running command\n"
    );
    assert!(r.run("system(5)").await.error().value.contains("character"));
    assert_eq!(r.output("system('cat', input = c('a', 'b'))").await, "a\nb\n");
}

#[tokio::test]
async fn input_without_anybody_is_at_its_end() {
    let r = r();
    let ran = r.run("name <- readline('name? ')\nprint(name)\nreadLines(stdin())\nreadLines(file('stdin'), 1)\nscan('stdin', quiet = TRUE)").await;
    assert_eq!(ran.end.outcome, Outcome::Finished, "{ran:#?}");
    assert_eq!(ran.stdout(), "name? \n[1] \"\"\ncharacter(0)\ncharacter(0)\n");
    assert_eq!(ran.value().as_deref(), Some("numeric(0)"));
}

#[tokio::test]
async fn input_asks_and_gets_its_answer() {
    let r = r();
    let code = "name <- readline('name? ')\ncat('hi', name, '\\n')\nlines <- readLines(stdin())\nlines";
    let mut run = r.kernel.run(Cell { code: code.to_owned(), timeout: PATIENCE, stdin: true });
    assert_eq!(next(&mut run).await, Some(CellEvent::Started));
    assert_eq!(next(&mut run).await, Some(CellEvent::InputRequest { prompt: "name? ".to_owned(), password: false }));
    let control = run.control();
    control.write_stdin("Ada \"ß\\😀\"".to_owned()).unwrap();
    assert_eq!(until(&mut run, "\n").await, "hi Ada \"ß\\😀\" \n");
    assert_eq!(next(&mut run).await, Some(CellEvent::InputRequest { prompt: String::new(), password: false }));
    control.write_stdin("one\ntwo\n".to_owned()).unwrap();
    control.write_stdin("three".to_owned()).unwrap();
    control.close_stdin();
    assert_eq!(control.write_stdin("late".to_owned()), Err(StdinError::Closed));
    let ran = finish(run).await;
    assert_eq!(ran.value().as_deref(), Some("[1] \"one\"   \"two\"   \"three\""), "{ran:#?}");
    let code = "con <- file('stdin')\nopen(con)\nn <- as.integer(readLines(con, n = 1))\nx <- scan(con, n = 2, quiet = TRUE)\nclose(con)\nt <- read.table(file('stdin'))\nsum(n, x, unlist(t))";
    let mut run = r.kernel.run(Cell { code: code.to_owned(), timeout: PATIENCE, stdin: true });
    let control = run.control();
    control.write_stdin("1\n".to_owned()).unwrap();
    control.write_stdin("20 300\n".to_owned()).unwrap();
    control.write_stdin("4000 50000\n".to_owned()).unwrap();
    control.close_stdin();
    assert_eq!(next(&mut run).await, Some(CellEvent::Started));
    let ran = finish(run).await;
    assert_eq!(ran.value().as_deref(), Some("[1] 54321"), "{ran:#?}");
}

#[tokio::test]
async fn waiting_for_input_can_be_interrupted() {
    let r = r();
    r.run("x <- 1").await;
    let cell = Cell { code: "readline('? ')".to_owned(), timeout: PATIENCE, stdin: true };
    let mut run = r.kernel.run(cell);
    while !matches!(next(&mut run).await, Some(CellEvent::InputRequest { .. })) {}
    run.control().interrupt();
    let ran = finish(run).await;
    assert_eq!((ran.end.outcome, ran.end.state_lost), (Outcome::Cancelled, false));
    assert_eq!(r.value("x").await.as_deref(), Some("[1] 1"));
}

#[tokio::test]
async fn a_loop_stops_at_its_timeout_and_keeps_the_state() {
    let r = r();
    r.run("x <- 'kept'").await;
    for code in [
        "repeat {}",
        "Sys.sleep(100)",
        "system('sleep 100')",
        "system2('sleep', '100'); x <- 'lost'",
        "repeat tryCatch(stop('x'), error = function(e) NULL)",
        "x <- 'kept'; for (i in 1:1e9) plot.new()",
    ] {
        let timeout = Duration::from_millis(300);
        let ran = r.run_for(code, timeout).await;
        assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::TimedOut(timeout), false), "{code}: {ran:#?}");
        assert!(!ran.events.iter().any(|(_, event)| matches!(event, CellEvent::Error(_))), "{code}: {ran:#?}");
    }
    assert_eq!(r.value("x").await.as_deref(), Some("[1] \"kept\""));
    assert!(processes_in(r.workdir.path()).len() <= 1);
}

#[tokio::test]
async fn quit_ends_the_cell_and_keeps_the_state() {
    let r = r();
    r.run("x <- 1").await;
    for (code, status, output) in [
        ("cat('bye')\nquit(status = 3)\ncat('never')", 3, "bye"),
        ("q('no')\ncat('never')", 0, ""),
        ("quit()", 0, ""),
        (
            "f <- function() { on.exit(cat('last')); tryCatch(q('no', 2), error = function(e) cat('caught')) }\nf()",
            2,
            "last",
        ),
        ("lapply(1:3, function(n) if (n == 2) q(status = 1L) else cat(n))", 1, "1"),
        (".Last <- function() cat('.Last')\nq()", 0, ".Last"),
        ("rm(.Last); q(runLast = FALSE)", 0, ""),
    ] {
        let ran = r.run(code).await;
        assert_eq!((ran.stdout().as_str(), ran.end.state_lost), (output, false), "{code}: {ran:#?}");
        if status == 0 {
            assert_eq!(ran.end.outcome, Outcome::Finished, "{code}");
        } else {
            let error = ran.error();
            let value = format!("quit(status = {status})");
            assert_eq!((error.name.as_str(), error.value.as_str()), ("ProcessExit", value.as_str()), "{code}");
        }
    }
    let ran = r.run("x").await;
    assert_eq!((ran.value().as_deref(), ran.end.execution_count), (Some("[1] 1"), 9));
    assert!(!r.workdir.path().join(".RData").exists());
    let forked = "library(parallel)\np <- mcparallel({ quit(status = 4); 1 })\ninvisible(mccollect(p))\n2";
    assert_eq!(r.value(forked).await.as_deref(), Some("[1] 2"), "a forked copy ends by it");
    let ran = r.run("tools::pskill(Sys.getpid(), tools::SIGKILL)\nSys.sleep(100)").await;
    assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Killed(Death::Signalled(9)), true));
    assert_eq!(r.value("exists('x')").await.as_deref(), Some("[1] FALSE"));
}

#[tokio::test]
async fn a_result_above_the_limit_says_so() {
    let r = kernel_with(Language::R, |limits| limits.max_control_frame = 10_000);
    let value = r.value("strrep('x', 20000)").await.unwrap();
    assert!(value.contains("character of 20") && value.contains("too large"), "{value}");
    assert_eq!(r.value("1").await.as_deref(), Some("[1] 1"));
}

#[tokio::test]
async fn what_is_no_text_does_not_break_the_channel() {
    let r = r();
    assert_eq!(r.output("cat('\\001\\002\\n')").await, "\u{1}\u{2}\n");
    let ran = r.run("warning('\\xff')\nstop('\\xff\\001\"\\\\')").await;
    assert!(!ran.error().value.is_empty(), "{ran:#?}");
    assert_eq!(r.value("'\\001\\t\"\\\\'").await.as_deref(), Some("[1] \"\\001\\t\\\"\\\\\""));
    assert_eq!(r.value("x <- '\\u00df'; Encoding(x)").await.as_deref(), Some("[1] \"UTF-8\""));
    assert_eq!(r.value("nchar('a\u{0}b')").await, r.value("nchar('ab')").await, "R knows no NUL");
}

#[tokio::test]
async fn a_forked_copy_does_not_speak_for_the_kernel() {
    let r = r();
    let ran = r.run("library(parallel)\nunlist(mclapply(1:4, function(n) n * n, mc.cores = 2))").await;
    assert_eq!(ran.value().as_deref(), Some("[1]  1  4  9 16"), "{ran:#?}");
    assert_eq!(r.value("2").await.as_deref(), Some("[1] 2"));
}

#[tokio::test]
async fn a_sink_of_the_program_takes_what_it_asked_for() {
    let r = r();
    let ran = r.run("x <- capture.output(print(1:3))\nx\nsink('out.txt')\n42\nsink()\ncat('back\\n')").await;
    assert_eq!(ran.stdout(), "[1] \"[1] 1 2 3\"\nback\n", "{ran:#?}");
    assert_eq!(std::fs::read_to_string(r.workdir.path().join("out.txt")).unwrap(), "[1] 42\n");
}

#[tokio::test]
async fn the_environment_is_the_kernels_own() {
    let r = r();
    std::fs::write(r.workdir.path().join(".Rprofile"), "cat('profile')\nx <- 1\n").unwrap();
    std::fs::write(r.workdir.path().join(".Renviron"), "FROM_FILE=1\n").unwrap();
    let out = r
        .output("cat(exists('x'), Sys.getenv('FROM_FILE') == '', Sys.getenv('HOME') == getwd(), Sys.getenv('LANG'), interactive())\ncat('', commandArgs(TRUE))")
        .await;
    assert_eq!(out, "FALSE TRUE TRUE C.UTF-8 FALSE ");
    assert_eq!(r.output("cat(rev(.packages()))").await, "base methods datasets utils grDevices graphics stats");
    assert_eq!(r.output("cat(system('echo $R_DEFAULT_PACKAGES$R_HOME', intern = TRUE) == R.home())").await, "TRUE");
    // Programs are compiled as R does it by itself.
    let looped = "f <- function(n) for (i in 1:n) i; f(9); f(9); cat(any(grepl('bytecode', capture.output(f))), compiler::enableJIT(-1))";
    assert_eq!(r.output(looped).await, "TRUE 3");
    assert_eq!(r.output("cat(Sys.getenv('R_ENABLE_JIT', 'unset'))").await, "unset");
}

#[tokio::test]
async fn connections_that_were_never_opened_are_left_alone() {
    let r = r();
    for make in ["file(tempfile())", "gzfile(tempfile())", "bzfile(tempfile())", "pipe('true')", "fifo(tempfile())"] {
        let made = format!("made <- lapply(1:20, function(i) {make}); cat(length(made))");
        assert_eq!(r.output(&made).await, "20", "{make}");
        assert_eq!(r.output("for (one in made) close(one); cat(length(made))").await, "20", "{make}");
    }
}

#[tokio::test]
async fn temporary_files_go_with_the_kernel() {
    let r = r();
    let dir = r.output("plot(1)\nwriteLines('x', tempfile())\ncat(tempdir())").await;
    // One directory in the session's, whatever R makes of it.
    let places = || std::fs::read_dir(r.workdir.root().join("tmp")).unwrap().count();
    let name = |dir: &str| Path::new(dir).parent().unwrap().file_name().unwrap().to_owned();
    let first = name(&dir);
    assert!(r.workdir.root().join("tmp").join(&first).join(Path::new(&dir).file_name().unwrap()).exists());
    let ran = r.run("system('setsid sleep 1000 &')\ntools::pskill(Sys.getpid(), 9)\nSys.sleep(100)").await;
    assert_eq!(ran.end.outcome, Outcome::Killed(Death::Signalled(9)));
    eventually("the directory is gone", || places() == 0).await;
    assert_eq!(processes_in(r.workdir.path()), []);
    assert_ne!(name(&r.output("cat(tempdir())").await), first);
    assert_eq!(places(), 1);
    r.kernel.shutdown().await;
    // A thread of its own removes them, whatever there is.
    eventually("the directory is gone", || places() == 0).await;
}

#[tokio::test]
async fn cells_are_quick() {
    let r = r();
    r.run("1").await;
    let start = Instant::now();
    for _ in 0..20 {
        r.run("1").await;
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn what_is_not_r_is_said_to_be_none() {
    let workdir = Workdir::new();
    for (interpreter, needle) in
        [("/absent/R", "/absent/R could not be run"), ("/bin/false", "`/bin/false CMD env` failed")]
    {
        let spec = spec(Language::R, interpreter, workdir.root());
        let outcome = finish(Kernel::new(spec).run(Cell::new("1", PATIENCE))).await.end.outcome;
        let Outcome::NotStarted(error @ StartError::Prepare { .. }) = outcome else { panic!("{outcome:?}") };
        assert!(error.to_string().contains(needle), "{error}");
    }
}

#[tokio::test]
async fn a_password_is_asked_for_as_one() {
    let r = r();
    let code = "readline('a '); getOption('askpass')('b ')";
    let (ran, _) = answered(&r, code, &["1", "2"]).await;
    assert_eq!(questions(&ran), [("a ", false), ("b ", true)], "{ran:#?}");
    assert_eq!(ran.value().as_deref(), Some("[1] \"2\""), "{ran:#?}");
    assert_eq!(r.value("is.null(getOption('askpass')('b '))").await.as_deref(), Some("[1] TRUE"), "nobody is there");
}
