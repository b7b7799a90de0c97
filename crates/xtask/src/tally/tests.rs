//! Outputs as the runners print them.

use super::*;

fn counts(tally: &Tally) -> (usize, usize) {
    (tally.passed, tally.failed)
}

const CARGO: &str = "\
    Finished `test` profile [optimized + debuginfo] target(s) in 0.05s
     Running unittests src/lib.rs (target/debug/deps/agb_core-1f2e)

running 3 tests
test wire::reads_a_frame ... ok
test wire::slow ... ignored, takes a minute
test wire::later ... ignored

test result: ok. 1 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s

     Running tests/it/main.rs (target/debug/deps/it-2b)

running 1 test
test walk ... FAILED

failures:

---- walk stdout ----
test result: ok. 70 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
panicked

test result: FAILED. 4 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s

error: test failed, to rerun pass `-p agb-core --test it`
   Doc-tests agb_core

running 2 tests
..
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.20s

running 1 test
.
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s

all doctests ran in 0.30s; merged doctests compilation took 0.10s
";

#[test]
fn cargo_sums_programs_and_doc_tests() {
    let tally = cargo_test(CARGO);
    assert_eq!(counts(&tally), (8, 1));
    assert_eq!(tally.ignored, ["wire::slow: takes a minute", "wire::later"]);
    assert_eq!(tally.notes, [] as [&str; 0]);
}

#[test]
fn cargo_counts_a_program_that_crashed() {
    let crashed = "
     Running unittests src/lib.rs (target/debug/deps/a-1)

running 2 tests
error: test failed, to rerun pass `-p a --lib`

Caused by:
  process didn't exit successfully: `target/debug/deps/a-1` (signal: 11, SIGSEGV: invalid memory reference)
     Running unittests src/lib.rs (target/debug/deps/b-1)

running 1 test
test it ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
    let tally = cargo_test(crashed);
    assert_eq!(counts(&tally), (1, 1));
    assert_eq!(tally.notes, ["unittests src/lib.rs (target/debug/deps/a-1) died without a result"]);
}

#[test]
fn cargo_in_colour_reads_the_same() {
    let coloured = "\x1b[1m\x1b[92m     Running\x1b[0m unittests src/lib.rs (target/debug/deps/a-1)\n\
                    test result: \x1b[32mok\x1b[m. 3 passed; 0 failed; 0 ignored; 0 measured\n";
    assert_eq!(counts(&cargo_test(coloured)), (3, 0));
}

#[test]
fn cargo_that_did_not_compile_is_one_failure() {
    let mut tally = cargo_test("error[E0308]: mismatched types\nerror: could not compile `agb-core`\n");
    tally.settle(false, "exit code 101");
    assert_eq!(counts(&tally), (0, 1));
    assert_eq!(tally.notes, ["no test failed, and yet it ended with exit code 101"]);
}

const NODE_TAP: &str = "\
TAP version 13
# pass 99
# Subtest: runs
ok 1 - runs
  ---
  duration_ms: 0.5
  ...
1..1
# tests 4
# suites 1
# pass 3
# fail 1
# cancelled 0
# skipped 0
# todo 0
# duration_ms 41.3
";

#[test]
fn node_reads_tap_and_is_not_fooled_by_what_tests_print() {
    assert_eq!(counts(&node_test(NODE_TAP)), (3, 1));
    let printed_first = format!("# tests 7\n{NODE_TAP}");
    assert_eq!(counts(&node_test(&printed_first)), (3, 1));
}

#[test]
fn node_reads_the_spec_reporter_and_sums_runs() {
    let spec = NODE_TAP.replace("# ", "ℹ ");
    assert_eq!(counts(&node_test(&format!("{spec}{NODE_TAP}"))), (6, 2));
    let coloured: String = spec.lines().map(|line| format!("\x1b[34m{line}\x1b[39m\n")).collect();
    assert_eq!(counts(&node_test(&coloured)), (3, 1));
}

