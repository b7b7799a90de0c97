//! The preparation of the default image before a server's first start.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Write};

use agb_server::{Images, command_name};

use super::images::ImageFolder;
use super::progress;

/// What becomes of a default image that is not prepared when a server starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// It is prepared, or the server does not start.
    Prepare,
    /// The person at the terminal is asked, once.
    Ask,
    /// A line says how to prepare it.
    Tell,
}

impl Offer {
    /// Asks where somebody can answer; a server that ends with its standard input belongs to a program.
    pub(super) fn of_terminal(belongs_to_program: bool) -> Self {
        let is_terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        if is_terminal && !belongs_to_program { Self::Ask } else { Self::Tell }
    }

    pub(super) fn make(self, folder: &ImageFolder) -> Result<(), String> {
        let images = folder.images()?;
        if !images.lacks_preparation() {
            return Ok(());
        }
        let name = images.default_name().to_owned();
        match self {
            Self::Prepare => {
                progress::prepare(&images, &name, None, false).map(drop).map_err(|error| error.to_string())
            }
            Self::Ask if is_first_time(folder) => {
                if ask(&images, &name) {
                    if let Err(error) = progress::prepare(&images, &name, None, false) {
                        eprintln!(
                            "agb-server: {error}\nThe server starts without; programs have the packages of this machine."
                        );
                    }
                } else {
                    eprintln!("Later: {} images prepare", command_name());
                }
                Ok(())
            }
            Self::Ask | Self::Tell => {
                tracing::info!(
                    "image {name} is not prepared: Python has the packages of this machine only; to install the image's: {} images \
                     prepare",
                    command_name()
                );
                Ok(())
            }
        }
    }
}

/// Whether nobody has been asked before; notes that somebody is now.
fn is_first_time(folder: &ImageFolder) -> bool {
    const NOTE: &str = "asked";
    let Some(folder) = folder.path() else { return false };
    // Where no note can be left nothing could be installed either.
    std::fs::create_dir_all(&folder).and_then(|()| File::create_new(folder.join(NOTE))).is_ok()
}

fn ask(images: &Images, name: &str) -> bool {
    let survey = images.survey();
    let missing = survey.images.first().map(|image| image.missing_packages()).unwrap_or_default();
    if missing.is_empty() {
        return false; // this machine's Python has them
    }
    eprint!(
        "The image {name} has no Python packages yet; missing: {}.\nInstall them now (about 600 MB)? [Y/n] ",
        missing.join(", ")
    );
    let _ = io::stderr().flush();
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.is_ok_and(|length| length > 0) && matches!(answer.trim().to_ascii_lowercase().as_str(), "" | "y" | "yes")
}
