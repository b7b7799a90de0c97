//! Why tests failed, out of what their runners printed.

use super::without_colour;

/// Lines of one reason: an assertion and what it compared, not the whole of what was compared.
const MOST_LINES: usize = 16;

/// What each failed test says of itself, in few lines: for the end of a long log, whose middle a reader may not get.
///
/// Knows `panicked at` of Rust, `not ok` of Node's test runner and `FAIL:`/`ERROR:` of Python's `unittest`. What it
/// misses is in the whole output still.
pub(crate) fn reasons(output: &str) -> Vec<String> {
    let lines: Vec<String> = output.lines().map(without_colour).collect();
    let mut reasons = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let rest = &lines[at..];
        let text = line.trim_start();
        let reason = if text.starts_with("thread '") && text.contains(" panicked at ") {
            until(rest, |line| line.is_empty() || line.starts_with("stack backtrace:") || line.starts_with("note: "))
        } else if text.starts_with("not ok ") {
            // A suite fails because a test in it did, which says so itself.
            let block = until(rest, |line| matches!(line, "stack: |-" | "..."));
            if block.iter().any(|line| line.contains("'subtestsFailed'")) {
                continue;
            }
            block
        } else if text.starts_with("FAIL: ") || text.starts_with("ERROR: ") {
            // The rulers around it are of 70 characters; the next one begins the next test's.
            until(rest, |line| line.starts_with("====="))
        } else {
            continue;
        };
        reasons.push(short(&reason));
    }
    reasons
}

/// The lines up to the first, but not at once, that is an end.
fn until(lines: &[String], is_end: impl Fn(&str) -> bool) -> Vec<&str> {
    let rest = lines.iter().skip(1).map(String::as_str).take_while(|line| !is_end(line.trim()));
    lines.first().map(String::as_str).into_iter().chain(rest).collect()
}

/// Both ends of it: a Python traceback names its error last, all others first.
fn short(lines: &[&str]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| line.chars().take(400).collect()).collect();
    let Some(left_out) = lines.len().checked_sub(MOST_LINES + 1) else {
        return lines.join("\n");
    };
    let (head, tail) = (&lines[..MOST_LINES / 2], &lines[lines.len() - MOST_LINES / 2..]);
    format!("{}\n    ({} lines)\n{}", head.join("\n"), left_out + 1, tail.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failed_test_is_there_and_its_suite_is_not() {
        let rust = "test a ... FAILED\n\nfailures:\n\n---- a stdout ----\n\nthread 'a' (7) panicked at src/a.rs:1:2:\n\
                    assertion failed\n  left: 1\nstack backtrace:\n   0: x\n\nthread 'b' panicked at src/b.rs:1:2:\nno\n\n";
        assert_eq!(
            reasons(rust),
            [
                "thread 'a' (7) panicked at src/a.rs:1:2:\nassertion failed\n  left: 1",
                "thread 'b' panicked at src/b.rs:1:2:\nno"
            ]
        );
        let node = "    not ok 3 - stops\n      ---\n      failureType: 'testCodeFailure'\n      error: |-\n        took 6000 ms\n      \
                    stack: |-\n        at x\n      ...\nnot ok 1 - a suite\n  ---\n  failureType: 'subtestsFailed'\n  ...\nok 2 - b\n";
        assert_eq!(
            reasons(node),
            [
                "    not ok 3 - stops\n      ---\n      failureType: 'testCodeFailure'\n      error: |-\n        took 6000 ms"
            ]
        );
        let python =
            "=====\nFAIL: test_a (m.A)\n-----\nTraceback:\nAssertionError: 1\n\n=====\nERROR: test_b\n-----\nOSError\n";
        assert_eq!(
            reasons(python),
            ["FAIL: test_a (m.A)\n-----\nTraceback:\nAssertionError: 1\n", "ERROR: test_b\n-----\nOSError"]
        );
        assert!(reasons("ok 1 - not ok 2\ntest it ... ok\n").is_empty());
    }

    #[test]
    fn a_long_one_keeps_its_ends() {
        let long = format!("FAIL: a\n{}AssertionError: last", "  line\n".repeat(100));
        let [reason] = &reasons(&long)[..] else { panic!("one test") };
        assert!(reason.starts_with("FAIL: a\n") && reason.ends_with("AssertionError: last"), "{reason}");
        assert_eq!(reason.lines().count(), MOST_LINES + 1);
        assert!(reason.contains("(86 lines)"), "{reason}");
    }
}