#[test]
fn node_counts_cancelled_skipped_and_todo_as_failed() {
    let output = "# tests 6\n# suites 0\n# pass 2\n# fail 1\n# cancelled 1\n# skipped 1\n# todo 1\n# duration_ms 4\n";
    let tally = node_test(output);
    assert_eq!(counts(&tally), (2, 4));
    assert_eq!(tally.notes, ["2 skipped, which counts as failed"]);
}

#[test]
fn node_without_a_summary_ran_nothing() {
    let mut tally = node_test("# tests 3\n# pass 3\nSegmentation fault\n");
    tally.settle(true, "exit code 0");
    assert_eq!(counts(&tally), (0, 1));
    assert_eq!(tally.notes, ["it ran no test"]);
}

#[test]
fn unittest_reads_its_verdicts() {
    let ok = "test_run (q.Q.test_run) ... ok\n\n-----\nRan 3 tests in 6.1s\n\nOK\n";
    assert_eq!(counts(&unittest(ok)), (3, 0));
    let failed = "Ran 5 tests in 0.1s\n\nFAILED (failures=1, errors=2)\n";
    assert_eq!(counts(&unittest(failed)), (2, 3));
    let skipped = "Ran 2 tests in 0.1s\n\nOK (skipped=1)\n";
    let tally = unittest(skipped);
    assert_eq!(counts(&tally), (1, 1));
    assert_eq!(tally.notes, ["1 skipped, which counts as failed"]);
}

#[test]
fn unittest_knows_broken_set_up_and_a_missing_verdict() {
    assert_eq!(counts(&unittest("Ran 0 tests in 0.1s\n\nFAILED (errors=1)\n")), (0, 1));
    assert_eq!(counts(&unittest("Ran 2 tests in 0.1s\n")), (0, 1));
    let mut nothing = unittest("Ran 0 tests in 0.000s\n\nNO TESTS RAN\n");
    nothing.settle(false, "exit code 5");
    assert_eq!(counts(&nothing), (0, 1));
}

#[test]
fn numbers_must_agree_with_the_exit_code() {
    let mut tally = Tally { passed: 4, ..Tally::default() };
    tally.settle(true, "exit code 0");
    assert_eq!(counts(&tally), (4, 0));
    tally.settle(false, "killed by signal 9");
    assert_eq!(counts(&tally), (4, 1));
    tally.settle(false, "killed by signal 9");
    assert_eq!(counts(&tally), (4, 1));
}

#[test]
fn tallies_add_up() {
    let mut total = Tally::of_check(true);
    total += &Tally::of_check(false);
    total += &cargo_test(CARGO);
    assert_eq!(counts(&total), (9, 2));
    assert_eq!(total.ignored.len(), 2);
}

#[test]
fn nextest_and_what_follows_it_are_added() {
    let summary = |line: &str| counts(&rust(&format!("$ cargo nextest run\n{line}\n{CARGO}")));
    assert_eq!(summary("     Summary [  12.345s] 40 tests run: 40 passed (2 slow), 3 skipped"), (48, 1));
    assert_eq!(
        summary("     Summary [   1.000s] 5 tests run: 2 passed, 1 failed, 1 timed out, 1 exec failed"),
        (10, 4)
    );
    assert_eq!(summary("     Summary [   1.000s] 3/5 tests run: 2 passed, 1 failed, 0 skipped"), (10, 4));
    assert_eq!(
        summary("\x1b[31;1m     Summary\x1b[0m [   1.000s] \x1b[1m1\x1b[0m test run: \x1b[1m1\x1b[0m passed"),
        (9, 1)
    );
    let two = format!(
        "$ cargo nextest run\n     Summary [ 1.000s] 5 tests run: 4 passed, 1 failed\n$ cargo test\n{CARGO}\
         $ cargo nextest run --far\n     Summary [ 1.000s] 7 tests run: 7 passed"
    );
    assert_eq!(counts(&rust(&two)), (19, 2));
    for nothing in [CARGO.to_owned(), format!("$ cargo nextest run\n{CARGO}")] {
        let missing = rust(&nothing);
        assert_eq!((missing.failed, missing.notes.len()), (2, 1));
    }
}
