//! Principles 3 and 4, of values: whatever a value does when it is looked at - to be shown, or to be told as an error - its run
//! ends, the interpreter lives on, and what is thrown is a failure. `python_properties.rs` has Python. The values are made by
//! chance: `AGB_TEST_SEED` repeats them.

use agb_kernel::{Language, Outcome};

use crate::principles::{is_in_order, keep};
use crate::random::Random;

/// How many values of each language, in one interpreter.
const VALUES: usize = 25;

/// `V` within other values.
fn wrapped(random: &mut Random, ways: &[&'static str], value: &str) -> String {
    (0..random.below(3)).fold(value.to_owned(), |value, _| random.pick(ways).replace('V', &value))
}

#[tokio::test]
async fn whatever_a_value_of_r_does_ends_its_run_only() {
    const METHODS: [&str; 20] = [
        "print",
        "format",
        "as.character",
        "length",
        "dim",
        "dimnames",
        "names",
        "[",
        "[[",
        "$",
        "as.list",
        "as.data.frame",
        "toString",
        "row.names",
        "conditionMessage",
        "conditionCall",
        "is.na",
        "levels",
        "rep",
        "unique",
    ];
    const BODIES: [&str; 17] = [
        // `stop` asks first, and then whoever tells of the error.
        "if (later()) stop('no')",
        "if (later()) q(status = 3)",
        "if (later()) invokeRestart('abort')",
        "stop('no')",
        "NULL",
        "character()",
        "'\\xff'",
        "q(status = 3)",
        "invokeRestart('abort')",
        "structure(list(1), class = 'k')",
        "cat('printing')",
        "NA",
        "-1L",
        "list(x)",
        "warning('w')",
        "readline('? ')",
        "(function(n) sys.function()(n))(x)",
    ];
    const VALUES_OF_K: [&str; 7] = [
        "structure(list(1, 'a'), class = 'k')",
        "structure(1:3, class = 'k')",
        "structure(list(a = 1:2), class = c('k', 'data.frame'), row.names = 1:2)",
        "structure(matrix(1:4, 2), class = c('k', 'matrix'))",
        "structure(function() 1, class = 'k')",
        "structure(quote(a + b), class = 'k')",
        "structure(factor('f'), class = c('k', 'factor'))",
    ];
    const AROUND: [&str; 6] = [
        "list(V)",
        "list(a = V, b = 2)",
        "structure(1, at = V)",
        "local({ e <- new.env(); e$v <- V; e })",
        "local({ d <- data.frame(n = 1); d$v <- I(list(V)); d })",
        "pairlist(V)",
    ];
    let mut random = Random::new();
    let r = keep(Language::R).await;
    for _ in 0..VALUES {
        let mut code = "calls <- 0; later <- function() { calls <<- calls + 1; calls > 1 }\n".to_owned();
        for _ in 0..=random.below(3) {
            let (method, body) = (random.pick(&METHODS), random.pick(&BODIES));
            code += &format!("`{method}.k` <- function(x, ...) {body}\n");
        }
        let thrown = random.below(3) == 0;
        if thrown {
            code += "stop(structure(class = c('k', 'error', 'condition'), list(message = 'told', call = NULL)))";
        } else {
            let value = random.pick(&VALUES_OF_K);
            code += &wrapped(&mut random, &AROUND, value);
        }
        println!("{code}\n---");
        let ran = r.run(&code).await;
        assert!(!ran.end.state_lost, "{code}: {ran:#?}");
        // `stop` itself asks for the message, and a method of the program's may abort it there: that is no failure.
        let must_fail = thrown && !code.contains("abort");
        match ran.end.outcome {
            Outcome::Failed(_) => {}
            ref outcome => assert!(!must_fail && *outcome == Outcome::Finished, "{code}: {ran:#?}"),
        }
        r.run("rm(list = setdiff(ls(all.names = TRUE), 'kept')); options(warn = 0)").await;
        is_in_order(&r, Language::R, &code).await;
    }
}

#[tokio::test]
async fn whatever_a_value_of_java_does_ends_its_run_only() {
    const BODIES: [&str; 8] = [
        "throw new Error(\"no\");",
        "return null;",
        "return this.toString() + 1;",
        "return \"x\".repeat(3_000_000);",
        "Thread.currentThread().interrupt(); return \"i\";",
        "System.out.close(); System.setErr(null); return \"c\";",
        "throw null;",
        "return \"\\ud800\";",
    ];
    const AROUND: [&str; 7] = [
        "List.of(V)",
        "new Object[] { V, null }",
        "Map.of(\"k\", V)",
        "Optional.of(V)",
        "new Held(V)",
        "new Object[][] { { V } }",
        "new StringBuilder().append((Object) V)",
    ];
    const MADE: [&str; 6] = [
        "@Override public String getMessage() { BODY }",
        "@Override public String getLocalizedMessage() { BODY }",
        "@Override public String toString() { BODY }",
        "@Override public synchronized Throwable getCause() { return this; }",
        "@Override public StackTraceElement[] getStackTrace() { return null; }",
        "@Override public synchronized Throwable fillInStackTrace() { throw new Error(\"no trace\"); }",
    ];
    let mut random = Random::new();
    let java = keep(Language::Java).await;
    java.run("record Held(Object value) {}").await;
    for round in 0..VALUES {
        let thrown = random.below(2) == 0;
        let code = if thrown {
            let methods: String = (0..=random.below(2))
                .map(|_| random.below(MADE.len()))
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .map(|at| MADE[at].replace("BODY", random.pick(&BODIES)))
                .collect();
            format!("class E{round} extends RuntimeException {{ {methods} }}\nthrow new E{round}();")
        } else {
            let value = wrapped(&mut random, &AROUND, &format!("new K{round}()"));
            let body = random.pick(&BODIES);
            format!("class K{round} {{ @Override public String toString() {{ {body} }} }}\n{value}")
        };
        println!("{code}\n---");
        let ran = java.run(&code).await;
        assert!(!ran.end.state_lost, "{code}: {ran:#?}");
        match ran.end.outcome {
            Outcome::Failed(_) => {}
            ref outcome => assert!(!thrown && *outcome == Outcome::Finished, "{code}: {ran:#?}"),
        }
        is_in_order(&java, Language::Java, &code).await;
    }
}

#[tokio::test]
async fn whatever_a_value_of_javascript_does_ends_its_run_only() {
    const BODIES: [&str; 9] = [
        "throw new Error('no')",
        "throw null",
        "return undefined",
        "return null",
        "return {}",
        "return this",
        "return Symbol('s')",
        "return V.toString()",
        "process.stdout.end(); return 'c'",
    ];
    const PROPERTIES: [&str; 12] = [
        "get message",
        "get name",
        "get stack",
        "get cause",
        "get constructor",
        "get [Symbol.toStringTag]",
        "get then",
        "toString",
        "[Symbol.toPrimitive]",
        "[Symbol.for('nodejs.util.inspect.custom')]",
        "[Symbol.iterator]",
        "get errors",
    ];
    const TRAPS: [&str; 6] = ["get", "has", "ownKeys", "getOwnPropertyDescriptor", "getPrototypeOf", "isExtensible"];
    const AROUND: [&str; 8] = [
        "[V]",
        "({ a: V, b: [V] })",
        "new Map([[V, V]])",
        "new Set([V])",
        "new Error('around', { cause: V })",
        "new AggregateError([V], 'many')",
        "new (class Own { v = V })()",
        "Object.create(V)",
    ];
    const USES: [&str; 6] = [
        "throw H",
        "await (async () => { throw H })()",
        "Promise.reject(H); 0",
        "setTimeout(() => { throw H }, 1); 0",
        "new Promise((_, reject) => setImmediate(() => reject(H)))",
        "process.nextTick(() => { throw H }); 0",
    ];
    let mut random = Random::new();
    let node = crate::support::kernel(Language::JavaScript);
    node.run("var kept = 41").await;
    for _ in 0..VALUES {
        let mut members = Vec::new();
        let is_proxy = random.below(3) == 0;
        for _ in 0..=random.below(3) {
            let body = random.pick(&BODIES);
            members.push(if is_proxy {
                format!("{}() {{ {body} }}", random.pick(&TRAPS))
            } else {
                format!("{}() {{ {body} }}", random.pick(&PROPERTIES))
            });
        }
        let members = members.join(", ");
        let base = random.pick(&["{}", "new Error('told')", "function () {}", "[1]"]);
        let made = if is_proxy {
            format!("new Proxy({base}, {{ {members} }})")
        } else {
            format!("Object.defineProperties({base}, Object.getOwnPropertyDescriptors({{ {members} }}))")
        };
        let value = wrapped(&mut random, &AROUND, "V");
        let thrown = random.below(2) == 0;
        let usage = if thrown { random.pick(&USES) } else { "H" };
        // Some are none: an array's own property, or a proxy that must not answer so. Then there is nothing to show.
        let code = format!(
            "var V, H;\nV = {made};\ntry {{ H = {value} }} catch {{ H = V }}\n{usage}",
            made = made,
            value = value
        );
        println!("{code}\n---");
        let ran = node.run(&code).await;
        assert!(!ran.end.state_lost, "{code}: {ran:#?}");
        match ran.end.outcome {
            Outcome::Failed(_) => {}
            ref outcome => assert!(!thrown && *outcome == Outcome::Finished, "{code}: {ran:#?}"),
        }
        let ran = node.run("console.log('out'); console.error('err'); kept + 1").await;
        assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("out\n", "err\n"), "after {code}: {ran:#?}");
        assert_eq!(ran.value().as_deref(), Some("42"), "after {code}: {ran:#?}");
        assert_eq!(node.run("throw new Error('told')").await.error().value, "told", "after {code}");
    }
}
