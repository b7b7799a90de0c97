//! The images a session can be created from. Locally they are names for the same machine: this one.

use thiserror::Error;

/// An image id that is known to run code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Image(&'static str);

const KNOWN: [&str; 4] = ["agb-code-space-1", "agb-code-space-2", "agb-computer-use-ubuntu-2204", "agb-browser-use-1"];

/// An image id that is not known, said together with those that are.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("image {given:?} is not known to this server; known images are {}", KNOWN.join(", "))]
pub(crate) struct UnknownImage {
    given: String,
}

impl Image {
    /// The image a session gets that names none.
    pub(crate) const DEFAULT: Self = Self(KNOWN[0]);

    /// Finds an image by its id; blanks around it do not count, nothing at all means the default.
    pub(crate) fn find(id: Option<&str>) -> Result<Self, UnknownImage> {
        let id = id.map_or("", str::trim);
        if id.is_empty() {
            return Ok(Self::DEFAULT);
        }
        KNOWN
            .iter()
            .find(|known| **known == id)
            .map(|known| Self(known))
            .ok_or_else(|| UnknownImage { given: id.chars().take(80).collect() })
    }

    /// Its id.
    pub(crate) fn id(self) -> &'static str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_known_ones_and_names_them_otherwise() {
        assert_eq!(Image::find(None), Ok(Image::DEFAULT));
        assert_eq!(Image::find(Some(" agb-code-space-2 ")).map(Image::id), Ok("agb-code-space-2"));
        let error = Image::find(Some("ubuntu")).unwrap_err().to_string();
        assert!(error.contains("\"ubuntu\"") && error.contains("agb-code-space-1"), "{error}");
    }
}
