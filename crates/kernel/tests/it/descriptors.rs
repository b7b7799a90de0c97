//! What programs do with descriptors 0, 1 and 2 by number, and with other names of standard input.

use agb_kernel::{Language, Outcome};

use crate::support::{answered, kernel};

/// The file that is opened next is not the descriptor: what is printed never lands in a user's file.
#[tokio::test]
async fn python_files_never_become_a_descriptor_that_was_closed() {
    let python = kernel(Language::Python);
    for close in [
        "os.close(1)",
        "os.close(sys.stdout.fileno())",
        "fd = 1; os.close(fd)",
        "os.close(1); os.close(1)",
        "os.close(2); os.close(0)",
        "os.closerange(0, 3)",
        "os.closerange(1, 2)",
        "for fd in (0, 1, 2): os.close(fd)",
    ] {
        let code = format!(
            "import os, sys\n{close}\nf = open('log.csv', 'w'); number = f.fileno()\nprint('three')\nos.write(1, b'four')\n\
             print('five', file=sys.stderr)\nf.write('mine'); f.close(); own = open('log.csv').read()"
        );
        let ran = python.run(&code).await;
        assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Finished, false), "{close}: {ran:#?}");
        let ran = python.run("print(number > 2, own)\nprint('err', file=sys.stderr)").await;
        assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("True mine\n", "err\n"), "{close}: {ran:#?}");
    }
    for (code, output) in [
        ("os.close(os.open('log.csv', os.O_RDONLY))\nprint('closed')", "closed\n"),
        ("try: os.close(999)\nexcept OSError as error: print(error.errno)", "9\n"),
        (
            "try: os.close()\nexcept TypeError as error: print(error)",
            "close() missing required argument 'fd' (pos 1)\n",
        ),
        // Something else of that name.
        ("class os:\n    def close(n=5): return n\nprint(os.close(1), os.close())\nimport os", "1 5\n"),
        (
            "r, w = os.pipe()\nif os.fork() == 0:\n    os.close(1); n = os.dup(w); os.write(w, b'%d' % n); os._exit(0)\nprint(os.read(r, 9), os.wait()[1])",
            "b'1' 0\n",
        ),
    ] {
        assert_eq!(python.output(code).await, output, "{code}");
    }
}

/// What threads of earlier runs do to the streams of the next one, before it begins.
#[tokio::test]
async fn python_begins_with_streams_that_nobody_has_changed() {
    let python = kernel(Language::Python);
    python
        .run("import os, sys, threading, time\ndef later(work):\n    def wait():\n        while not os.path.exists('go'): time.sleep(0.001)\n        \
              work(); open('done', 'w').close()\n    threading.Thread(target=wait).start()")
        .await;
    for work in [
        "sys.stdout.close()",
        "sys.stderr.close()",
        "sys.stdin.close()",
        "sys.stdout.buffer.close()",
        "sys.stderr.buffer.raw.close()",
        "sys.stdout.detach()",
        "sys.stdout.reconfigure(encoding='utf-16', newline='\\r\\n')",
        "setattr(sys, 'stdout', None)",
        "delattr(sys, 'stdin')",
        "os.close(1)",
    ] {
        python.run(&format!("later(lambda: {work})")).await;
        let at = |name: &str| python.workdir.path().join(name);
        std::fs::write(at("go"), "").unwrap();
        crate::support::eventually("it has happened", || at("done").exists()).await;
        let (ran, _) = answered(&python, "print('é', input()); print('err', file=sys.stderr)", &["in"]).await;
        assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("é in\n", "err\n"), "{work}: {ran:#?}");
        ["go", "done"].iter().for_each(|name| std::fs::remove_file(at(name)).unwrap());
    }
}

/// A program may forbid to open anything, for good: its runs say so, and nothing hangs or is lost.
#[tokio::test]
async fn an_audit_hook_that_forbids_everything_is_an_error_of_the_runs() {
    let python = kernel(Language::Python);
    python.run("import sys\nkept, on = 1, False\ndef hook(event, _):\n    if on and event == 'open': raise RuntimeError('forbidden')\nsys.addaudithook(hook)").await;
    assert_eq!(python.output("on = True\nprint(kept)").await, "1\n");
    for _ in 0..2 {
        let ran = python.run("print(kept)").await;
        assert_eq!((ran.error().name.as_str(), ran.end.state_lost), ("RuntimeError", false), "{ran:#?}");
    }
}

