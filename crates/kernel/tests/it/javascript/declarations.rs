//! Names that are declared again by a later cell.

use agb_kernel::Outcome;

use super::node;
use crate::random::Random;

/// How a name is declared with a value, how the value is read, and what a read shows for 7.
const KINDS: [(&str, &str, &str, &str); 12] = [
    ("let", "let NAME = VALUE", "NAME", "7"),
    ("const", "const NAME = VALUE", "NAME", "7"),
    ("var", "var NAME = VALUE", "NAME", "7"),
    ("function", "function NAME() { return VALUE }", "NAME()", "7"),
    ("async function", "async function NAME() { return VALUE }", "await NAME()", "7"),
    ("class", "class NAME { static v() { return VALUE } }", "NAME.v()", "7"),
    ("object pattern", "const { NAME, other_NAME } = { NAME: VALUE }", "NAME", "7"),
    ("array pattern", "let [NAME] = [VALUE]", "NAME", "7"),
    ("a changed variable", "let NAME = VALUE - 1; NAME += 1", "NAME", "7"),
    ("a later value", "let NAME; NAME = VALUE", "NAME", "7"),
    ("import", "import { sep as NAME } from 'path'", "NAME", "'/'"),
    ("a loop", "for (var NAME = 0; NAME < VALUE; NAME++) ;", "NAME", "7"),
];

#[tokio::test]
async fn every_kind_of_name_can_become_every_other() {
    let node = node();
    let mut number = 0;
    let failing = [("a failed const", "const NAME = null.x"), ("a failed let", "let NAME = null.x")];
    for (before, first) in KINDS.iter().map(|(kind, first, ..)| (*kind, *first)).chain(failing) {
        for (after, second, read, shown) in KINDS {
            if after == "a loop" && !matches!(before, "var" | "let" | "a loop" | "function") {
                continue; // its variable belongs to the loop then
            }
            number += 1;
            let text = |code: &str, value: &str| code.replace("NAME", &format!("n{number}")).replace("VALUE", value);
            let ran = node.run(&text(first, "5")).await;
            assert!(!ran.end.state_lost, "{before}");
            node.output(&text(second, "7")).await;
            assert_eq!(node.value(&text(read, "")).await.as_deref(), Some(shown), "{before}, then {after}");
        }
    }
}

/// Any number of times, in any order, and whatever has failed in between.
#[tokio::test]
async fn a_name_is_declared_again_for_ever() {
    const FAILING: [&str; 7] = [
        "const NAME = null.x",
        "let NAME = null.x",
        "let NAME = 1; NAME += 1; null.x",
        "const [NAME, last_NAME] = [1, null.x]",
        "class NAME { static v = null.x }",
        "let NAME = 2, NAME = 3",
        "const NAME = await new Promise(() => {})",
    ];
    let mut random = Random::new();
    for round in 0..4 {
        let node = node();
        let mut told = String::new();
        for step in 0..25 {
            let code = |text: &str| text.replace("NAME", &format!("n{round}")).replace("VALUE", "7");
            if random.below(3) == 0 {
                let failing = code(random.pick(&FAILING));
                told += &format!("{failing}\n");
                assert!(!node.run(&failing).await.end.state_lost, "{told}");
                continue;
            }
            let (kind, text, read, shown) = KINDS[random.below(KINDS.len())];
            if kind == "a loop" {
                continue; // its variable may belong to the loop
            }
            told += &format!("{}\n", code(text));
            let ran = node.run(&code(text)).await;
            assert_eq!(ran.end.outcome, Outcome::Finished, "{told}step {step}: {ran:#?}");
            assert_eq!(node.value(&code(read)).await.as_deref(), Some(shown), "{told}");
        }
    }
}

#[tokio::test]
async fn a_constant_that_became_a_variable_is_one_name_for_all_cells() {
    let node = node();
    node.run(
        "const total = 1; var read = () => total; class Sum { total = 3; plus(total) { return this.total + total } }",
    )
    .await;
    let code = "let total = 0; for (let i = 1; i < 5; i++) total += i;\n[`${total}`, { total }, { total: 1 }.total, new Sum().plus(total)]";
    assert_eq!(node.value(code).await.as_deref(), Some("[ '10', { total: 10 }, 1, 13 ]"));
    assert_eq!(node.value("[total, read()]").await.as_deref(), Some("[ 10, 10 ]"));
    assert_eq!(node.value("total += 5; const { total: copy } = { total }; copy").await.as_deref(), Some("15"));
    assert_eq!(node.value("[total, read()]").await.as_deref(), Some("[ 15, 15 ]"));
    assert_eq!(node.value("const total = 'again'; total").await.as_deref(), Some("'again'"));
}

#[tokio::test]
async fn what_is_wrong_in_one_cell_stays_wrong() {
    let node = node();
    let error = node.run("let twice = 1;\nlet twice = 2").await.error();
    assert_eq!(error.value, "Identifier 'twice' has already been declared");
    assert!(error.traceback.starts_with("cell-1.js:2\nlet twice = 2\n    ^\n"), "{}", error.traceback);
    let error = node.run("const fixed = 1; fixed = 2").await.error();
    assert_eq!((error.name.as_str(), error.value.as_str()), ("TypeError", "Assignment to constant variable."));
    assert_eq!(node.run("fixed = 3").await.error().name, "TypeError", "in a later cell as well");
    assert_eq!(node.run("await 1; eval('let inner; let inner')").await.error().name, "SyntaxError");
}

/// No keyword suits all of them: one of the names gets another behind the scenes.
#[tokio::test]
async fn variables_of_different_kinds_are_declared_again_together() {
    for (first, second, value) in [
        ("const a = 1; let b = 2", "const a = 3, b = 4; [a, b]", "[ 3, 4 ]"),
        ("const a = 1; let b = 2", "let a = 3, b = 4; b++; a++; [a, b]", "[ 4, 5 ]"),
        (
            "var a = 1; let b = 2; const c = 3",
            "const { a, b: [b], c } = { a: 4, b: [5], c: 6 }; [a, b, c]",
            "[ 4, 5, 6 ]",
        ),
        ("function a() {} let b = 2; class c {}", "let a = 1, b = 2, c = 3; [a, b, c]", "[ 1, 2, 3 ]"),
        ("var a = 1; const b = 2", "var a = 3, b = 4; [a, b]", "[ 3, 4 ]"),
    ] {
        let node = node();
        node.run(&format!("{first}; globalThis.read = () => [a, b]")).await;
        assert_eq!(node.value(second).await.as_deref(), Some(value), "{first}; {second}");
        let both = "String([a, b]) === String(read())";
        assert_eq!(node.value(both).await.as_deref(), Some("true"), "{first}; {second}: earlier cells see the same");
        assert_eq!(node.value(second).await.as_deref(), Some(value), "{first}; {second}, once more");
    }
}
