//! What a failure says about a package that its program lacked: how to install it.

use agb_protocol::Language;

use crate::images::Image;
use crate::run::event::RunFailure;

/// Tells of packages that an image lacks.
#[derive(Clone, Debug)]
pub(crate) struct ModuleHints {
    image: Image,
    language: Language,
}

impl ModuleHints {
    pub(crate) fn new(image: Image, language: Language) -> Self {
        Self { image, language }
    }

    /// How to get the package for want of which a program failed, if that was the reason.
    pub(crate) fn hint(&self, failure: &RunFailure) -> Option<String> {
        let said = &failure.value;
        match self.language {
            Language::Python => {
                let package = python_package(&failure.name, said)?;
                Some(self.image.python_advice(package))
            }
            Language::JavaScript => {
                let package = node_package(said)?;
                Some(self.image.node_advice(package))
            }
            Language::R => {
                let package = quoted_after(said, "there is no package called ")?;
                is_plain(package).then(|| {
                    format!(
                        "R's packages are those of the server's machine; install it there: install.packages(\"{package}\"), or \
                         on Debian apt-get install r-cran-{}",
                        package.to_lowercase()
                    )
                })
            }
            Language::Java => None, // its packages are its class path, and there is none
        }
    }
}

/// The package that has a module, by names that differ.
const PYTHON_PACKAGES: [(&str, &str); 14] = [
    ("bs4", "beautifulsoup4"),
    ("Crypto", "pycryptodome"),
    ("cv2", "opencv-python"),
    ("dateutil", "python-dateutil"),
    ("docx", "python-docx"),
    ("dotenv", "python-dotenv"),
    ("fitz", "pymupdf"),
    ("IPython", "ipython"),
    ("PIL", "pillow"),
    ("pptx", "python-pptx"),
    ("skimage", "scikit-image"),
    ("sklearn", "scikit-learn"),
    ("usb", "pyusb"),
    ("yaml", "pyyaml"),
];

/// The package of the module that Python did not find.
fn python_package<'a>(error: &str, said: &'a str) -> Option<&'a str> {
    if !matches!(error, "ModuleNotFoundError" | "ImportError") {
        return None;
    }
    let module = quoted_after(said, "No module named ")
        // pandas and others say so of what they need for one function.
        .or_else(|| quoted_after(said, "Missing optional dependency "))?;
    // A dotted name: its package is there, and has no such module.
    let is_name = |module: &str| module.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let known = PYTHON_PACKAGES.iter().find(|(name, _)| *name == module).map(|(_, package)| *package);
    is_name(module).then(|| known.unwrap_or(module))
}

/// The package of the module that Node did not find; none where it is a file, or a part of Node or of a package.
fn node_package(said: &str) -> Option<&str> {
    let name = quoted_after(said, "Cannot find module ").or_else(|| quoted_after(said, "Cannot find package "))?;
    if name.starts_with(['.', '/', '#']) || name.contains(':') {
        return None;
    }
    let parts = if name.starts_with('@') { 2 } else { 1 };
    let end = name.match_indices('/').nth(parts - 1).map_or(name.len(), |(at, _)| at);
    let package = &name[..end];
    let is_whole = package.matches('/').count() == parts - 1;
    (is_whole && package.trim_start_matches('@').split('/').all(is_plain)).then_some(package)
}

/// What stands in quotes behind these words.
fn quoted_after<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(words)?;
    let open = rest.chars().next()?;
    let close = match open {
        '\'' | '"' => open,
        '‘' => '’',
        '“' => '”',
        _ => return None,
    };
    rest[open.len_utf8()..].split_once(close).map(|(quoted, _)| quoted).filter(|quoted| !quoted.is_empty())
}

/// Whether a program's text is a package's name: it goes into a command that somebody may copy.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('-') && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::Images;
    use crate::run::event::failure;

    fn hint(language: Language, name: &str, said: &str) -> Option<String> {
        let image = Images::default().find(None).expect("the built-in image");
        ModuleHints::new(image, language).hint(&failure(name, said))
    }

    #[test]
    fn a_package_that_the_image_would_have_is_prepared() {
        for (module, package) in [("matplotlib", "matplotlib"), ("sklearn", "scikit-learn"), ("IPython", "ipython")] {
            let said = format!("No module named '{module}'");
            let hint = hint(Language::Python, "ModuleNotFoundError", &said).expect("a package is missing");
            assert!(hint.contains(package) && hint.contains("images prepare agb-code-space-1"), "{hint}");
        }
    }

    #[test]
    fn another_package_goes_into_an_image() {
        let python = |said| hint(Language::Python, "ImportError", said).expect("a package is missing");
        for (said, package) in [
            ("No module named 'polars'", "polars"),
            ("No module named 'cv2'", "opencv-python"),
            ("Missing optional dependency 'openpyxl'.  Use pip or conda to install openpyxl.", "openpyxl"),
        ] {
            let hint = python(said);
            assert!(hint.contains(package) && hint.contains("[python]"), "{hint}");
        }
        for (said, package) in [
            ("Cannot find module 'lodash'\nRequire stack:\n- /a", "lodash"),
            ("Cannot find module 'lodash/fp'", "lodash"),
            ("Cannot find package '@scope/part' imported from /a/b.mjs", "@scope/part"),
            ("Cannot find module '@scope/part/deep/er'", "@scope/part"),
        ] {
            let hint = hint(Language::JavaScript, "Error", said).expect("a package is missing");
            assert!(hint.contains(&format!("{package:?}")) && hint.contains("[javascript]"), "{hint}");
        }
        for said in ["there is no package called ‘ggplot2’", "there is no package called 'ggplot2'"] {
            let hint = hint(Language::R, "packageNotFoundError", said).expect("a package is missing");
            assert!(hint.contains("install.packages(\"ggplot2\")") && hint.contains("r-cran-ggplot2"), "{hint}");
        }
    }

    #[test]
    fn what_is_no_package_has_no_hint() {
        for (language, name, said) in [
            (Language::Python, "ModuleNotFoundError", "No module named 'os.nothing'"),
            (Language::Python, "ValueError", "No module named 'numpy'"),
            (Language::Python, "ModuleNotFoundError", "No module named ''"),
            (Language::Python, "ModuleNotFoundError", "No module named 'a; rm -rf /'"),
            (Language::JavaScript, "Error", "Cannot find module './mine.js'"),
            (Language::JavaScript, "Error", "Cannot find module '/tmp/mine.js'"),
            (Language::JavaScript, "Error", "Cannot find module 'node:nothing'"),
            (Language::JavaScript, "Error", "Cannot find module '@scope'"),
            (Language::JavaScript, "Error", "Cannot find module '$(reboot)'"),
            (Language::R, "simpleError", "object 'x' not found"),
            (Language::R, "simpleError", "there is no package called ‘\"); q(\"’"),
            (Language::Java, "Error", "package com.example does not exist"),
        ] {
            assert_eq!(hint(language, name, said), None, "{said}");
        }
    }
}
