//! The README's quick starts are the very files that the tests run.

use std::fs;
use std::path::Path;

#[test]
fn the_quick_starts_are_the_files_that_are_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(root.join("README.md")).expect("the README");
    for (language, file) in [
        ("ts", "examples/live.ts"),
        ("ts", "examples/positional.ts"),
        ("html", "examples/browser-quickstart.html"),
        ("python", "tests/python/quickstart.py"),
        ("rust", "crates/client/examples/quickstart.rs"),
    ] {
        let text = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let block = format!("```{language}\n{}\n```", text.trim_end());
        assert!(readme.contains(&block), "the README has no block ```{language} that is exactly {file}");
        assert!(readme.contains(&format!("`{file}`")), "the README does not name {file}");
    }
}
