//! The texts of `list_directory`, `search_files` and `read_multiple_files`.

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// It is a directory.
    pub is_directory: bool,
    /// Its name.
    pub name: String,
}

json_object!(DirectoryEntry as entry {
    "type": if entry.is_directory { "directory" } else { "file" },
    "name": entry.name,
});

/// `[DIR] name` and `[FILE] name`, one a line; every other line is none.
pub(super) fn entries(text: &str) -> Vec<DirectoryEntry> {
    let entry = |line: &str| {
        let line = line.trim_start();
        let (is_directory, name) = match (line.strip_prefix("[DIR]"), line.strip_prefix("[FILE]")) {
            (Some(name), _) => (true, name),
            (_, Some(name)) => (false, name),
            _ => return None,
        };
        let name = name.trim().to_owned();
        (!name.is_empty()).then_some(DirectoryEntry { is_directory, name })
    };
    text.lines().filter_map(entry).collect()
}

/// A path a line.
pub(super) fn matches(text: &str) -> Vec<String> {
    let text = text.trim();
    if text == "No matches found" {
        return Vec::new();
    }
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// `path:` and the content, with a line `---` between two. Contents may hold such lines, and anything that looks like a
/// path: so it is cut where the next of the asked paths begins, in order. Where the service puts contents on lines of their
/// own, only what is between two of those counts.
pub(super) fn files(text: &str, paths: &[String]) -> Vec<(String, String)> {
    let exact = cut(text, paths, |next| ["\n\n---\n", next, ":"].concat(), 1);
    if exact.len() == paths.len() { exact } else { cut(text, paths, |next| ["\n---\n", next, ":"].concat(), 0) }
}

/// Cuts where the next path begins by this mark, of which so many bytes belong to the content before.
fn cut(text: &str, paths: &[String], mark: impl Fn(&str) -> String, own: usize) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut rest = text;
    for (at, path) in paths.iter().enumerate() {
        let head = [path.as_str(), ":"].concat();
        let Some(content) = rest.strip_prefix(&head) else { break };
        let end = paths.get(at + 1).and_then(|next| content.find(&mark(next))).map(|end| end + own);
        let part = end.map_or(content, |end| &content[..end]);
        found.push((path.clone(), content_of(part).to_owned()));
        rest = end.map_or("", |end| &content[end + "\n---\n".len()..]);
    }
    found
}

/// A content is on lines of its own, and every other blank in it is the file's. An error follows its path.
fn content_of(part: &str) -> &str {
    match part.strip_prefix('\n') {
        Some(lines) => lines.strip_suffix('\n').unwrap_or(lines),
        None => part.trim(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(bool, String)> {
        entries(text).into_iter().map(|entry| (entry.is_directory, entry.name)).collect()
    }

    #[test]
    fn directories_have_two_kinds_of_lines() {
        assert_eq!(
            names("[DIR] b\n[FILE] a b.txt \nTotal: 2\n[LINK] c\n[FILE]\n"),
            [(true, String::from("b")), (false, String::from("a b.txt"))]
        );
        assert_eq!(names(""), []);
    }

    #[test]
    fn nothing_found_is_an_empty_list() {
        assert_eq!(matches("/a/b\n/a/c d\n"), ["/a/b", "/a/c d"]);
        for text in ["", " \n", "No matches found", "No matches found\n"] {
            assert_eq!(matches(text), [""; 0]);
        }
    }

    #[test]
    fn contents_may_look_like_what_separates_them() {
        let paths = ["/a".to_owned(), "/b".to_owned(), "/c".to_owned()];
        let text = "/a:\none\n---\ntwo: 2\n/b: no\n\n---\n/b: Error - not found\n\n---\n/c:\n---\n";
        let found = files(text, &paths);
        assert_eq!(found[0], ("/a".to_owned(), "one\n---\ntwo: 2\n/b: no".to_owned()));
        assert_eq!(found[1], ("/b".to_owned(), "Error - not found".to_owned()));
        assert_eq!(found[2], ("/c".to_owned(), "---".to_owned()));
        let blanks = files("/a:\n  indented\n\n\n\n---\n/b:\n\n\n---\n/c:\nno newline", &paths);
        let contents: Vec<&str> = blanks.iter().map(|(_, content)| content.as_str()).collect();
        assert_eq!(contents, ["  indented\n\n", "", "no newline"]);
        let fake = files("/a:\none\n---\n/b: fake\n\n\n---\n/b:\ntwo\n\n---\n/c: Error - not found\n", &paths);
        let contents: Vec<&str> = fake.iter().map(|(_, content)| content.as_str()).collect();
        assert_eq!(contents, ["one\n---\n/b: fake\n", "two", "Error - not found"]);
        assert_eq!(files("odd", &paths), []);
        assert_eq!(files("/a:x", &[]), []);
    }
}
