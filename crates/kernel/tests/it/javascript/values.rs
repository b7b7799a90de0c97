//! Values as they are when the run ends, and what cannot be shown.

use std::time::Duration;

use agb_kernel::Outcome;

use super::node;

#[tokio::test]
async fn promises_are_shown_settled() {
    let node = node();
    let later = "const later = (value, ms = 30) => new Promise((done) => setTimeout(done, ms, value));";
    node.run(later).await;
    for (code, value) in [
        ("(async () => { await later(); return { ok: 1 } })()", Some("{ ok: 1 }")),
        ("later(7)", Some("7")),
        ("Promise.resolve('now')", Some("'now'")),
        ("(async () => { await later() })()", None),
        ("[later(1), later(2)]", Some("[ Promise { 1 }, Promise { 2 } ]")),
        ("({ in: { side: later(3) } })", Some("{ in: { side: Promise { 3 } } }")),
        ("new Map([[1, later(4)]])", Some("Map(1) { 1 => Promise { 4 } }")),
        ("Promise.all([later(1), 2])", Some("[ 1, 2 ]")),
        ("new Promise(() => {})", Some("Promise { <pending> }")),
        ("const rejected = Promise.reject(1); rejected.catch(() => {}); rejected", Some("Promise { <rejected> 1 }")),
        ("later(new Error('as a value')).then((e) => e.message)", Some("'as a value'")),
    ] {
        assert_eq!(node.value(code).await.as_deref(), value, "{code}");
    }
    let ran = node.run("(async () => { await later(); throw new RangeError('late') })()").await;
    assert_eq!((ran.error().name.as_str(), ran.value()), ("RangeError", None));
    let ran = node.run("later(1).then(() => process.exit(0))").await;
    assert_eq!((&ran.end.outcome, ran.value()), (&Outcome::Finished, None));
}

/// The code of an error is in its first line where node has it there, and once.
#[tokio::test]
async fn the_first_line_of_an_error_is_the_one_of_node() {
    let node = node();
    for (code, first) in [
        (
            "require('assert').strictEqual(1, 2)",
            "AssertionError [ERR_ASSERTION]: Expected values to be strictly equal:",
        ),
        (
            "Buffer.alloc('x')",
            "TypeError [ERR_INVALID_ARG_TYPE]: The \"size\" argument must be of type number. Received type string ('x')",
        ),
        (
            "class Own extends Error { constructor() { super('m'); this.name = 'Own'; this.code = 'ERR_OWN' } }\nthrow new Own()",
            "Own: m",
        ),
        ("throw Object.assign(new Error('plain'), { code: 'ERR_MINE' })", "Error: plain"),
        ("new URL('::')", "TypeError: Invalid URL"),
    ] {
        let error = node.run(code).await.error();
        assert_eq!(error.traceback.lines().next(), Some(first), "{code}: {error:?}");
    }
}

/// Every look at a program's object may throw, exit, recurse or never end.
#[tokio::test]
async fn what_does_not_like_to_be_looked_at_is_told_all_the_same() {
    const BAD: [&str; 10] = [
        "new Proxy({}, { get() { throw new Error('trap') } })",
        "new Proxy({}, new Proxy({}, { get() { throw new Error('trap') } }))",
        "new Proxy(function () {}, { getPrototypeOf() { throw 1 }, ownKeys() { throw 1 }, getOwnPropertyDescriptor() { throw 1 } })",
        "({ [Symbol.for('nodejs.util.inspect.custom')]() { throw new Error('custom') } })",
        "Object.assign(new Error('plain'), { [Symbol.for('nodejs.util.inspect.custom')]() { throw 1 } })",
        "Object.defineProperty(new Error('m'), 'stack', { get() { throw 1 } })",
        "({ get [Symbol.toStringTag]() { return this[Symbol.toStringTag] } })",
        "Object.defineProperties(new Error(), { message: { get() { throw 1 } }, name: { get() { throw 2 } }, cause: { get() { throw 3 } } })",
        "({ [Symbol.for('nodejs.util.inspect.custom')]() { return this[Symbol.for('nodejs.util.inspect.custom')]() } })",
        "Object.setPrototypeOf(new (class E extends Error { get name() { return Symbol('s') } get message() { return { toString() { throw 1 } } } }), Error.prototype)",
    ];
    let node = node();
    node.run("var kept = 1").await;
    for bad in BAD {
        for throw in [
            "throw V",
            "Promise.reject(V)",
            "setTimeout(() => { throw V }, 1)",
            "await Promise.reject(V)",
            "queueMicrotask(() => { throw V })",
        ] {
            let code = format!("{}; 0", throw.replace('V', bad));
            let ran = node.run(&code).await;
            assert!(matches!(ran.end.outcome, Outcome::Failed(_)) && !ran.end.state_lost, "{code}: {ran:#?}");
        }
        let ran = node.run(bad).await;
        assert_eq!((&ran.end.outcome, ran.results().len()), (&Outcome::Finished, 1), "{bad}: {ran:#?}");
        assert_eq!(ran.stderr(), "", "{bad}");
    }
    let error = node
        .run(
            "throw Object.assign(new TypeError('plain'), { [Symbol.for('nodejs.util.inspect.custom')]() { throw 1 } })",
        )
        .await
        .error();
    assert_eq!((error.name.as_str(), error.value.as_str()), ("TypeError", "plain"));
    assert!(error.traceback.starts_with("TypeError: plain\n"), "{error:?}");
    for (code, exit) in [("process.exit(3)", Some("process.exit(3)")), ("process.exit(0)", None)] {
        let look = format!("{{ [Symbol.for('nodejs.util.inspect.custom')]() {{ {code} }} }}");
        for code in [format!("({look})"), format!("throw {look}")] {
            let ran = node.run(&code).await;
            assert!(!ran.end.state_lost, "{code}: {ran:#?}");
            match exit {
                Some(exit) => assert_eq!(ran.error().value, exit, "{code}"),
                None => assert_eq!(ran.end.outcome, Outcome::Finished, "{code}"),
            }
        }
    }
    for look in [
        "({ [Symbol.for('nodejs.util.inspect.custom')]() { for (;;) ; } })",
        "throw { get [Symbol.toStringTag]() { for (;;) ; } }",
    ] {
        let ran = node.run_for(look, Duration::from_millis(80)).await;
        assert!(matches!(ran.end.outcome, Outcome::TimedOut(_)) && !ran.end.state_lost, "{look}: {ran:#?}");
    }
    assert_eq!(node.value("kept").await.as_deref(), Some("1"));
}
