//! What test runners print, as numbers.
//!
//! Each parser takes the whole output of one run. They are strict: a summary that is missing, a test that was skipped
//! or a test program that died without a summary counts as a failure; [`Tally::settle`] does the same for an exit
//! code that does not fit the numbers.

use std::ops::AddAssign;

pub(crate) use reasons::reasons;

mod reasons;

/// How many tests passed and failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// Tests with `#[ignore]`, which are neither.
    pub(crate) ignored: Vec<String>,
    /// Failures that no test's own output explains.
    pub(crate) notes: Vec<String>,
}

impl Tally {
    /// A check without tests of its own: one that passed, or one that failed.
    pub(crate) fn of_check(success: bool) -> Self {
        Tally { passed: success.into(), failed: (!success).into(), ..Tally::default() }
    }

    /// Counts one failure more, for a reason.
    pub(crate) fn fail(&mut self, reason: impl Into<String>) {
        self.failed += 1;
        self.notes.push(reason.into());
    }

    /// Makes the numbers agree with how the runner ended.
    pub(crate) fn settle(&mut self, success: bool, ending: &str) {
        if !success && self.failed == 0 {
            self.fail(format!("no test failed, and yet it ended with {ending}"));
        }
        if self.passed + self.failed == 0 {
            self.fail("it ran no test");
        }
    }

    fn skipped(&mut self, count: usize) {
        if count > 0 {
            self.failed += count;
            self.notes.push(format!("{count} skipped, which counts as failed"));
        }
    }
}

impl AddAssign<&Tally> for Tally {
    fn add_assign(&mut self, other: &Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored.extend_from_slice(&other.ignored);
        self.notes.extend_from_slice(&other.notes);
    }
}

/// `cargo test`: per test program a line `Running …` and a line `test result: …`; per package with doc tests a line
/// `Doc-tests …` and one or more results.
pub(crate) fn cargo_test(output: &str) -> Tally {
    let mut tally = Tally::default();
    let mut section = Section::default();
    for line in output.lines().map(without_colour) {
        let trimmed = line.trim_start();
        // Cargo aligns its verbs, so both are indented; lines that tests print hardly ever are like this.
        let program = trimmed.strip_prefix("Running ").filter(|program| program.contains('('));
        let doc_tests = trimmed.strip_prefix("Doc-tests ");
        if line != trimmed && (program.is_some() || doc_tests.is_some()) {
            section.end(&mut tally);
            section = Section {
                program: program.or(doc_tests).map(str::to_owned),
                has_many: doc_tests.is_some(),
                ..Section::default()
            };
        } else if let Some(result) = line.strip_prefix("test result: ") {
            section.results.extend(CargoResult::parse(result));
        } else if let Some(test) = line.strip_prefix("test ") {
            section.ignored.extend(ignored_test(test));
        }
    }
    section.end(&mut tally);
    tally
}

/// Any number of `cargo nextest run` and `cargo test` in one output, each after a line `$ COMMAND`.
pub(crate) fn rust(output: &str) -> Tally {
    let mut tally = cargo_test(output);
    let lines: Vec<String> = output.lines().map(without_colour).collect();
    let is_nextest = |line: &String| line.starts_with("$ ") && line.contains(" nextest run");
    let mut begins: Vec<usize> = (0..lines.len()).filter(|at| is_nextest(&lines[*at])).collect();
    begins.push(lines.len());
    if begins.len() == 1 {
        tally.fail("no output of cargo nextest");
    }
    for run in begins.windows(2) {
        // A failed test's own output may hold such a line; the run's comes last.
        match lines[run[0]..run[1]].iter().filter_map(|line| nextest_summary(line)).next_back() {
            Some((passed, failed)) => {
                tally.passed += passed;
                tally.failed += failed;
            }
            None => tally.fail("cargo nextest printed no summary"),
        }
    }
    tally
}

/// `Summary [  12.3s] 5 tests run: 3 passed (1 slow), 1 failed, 1 timed out, 2 skipped`. What was skipped here is what
/// another command runs, and tests with `#[ignore]`. Tests that a stop left over (`3/5 tests run`) count as failed.
fn nextest_summary(line: &str) -> Option<(usize, usize)> {
    let (_, rest) = line.trim_start().strip_prefix("Summary [")?.split_once("] ")?;
    let (run, counts) = rest.split_once(" run: ")?;
    let run = run.split_once(' ')?.0;
    let (done, planned) = run.split_once('/').unwrap_or((run, run));
    let (done, planned): (usize, usize) = (done.parse().ok()?, planned.parse().ok()?);
    let passed = counts.split(", ").find_map(|part| part.split_once(" passed")?.0.parse().ok()).unwrap_or(0);
    Some((passed, done.saturating_sub(passed) + planned.saturating_sub(done)))
}

