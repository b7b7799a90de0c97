//! What a program shows beside its output, for a terminal: text as text, pictures as a line about them or as files.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use agb_client::RichResult;
use data_encoding::BASE64;

/// Shows the results of one program.
#[derive(Debug)]
pub(super) struct Results {
    /// Where what is not text is written.
    folder: Option<PathBuf>,
    /// How many bytes are written there, and how many may still be.
    most: u64,
    left: Cell<u64>,
    /// The last number of a file with this extension.
    numbers: RefCell<HashMap<&'static str, u32>>,
}

/// What to print of a result.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// For standard output.
    pub(super) text: String,
    /// For standard error, a line each.
    pub(super) notes: Vec<String>,
}

/// A form of a result that is not for a terminal.
struct Form<'a> {
    mime: &'static str,
    extension: &'static str,
    content: &'a str,
    is_base64: bool,
    is_picture: bool,
}

impl Results {
    /// Writes at most so many bytes into the folder.
    pub(super) fn new(folder: Option<PathBuf>, most: u64) -> Self {
        Self { folder, most, left: Cell::new(most), numbers: RefCell::default() }
    }

    /// Says what to print of a result, and writes its files.
    pub(super) fn show(&self, result: &RichResult) -> Shown {
        let mut shown = Shown::default();
        let forms = forms(result);
        let has_picture = forms.iter().any(|form| form.is_picture);
        // The text of a picture is what its type is called, which says less than the line about it.
        let text = [&result.text, &result.markdown, &result.latex].into_iter().find_map(|text| text.as_deref());
        let text = if has_picture { None } else { text };
        if let Some(text) = text {
            shown.text.push_str(text);
            if !text.ends_with('\n') {
                shown.text.push('\n');
            }
        }
        for form in forms {
            match &self.folder {
                Some(folder) => shown.notes.push(match self.write(folder, &form) {
                    Ok(path) => format!("{} is in {}", form.about(), path.display()),
                    Err(error) => format!("{} could not be written to {}: {error}", form.about(), folder.display()),
                }),
                // A table has a text as well, and was shown.
                None if form.is_picture || text.is_none() => {
                    shown.notes.push(format!("{}; --save DIR writes it to a file", form.about()));
                }
                None => {}
            }
        }
        shown
    }

    /// Writes a form to the first file `result-N` that is not there yet.
    fn write(&self, folder: &Path, form: &Form<'_>) -> io::Result<PathBuf> {
        const MOST: u32 = 100_000;
        let bytes = form.bytes()?;
        let Some(left) = self.left.get().checked_sub(bytes.len() as u64) else {
            let problem = format!("{} bytes are written to it at most (--save-limit)", self.most);
            return Err(io::Error::new(ErrorKind::QuotaExceeded, problem));
        };
        std::fs::create_dir_all(folder)?;
        let mut numbers = self.numbers.borrow_mut();
        let last = numbers.entry(form.extension).or_default();
        while *last < MOST {
            *last += 1;
            let path = folder.join(format!("result-{last}.{}", form.extension));
            match File::create_new(&path) {
                Ok(mut file) => {
                    self.left.set(left);
                    return file.write_all(&bytes).map(|()| path);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(ErrorKind::AlreadyExists, "it is full of results of earlier programs"))
    }
}

impl Form<'_> {
    fn bytes(&self) -> io::Result<Vec<u8>> {
        if !self.is_base64 {
            return Ok(self.content.as_bytes().to_vec());
        }
        let plain: Vec<u8> = self.content.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        BASE64.decode(&plain).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }

    fn about(&self) -> String {
        let bytes = if self.is_base64 { self.content.len() / 4 * 3 } else { self.content.len() };
        let what = if self.is_picture { "a picture" } else { "a result" };
        format!("{what} ({}, {})", self.mime, size(bytes))
    }
}

fn forms<'a>(result: &'a RichResult) -> Vec<Form<'a>> {
    let forms = [
        ("image/png", "png", &result.png, true, true),
        ("image/jpeg", "jpg", &result.jpeg, true, true),
        ("image/svg+xml", "svg", &result.svg, false, true),
        ("text/html", "html", &result.html, false, false),
        ("application/json", "json", &result.json, false, false),
        ("application/vnd.vegalite.v5+json", "vl.json", &result.chart, false, false),
    ];
    let form = |(mime, extension, content, is_base64, is_picture): (_, _, &'a Option<String>, _, _)| {
        let content = content.as_deref()?;
        Some(Form { mime, extension, content, is_base64, is_picture })
    };
    forms.into_iter().filter_map(form).collect()
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest PNG begins so; nothing here looks further.
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\nnothing";

    fn picture() -> RichResult {
        let mut result = RichResult::plain("<Figure size 640x480 with 1 Axes>", false);
        result.png = Some(format!("{}\n", BASE64.encode(PNG)));
        result
    }

    fn table() -> RichResult {
        let mut result = RichResult::plain("   a\n0  1", true);
        result.html = Some("<table></table>".into());
        result
    }

    #[test]
    fn text_is_shown_and_a_picture_is_told_of() {
        let results = Results::new(None, 0);
        assert_eq!(results.show(&RichResult::plain("42", true)), Shown { text: "42\n".into(), notes: Vec::new() });
        assert_eq!(results.show(&table()).text, "   a\n0  1\n");
        assert!(results.show(&table()).notes.is_empty());
        let Shown { text, notes } = results.show(&picture());
        assert_eq!((text.as_str(), notes.len()), ("", 1));
        assert!(notes[0].starts_with("a picture (image/png, ") && notes[0].contains("--save DIR"), "{notes:?}");
        let mut page = RichResult::default();
        page.html = Some("<b>hello</b>".into());
        assert!(results.show(&page).notes[0].contains("text/html"));
    }

    #[test]
    fn what_is_saved_replaces_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("new");
        let results = Results::new(Some(place.clone()), 1 << 20);
        for _ in 0..2 {
            results.show(&picture());
        }
        let notes = results.show(&table()).notes;
        assert!(notes[0].ends_with("result-1.html"), "{notes:?}");
        for name in ["result-1.png", "result-2.png"] {
            assert_eq!(std::fs::read(place.join(name)).expect("it was written"), PNG);
        }
        let mut broken = RichResult::default();
        broken.png = Some("no base64!".into());
        assert!(results.show(&broken).notes[0].contains("could not be written"));
    }

    #[test]
    fn what_is_saved_has_a_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        let results = Results::new(Some(folder.path().to_owned()), PNG.len() as u64 + 10);
        assert!(results.show(&picture()).notes[0].contains("result-1.png"));
        let notes = results.show(&picture()).notes;
        assert!(notes[0].contains("could not be written") && notes[0].contains("--save-limit"), "{notes:?}");
        let mut small = RichResult::default();
        small.html = Some("0123456789".into());
        assert!(results.show(&small).notes[0].contains("result-1.html"), "there is room for it");
        assert!(results.show(&small).notes[0].contains("--save-limit"));
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2);
    }
}
