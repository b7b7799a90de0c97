//! The command `agb-server images`: what images have, and making their environments.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use agb_server::{Images, Progress};
use clap::{Args, Subcommand};

/// How often a line on a terminal is written anew: faster than the eye, slower than pip.
const REFRESH: Duration = Duration::from_millis(100);

/// Lists the images; `prepare` installs one.
#[derive(Args)]
pub(crate) struct ImagesCommand {
    #[command(flatten)]
    folder: ImageFolder,
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
    /// The images that are there.
    pub(crate) fn images(&self) -> Result<Images, String> {
        match self.image_dir.clone().or_else(Images::default_folder) {
            Some(folder) => Images::load(folder).map_err(|error| error.to_string()),
            None => Ok(Images::default()),
        }
    }
}

impl ImagesCommand {
    pub(crate) fn run(self) -> Result<(), String> {
        let images = self.folder.images()?;
        let Some(Action::Prepare { name, again, python }) = self.action else {
            print!("{}", images.survey());
            return Ok(());
        };
        let mut display = Display::new();
        let made = images.prepare(&name, python.as_deref(), again, &mut |progress| display.show(progress));
        display.finish();
        if made.map_err(|error| error.to_string())? {
            println!("{name} is prepared; new sessions use it");
        } else {
            println!("{name} is prepared already; --again makes it anew");
        }
        Ok(())
    }
}

/// Progress for people: one line that changes on a terminal, one line a step elsewhere.
struct Display {
    is_terminal: bool,
    began: Instant,
    step: String,
    written: Option<Instant>,
}

impl Display {
    fn new() -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), began: Instant::now(), step: String::new(), written: None }
    }

    fn show(&mut self, progress: Progress<'_>) {
        let mut out = std::io::stderr().lock();
        // Who does not read it is no reason to stop.
        let _ = match progress {
            Progress::Step { number, of, label } => {
                self.finish();
                self.step = format!("[{number}/{of}] {label}");
                self.began = Instant::now();
                if self.is_terminal { self.line(&mut out, "") } else { writeln!(out, "{}", self.step) }
            }
            Progress::Detail(text) if self.is_terminal => {
                let is_due = self.written.is_none_or(|written| written.elapsed() >= REFRESH);
                if is_due { self.line(&mut out, text) } else { Ok(()) }
            }
            Progress::Detail(text) => writeln!(out, "        {}", text.trim()),
            Progress::Warning(text) => {
                self.finish();
                writeln!(out, "warning: {text}")
            }
        };
    }

    /// Writes the line of the step anew.
    fn line(&mut self, out: &mut impl Write, detail: &str) -> std::io::Result<()> {
        const WIDTH: usize = 100; // fits most windows; a line that wraps cannot be written anew
        self.written = Some(Instant::now());
        let text = format!("{} ({} s) {}", self.step, self.began.elapsed().as_secs(), detail.trim());
        let text: String = text.chars().take(WIDTH).collect();
        write!(out, "\r\x1b[2K{text}")?;
        out.flush()
    }

    /// Leaves the line of the step as it is.
    fn finish(&mut self) {
        if self.is_terminal && self.written.take().is_some() {
            eprintln!("\r\x1b[2K{} ({} s)", self.step, self.began.elapsed().as_secs());
        }
    }
}