/// What one test program printed.
#[derive(Default)]
struct Section {
    program: Option<String>,
    has_many: bool,
    results: Vec<CargoResult>,
    ignored: Vec<String>,
}

impl Section {
    fn end(&mut self, tally: &mut Tally) {
        let Some(program) = self.program.take() else {
            return;
        };
        if self.results.is_empty() {
            tally.fail(format!("{program} died without a result"));
        }
        // A failed test's own output may hold such a line; the program's comes last.
        let counted = if self.has_many { 0 } else { self.results.len().saturating_sub(1) };
        for result in &self.results[counted..] {
            tally.passed += result.passed;
            tally.failed += result.failed;
        }
        tally.ignored.append(&mut self.ignored);
    }
}

/// `ok. 3 passed; 0 failed; 1 ignored; …`.
struct CargoResult {
    passed: usize,
    failed: usize,
}

impl CargoResult {
    fn parse(text: &str) -> Option<Self> {
        let (_, counts) = text.split_once(". ")?;
        let count = |word: &str| counts.split("; ").find_map(|part| part.strip_suffix(word)?.trim().parse().ok());
        Some(CargoResult { passed: count("passed")?, failed: count("failed")? })
    }
}

/// `path::of_test ... ignored, the reason`.
fn ignored_test(line: &str) -> Option<String> {
    let (name, outcome) = line.split_once(" ... ")?;
    let reason = outcome.strip_prefix("ignored")?;
    Some(format!("{name}{}", reason.replacen(", ", ": ", 1)))
}

/// Node's test runner: at the end of each run a block of lines `# tests 3` … `# duration_ms 12`, or the same with `ℹ`.
pub(crate) fn node_test(output: &str) -> Tally {
    const KEYS: [&str; 8] = ["tests", "suites", "pass", "fail", "cancelled", "skipped", "todo", "duration_ms"];
    let mut tally = Tally::default();
    let mut block: Vec<usize> = Vec::new();
    for line in output.lines().map(without_colour) {
        let count =
            line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ ")).and_then(|line| line.split_once(' ')).and_then(
                |(key, value)| {
                    // Whole milliseconds are all that is wanted of the last one, and not even they.
                    let value = value.split('.').next()?.parse().ok()?;
                    Some((KEYS.iter().position(|known| *known == key)?, value))
                },
            );
        match count {
            // What a test prints may look like a line of the block, not like the whole of it.
            Some((position, value)) if position == block.len() => block.push(value),
            Some((0, value)) => block = vec![value],
            _ => block.clear(),
        }
        if let [tests, _, pass, fail, cancelled, skipped, todo, _] = block[..] {
            tally.passed += pass;
            tally.failed += fail + cancelled;
            tally.skipped(skipped + todo);
            if tests != pass + fail + cancelled + skipped + todo {
                tally.fail(format!("{tests} tests are not the sum of what became of them"));
            }
            block.clear();
        }
    }
    tally
}

/// Python's `unittest`: `Ran 3 tests in 0.1s`, then `OK` or `FAILED (failures=1, errors=1)`.
pub(crate) fn unittest(output: &str) -> Tally {
    let mut tally = Tally::default();
    let mut ran: Option<usize> = None;
    for line in output.lines().map(without_colour) {
        if let Some(rest) = line.strip_prefix("Ran ") {
            ran = rest.split_once(" test").and_then(|(count, _)| count.parse().ok()).or(ran);
            continue;
        }
        let Some((verdict, details)) = verdict(&line) else {
            continue;
        };
        let Some(ran) = ran.take() else {
            continue;
        };
        let count = |word: &str| {
            details
                .split(", ")
                .find_map(|part| part.strip_prefix(word)?.strip_prefix('=')?.parse::<usize>().ok())
                .unwrap_or(0)
        };
        let failed = count("failures") + count("errors") + count("unexpected successes");
        let skipped = count("skipped");
        // An error in `setUpClass` is one more than the tests that ran.
        tally.passed += ran.saturating_sub(failed + skipped);
        tally.failed += failed;
        tally.skipped(skipped);
        if verdict == "FAILED" && failed == 0 {
            tally.fail("it failed without saying of what");
        }
    }
    if ran.is_some() {
        tally.fail("it ended without a verdict");
    }
    tally
}

/// `OK`, `FAILED (failures=1)`: the word and what is in the brackets.
fn verdict(line: &str) -> Option<(&str, &str)> {
    let (word, details) =
        line.split_once(" (").map_or((line, ""), |(word, rest)| (word, rest.strip_suffix(')').unwrap_or(rest)));
    matches!(word, "OK" | "FAILED" | "NO TESTS RAN").then_some((word, details))
}

/// The line without terminal escape sequences.
fn without_colour(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = after.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
        rest = rest.get(1..).unwrap_or("");
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests;
