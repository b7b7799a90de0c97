//! What an edit has changed, as a unified difference.

use std::fmt::Write;
use std::time::Duration;

use similar::TextDiff;

/// Texts that together are larger are compared by their ends only: the smallest difference of two texts takes some 40
/// bytes for each line, and most of the time for texts that have nothing in common. Hardly a source file is larger.
const MAX_COMPARED: usize = 256 * 1024;
/// Finding the smallest difference takes long even so; after this a larger one will do.
const MAX_TIME: Duration = Duration::from_millis(500);
/// What is shown of a change that is not compared any further.
const MAX_SHOWN: usize = 64 * 1024;
/// Lines that stay as they are before and after a change, as everywhere.
const CONTEXT: usize = 3;

/// The bytes that [`difference`] takes at most.
pub(super) fn differing(before: &str, after: &str) -> usize {
    // Half of the lines at worst are one byte and its end.
    let compared = before.len() + after.len();
    if compared <= MAX_COMPARED { compared * 40 } else { 4 * MAX_SHOWN }
}

/// The difference of a file's text before and after an edit.
pub(super) fn difference(path: &str, before: &str, after: &str) -> String {
    if before == after {
        return format!("{path} stays as it is");
    }
    if before.len() + after.len() <= MAX_COMPARED {
        let diff = TextDiff::configure().timeout(MAX_TIME).diff_lines(before, after);
        return diff.unified_diff().header(path, path).to_string();
    }
    one_change(path, before, after)
}

/// One change, from the first line that differs to the last. Takes no more memory than what it shows.
fn one_change(path: &str, before: &str, after: &str) -> String {
    let start = common_start(before, after);
    let end = common_end(&before[start..], &after[start..]);
    let (removed, added) = (&before[start..before.len() - end], &after[start..after.len() - end]);
    let (head, tail) = (&before[..start], &before[before.len() - end..]);
    let lead = last_lines(head, CONTEXT);
    let trail: Vec<&str> = tail.split_inclusive('\n').take(CONTEXT).collect();
    let first = lines(head) - lines(lead) + 1;
    let around = lines(lead) + trail.len();
    let (old, new) = (lines(removed) + around, lines(added) + around);
    let at = |count: usize| if count == 0 { first - 1 } else { first };
    let mut shown = format!("--- {path}\n+++ {path}\n@@ -{},{old} +{},{new} @@\n", at(old), at(new));
    if removed.len() + added.len() > MAX_SHOWN {
        let (removed, added) = (lines(removed), lines(added));
        let _ = writeln!(shown, "The change is too large to be shown: {removed} lines before, {added} lines after it.");
        return shown;
    }
    for (sign, text) in [(' ', lead), ('-', removed), ('+', added), (' ', &trail.concat())] {
        for line in text.split_inclusive('\n') {
            let _ = write!(shown, "{sign}{line}");
            if !line.ends_with('\n') {
                shown.push_str("\n\\ No newline at end of file\n");
            }
        }
    }
    shown
}

/// The length of the whole lines that both texts begin with.
fn common_start(one: &str, other: &str) -> usize {
    let same = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    one.as_bytes()[..same].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

/// The length of the whole lines that both texts end with.
fn common_end(one: &str, other: &str) -> usize {
    let same = one.bytes().rev().zip(other.bytes().rev()).take_while(|(one, other)| one == other).count();
    let begins_line = |text: &str| text.len() == same || text.as_bytes()[text.len() - same - 1] == b'\n';
    if begins_line(one) && begins_line(other) {
        return same;
    }
    let ends = &one.as_bytes()[one.len() - same..];
    ends.iter().position(|byte| *byte == b'\n').map_or(0, |at| same - at - 1)
}

fn lines(text: &str) -> usize {
    text.split_inclusive('\n').count()
}

fn last_lines(text: &str, most: usize) -> &str {
    let length: usize = text.split_inclusive('\n').rev().take(most).map(str::len).sum();
    &text[text.len() - length..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_change_is_shown_as_others_show_it() {
        for (before, after) in [
            ("a\nb\nc\nd\ne\nf\ng\nh\ni\n", "a\nb\nc\nd\nE\nE2\nf\ng\nh\ni\n"),
            ("a\nb\n", "a\nB\n"),
            ("a\nb", "a\nB"),
            ("a\nb", "a\nb\n"),
            ("ö\nä\n", "ö\nö\nä\n"),
            ("x\n", "y\nx\n"),
            ("x\ny\nz\n", "x\nz\n"),
            ("a", "b"),
        ] {
            let diff = TextDiff::from_lines(before, after).unified_diff().header("p", "p").to_string();
            let signed =
                |diff: &str| diff.lines().filter(|line| !line.starts_with("@@")).map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(signed(&one_change("p", before, after)), signed(&diff), "{before:?} {after:?}");
        }
        assert!(one_change("p", "1\n2\n3\n4\n5\n6\n", "1\n2\n3\n4\nV\n6\n").contains("@@ -2,5 +2,5 @@\n 2\n"));
    }

    #[test]
    fn a_large_file_costs_what_is_shown_of_it() {
        let before = "\n".repeat(16 << 20);
        let mut after = before.clone();
        after.insert(8 << 20, 'x');
        let shown = difference("p", &before, &after);
        assert!(shown.len() < 200 && shown.contains("\n-\n+x\n"), "{shown}");
        let shown = difference("p", &before, &"x\n".repeat(8 << 20));
        assert!(shown.contains("too large to be shown: 16777216 lines before, 8388608 lines after"), "{shown}");
    }
}
