//! The command `agb-server images`: what images have, and making their environments.

use std::path::PathBuf;

use agb_server::Images;
use clap::{Args, Subcommand};

use super::{out, progress};

/// Lists the images; `prepare` installs one.
#[derive(Args)]
pub(crate) struct ImagesCommand {
    #[command(flatten)]
    folder: ImageFolder,
    /// Print the list as JSON.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

/// Where images are.
#[derive(Args)]
pub(crate) struct ImageFolder {
    /// The folder of images: definitions (NAME.toml) and environments. Default: the user's data folder.
    #[arg(long, env = "AGB_IMAGES", value_name = "FOLDER", global = true)]
    image_dir: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Action {
    /// Create the Python environment of an image with its packages, and install its npm packages.
    Prepare {
        /// The image.
        #[arg(default_value = "agb-code-space-1")]
        name: String,
        /// Create it again, even if it exists.
        #[arg(long)]
        again: bool,
        /// The Python to create it from, unless the image names one. Default: searched for.
        #[arg(long, env = "AGB_PYTHON", value_name = "PATH")]
        python: Option<PathBuf>,
    },
}

impl ImageFolder {
    /// The folder, if there is a place for one.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.image_dir.clone().or_else(Images::default_folder)
    }

    /// The images that are there.
    pub(crate) fn images(&self) -> Result<Images, String> {
        match self.path() {
            Some(folder) => Images::load(folder).map_err(|error| error.to_string()),
            None => Ok(Images::default()),
        }
    }
}

impl ImagesCommand {
    pub(super) fn run(self) -> Result<(), String> {
        let images = self.folder.images()?;
        let Some(Action::Prepare { name, again, python }) = self.action else {
            let survey = images.survey();
            out::print(&if self.json { format!("{:#}\n", survey.to_json()) } else { survey.to_string() });
            return Ok(());
        };
        let made = progress::prepare(&images, &name, python.as_deref(), again);
        if made.map_err(|error| error.to_string())? {
            out::line(&format!("{name} is prepared; new sessions use it"));
        } else {
            out::line(&format!("{name} is prepared already; --again makes it anew"));
        }
        Ok(())
    }
}
