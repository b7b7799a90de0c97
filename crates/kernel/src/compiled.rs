//! The harness of an interpreter as bytecode, which starts a kernel without compiling it again.
//!
//! An interpreter compiles the harness once, outside of any sandbox and before there is a program, and in the background:
//! kernels that start meanwhile get the sources. The result lies in [`KernelSpec::cache`] under a name that tells the
//! harness and the interpreter. It says which version has made it: another one takes the sources, which always go with it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cache::{self, Temporary};
use crate::random::random_hex;
use crate::{KernelSpec, StartError, message};

/// What this process knows of. Empty: it is being made, or cannot be made.
static KNOWN: Mutex<Option<HashMap<Key, Arc<[u8]>>>> = Mutex::new(None);

/// What bytecode depends on besides its recipe: an upgrade in place changes the executable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    recipe: &'static str,
    cache: PathBuf,
    executable: PathBuf,
    size: u64,
    changed: (i64, i64),
}

/// How a harness is compiled.
#[derive(Debug, Clone, Copy, Hash)]
pub(crate) struct Recipe {
    /// Whose harness it is.
    pub(crate) name: &'static str,
    /// The interpreter's arguments: a program that takes the sources from its standard input and writes the result.
    pub(crate) args: [&'static str; 4],
    pub(crate) sources: &'static str,
}

impl Recipe {
    /// The first frames of the control channel: the bytecode, if there is some, and the sources.
    pub(crate) async fn harness(&'static self, spec: &KernelSpec) -> Result<Vec<u8>, StartError> {
        let (interpreter, cache) = (spec.interpreter.clone(), spec.cache.clone());
        let bytecode = tokio::task::spawn_blocking(move || self.bytecode(&interpreter, &cache)).await;
        let reason = "the server is shutting down".to_owned();
        let bytecode = bytecode.map_err(|_| StartError::Prepare { language: spec.language, reason })?;
        Ok([message::raw(&bytecode), message::raw(self.sources.as_bytes())].concat())
    }

    /// The bytecode for an interpreter; empty as long as there is none. Reads files, and may start a thread that makes it.
    fn bytecode(&'static self, interpreter: &Path, cache: &Path) -> Arc<[u8]> {
        let Ok(key) = self.key(interpreter, cache) else {
            return Arc::default(); // whoever starts it says why
        };
        if let Some(known) = known(&key, None) {
            return known;
        }
        let place = self.place(&key);
        match read(&place) {
            Ok(Some(bytes)) => known(&key, Some(bytes)).unwrap_or_default(),
            Ok(None) => {
                known(&key, Some(Arc::default()));
                self.make_in_background(interpreter.to_owned(), place, key);
                Arc::default()
            }
            Err(error) => {
                complain(&place, &error);
                known(&key, Some(Arc::default())).unwrap_or_default()
            }
        }
    }

    fn key(&self, interpreter: &Path, cache: &Path) -> io::Result<Key> {
        let executable = interpreter.canonicalize()?;
        let meta = fs::metadata(&executable)?;
        let changed = (meta.mtime(), meta.mtime_nsec());
        Ok(Key { recipe: self.name, cache: cache.to_owned(), executable, size: meta.len(), changed })
    }

    fn place(&self, key: &Key) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        (self, &key.executable, key.size, key.changed).hash(&mut hasher);
        key.cache.join(format!("{}-{:016x}.bytecode", self.name, hasher.finish()))
    }

    fn make_in_background(&'static self, interpreter: PathBuf, place: PathBuf, key: Key) {
        let thread = std::thread::Builder::new().name("agb-bytecode".to_owned());
        let work = move || match self.make(&interpreter, &place) {
            Ok(bytes) => drop(known(&key, Some(bytes))),
            Err(error) => complain(&place, &error),
        };
        if let Err(error) = thread.spawn(work) {
            tracing::warn!(%error, "no thread to compile a harness: kernels start slower");
        }
    }

    fn make(&self, interpreter: &Path, place: &Path) -> io::Result<Arc<[u8]>> {
        let mut compiler = Command::new(interpreter);
        compiler.args(self.args).current_dir("/").env_clear().env("LANG", "C.UTF-8");
        compiler.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        cache::end_with_this_thread(&mut compiler);
        let mut child = compiler.spawn()?;
        // It reads all of it before it writes anything.
        let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(self.sources.as_bytes()));
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("{}: {}", output.status, stderr.trim())));
        }
        written?;
        let made = Temporary(place.with_file_name(format!("{}.tmp", random_hex()?)));
        let mut file = File::create_new(&made.0)?;
        file.write_all(&output.stdout)?;
        // Whatever this user's mask lets others do; and whole, whatever happens to the machine.
        file.set_permissions(PermissionsExt::from_mode(0o644))?;
        file.sync_all()?;
        fs::rename(&made.0, place)?;
        Ok(output.stdout.into())
    }
}

/// What is known, after it was told.
fn known(key: &Key, told: Option<Arc<[u8]>>) -> Option<Arc<[u8]>> {
    let mut all = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let all = all.get_or_insert_default();
    if let Some(bytes) = told {
        all.insert(key.clone(), bytes);
    }
    all.get(key).cloned()
}

fn complain(place: &Path, error: &dyn std::fmt::Display) {
    tracing::warn!(place = %place.display(), %error, "no bytecode of a harness: kernels start slower");
}

/// What an earlier process has made; `None` if none has.
fn read(place: &Path) -> io::Result<Option<Arc<[u8]>>> {
    cache::own_folder(place.parent().unwrap_or(place))?;
    match cache::check(place) {
        Ok(()) => fs::read(place).map(|bytes| Some(bytes.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Language, find_interpreter};

    static UPPER: Recipe = Recipe {
        name: "upper",
        args: ["-I", "-S", "-c", "import sys; sys.stdout.write(sys.stdin.read().upper())"],
        sources: "text",
    };

    #[test]
    fn bytecode_is_made_once_and_belongs_to_its_interpreter() {
        let cache = std::env::temp_dir().join(format!("agb-bytecode-{}", std::process::id()));
        let python = find_interpreter(Language::Python, None).expect("the tests need it");
        let key = UPPER.key(&python, &cache).expect("it is there");
        let place = UPPER.place(&key);
        assert_ne!(place, Recipe { sources: "other", ..UPPER }.place(&key));
        assert_eq!(read(&place).expect("a folder of this user"), None);
        let made = UPPER.make(&python, &place).expect("it is made");
        assert_eq!(&*made, b"TEXT");
        assert_eq!(UPPER.bytecode(&python, &cache), made, "it is read");
        fs::write(&place, "changed").expect("it is ours");
        assert_eq!(UPPER.bytecode(&python, &cache), made, "it is read once");
        fs::set_permissions(&place, PermissionsExt::from_mode(0o666)).expect("it is ours");
        assert!(read(&place).is_err(), "others could have written it");
        let error = UPPER.make(Path::new("/bin/false"), &place).expect_err("it fails");
        assert!(error.to_string().contains("exit status"), "{error}");
        assert!(UPPER.key(Path::new("/absent"), &cache).is_err());
        fs::remove_dir_all(&cache).expect("it was made above");
    }
}