#[tokio::test]
async fn java_reads_the_input_by_its_descriptor() {
    let java = kernel(Language::Java);
    for (code, pieces, value) in [
        ("new FileInputStream(FileDescriptor.in).read()", &["a"][..], "97"),
        ("new BufferedReader(new FileReader(FileDescriptor.in)).readLine()", &["ä b"], "\"ä b\""),
        ("new java.io.FileInputStream( java.io.FileDescriptor.in ).readAllBytes().length", &["12\n", "3"], "5"),
        ("new String(new FileInputStream(\"/dev/stdin\").readNBytes(2))", &["xyz"], "\"xy\""),
        ("new Scanner(new\nFileInputStream(FileDescriptor.in)).nextInt()", &["42"], "42"),
        (
            "var in = new DataInputStream(new BufferedInputStream(new FileInputStream(FileDescriptor.in)));\n\
             int a = in.readByte(), b = in.readByte();\na * 1000 + b",
            &["AB"],
            "65066",
        ),
        (
            "try (FileInputStream once = new FileInputStream(FileDescriptor.in)) { once.read(); }\n\
             new FileInputStream(FileDescriptor.in).read()",
            &["ab"],
            "98",
        ),
    ] {
        let (ran, prompts) = answered(&java, code, pieces).await;
        assert_eq!((ran.value().as_deref(), prompts.is_empty()), (Some(value), false), "{code}: {ran:#?}");
    }
    // What is no such call stays what it is.
    for (code, value) in [
        ("\"new FileInputStream(FileDescriptor.in)\"", "\"new FileInputStream(FileDescriptor.in)\""),
        ("/* new FileReader(FileDescriptor.in) */ 1 // new FileReader(FileDescriptor.in)", "1"),
        ("'\"' + \"//\" + new FileInputStream(FileDescriptor.in).available()", "\"\\\"//0\""),
        ("new FileInputStream(FileDescriptor.in).read()", "-1"),
    ] {
        assert_eq!(java.value(code).await.as_deref(), Some(value), "{code}");
    }
    let error = java.run("int x = new FileInputStream(FileDescriptor.in) + nothing;").await.error();
    assert!(error.traceback.contains("new FileInputStream(FileDescriptor.in) + nothing"), "{error:?}");
}

#[tokio::test]
async fn r_reads_the_input_in_bytes_and_characters() {
    let r = kernel(Language::R);
    for (code, pieces, value) in [
        ("rawToChar(readBin(file('stdin'), 'raw', 100))", &["ab\n", "c"][..], "[1] \"ab\\nc\\n\""),
        ("readBin(file('stdin', 'rb'), 'raw', 2)", &["abc"], "[1] 61 62"),
        ("readBin('/dev/stdin', raw(), 1)", &["abc"], "[1] 61"),
        ("readBin(stdin(), integer(), 1, size = 1)", &["A"], "[1] 65"),
        ("readBin(file('stdin'), 'character', 1)", &["a b", "c"], "[1] \"a b\\nc\\n\""),
        ("readChar(file('stdin'), 3)", &["aä", "b"], "[1] \"aä\\n\""),
        ("readChar(file('stdin'), c(1, 2))", &["äöü"], "[1] \"ä\"  \"öü\""),
        ("readChar(stdin(), 2, useBytes = TRUE)", &["abc"], "[1] \"ab\""),
        (
            "con <- file('stdin'); open(con); c(readChar(con, 1), readLines(con, 1), readLines(con))",
            &["ab\n", "c\n"],
            "[1] \"a\" \"b\" \"c\"",
        ),
        (
            "con <- file('stdin'); c(readLines(con, 1), rawToChar(readBin(con, 'raw', 2)))",
            &["ab\ncd\n"],
            "[1] \"ab\" \"cd\"",
        ),
        ("eval(parse(file('stdin')))", &["x <- 2", "x * 3"], "[1] 6"),
        ("eval(parse('stdin'))", &["1 +", "4"], "[1] 5"),
        ("source(file('stdin'))$value", &["x <- 2", "x * 4"], "[1] 8"),
        ("file.choose()", &["data.csv"], "[1] \"data.csv\""),
        ("as.character(read.dcf(file('stdin')))", &["A: 1", "B: 2"], "[1] \"1\" \"2\""),
    ] {
        let (ran, prompts) = answered(&r, code, pieces).await;
        assert_eq!((ran.value().as_deref(), prompts.is_empty()), (Some(value), false), "{code}: {ran:#?}");
    }
    // At the end, and what is no standard input.
    for (code, value) in [
        ("length(readBin(file('stdin'), 'raw', 10))", "[1] 0"),
        ("readChar(stdin(), 5)", "character(0)"),
        ("tryCatch(file.choose(), error = conditionMessage)", "[1] \"file choice cancelled\""),
        ("readBin(as.raw(1:3), 'raw', 2)", "[1] 01 02"),
        ("writeLines('1 + 1', 'p.R'); eval(parse('p.R'))", "[1] 2"),
        ("eval(parse(text = '2 + 3'))", "[1] 5"),
        ("readChar('p.R', 3)", "[1] \"1 +\""),
        (
            "conditionMessage(tryCatch(parse(text = '1 +'), error = identity))",
            "[1] \"<text>:2:0: unexpected end of input\\n1: 1 +\\n   ^\"",
        ),
        (
            "deparse(conditionCall(tryCatch(parse(text = '1 +'), error = identity)))",
            "[1] \"parse(text = \\\"1 +\\\")\"",
        ),
    ] {
        assert_eq!(r.value(code).await.as_deref(), Some(value), "{code}");
    }
}
