//! The README's quick starts are the very files that the tests run.

use std::fs;
use std::path::Path;

#[test]
fn the_quick_starts_are_the_files_that_are_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(root.join("README.md")).expect("the README");
    assert!(readme.lines().count() <= 150, "the README is a first screen; what is longer goes into a manual");
    for (language, file) in [
        ("ts", "examples/live.ts"),
        ("ts", "examples/positional.ts"),
        ("html", "examples/browser-quickstart.html"),
        ("python", "tests/python/quickstart.py"),
        ("rust", "crates/client/examples/quickstart.rs"),
    ] {
        let text = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        // A Rust file begins with its documentation, which the README does not repeat.
        let after_documentation = text.split_once("\n\n").filter(|_| text.starts_with("//!"));
        let code = after_documentation.map_or(text.as_str(), |(_, code)| code).trim_end();
        assert!(code.lines().count() <= 15, "{file} is too long for a first look");
        let block = format!("```{language}\n{code}\n```");
        assert!(readme.contains(&block), "the README has no block ```{language} that is exactly {file}");
        assert!(readme.contains(&format!("`{file}`")), "the README does not name {file}");
    }
}

#[test]
fn the_files_that_documents_name_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for document in ["README.md", "CONTRIBUTING.md", "SECURITY.md"] {
        let text = fs::read_to_string(root.join(document)).unwrap_or_else(|error| panic!("{document}: {error}"));
        let named = text.split('`').skip(1).step_by(2);
        let paths =
            named.filter(|name| ["crates/", "npm/", "tests/", "examples/"].iter().any(|top| name.starts_with(top)));
        let missing: Vec<_> = paths.filter(|name| !name.contains(' ') && !root.join(name).exists()).collect();
        assert!(missing.is_empty(), "{document} names files that are not there: {missing:?}");
    }
}
