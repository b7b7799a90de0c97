//! The file behind a [`Replay`](super::replay::Replay).

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::replay::Block;
use crate::random;

/// A run's file in its session's folder, made when it is first needed. It has no name any more once it is open: no
/// program finds it by a path, and it is gone with the run, however the server ends.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    file: Option<Arc<File>>,
}

impl Spool {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, file: None }
    }

    /// Writes a block, beside the threads that serve connections; `anew`: in the place of all that there is.
    pub(super) async fn write(&mut self, block: Block, bytes: Vec<u8>, anew: bool) -> io::Result<()> {
        let (folder, file) = (self.folder.clone(), self.file.clone());
        let written = blocking(move || {
            let file = match file {
                Some(file) => file,
                None => Arc::new(create(folder)?),
            };
            if anew {
                file.set_len(0)?;
            }
            file.write_all_at(&bytes, block.offset)?;
            Ok(file)
        });
        self.file = Some(written.await?);
        Ok(())
    }

    /// Reads a block.
    pub(super) async fn read(&self, block: Block) -> io::Result<Vec<u8>> {
        let file = self.file.clone().ok_or(io::ErrorKind::NotFound)?;
        blocking(move || {
            let mut bytes = vec![0; usize::try_from(block.length).map_err(io::Error::other)?];
            file.read_exact_at(&mut bytes, block.offset)?;
            Ok(bytes)
        })
        .await
    }
}

fn create(folder: PathBuf) -> io::Result<File> {
    let path = folder.join(format!("spool-{}", random::hex::<8>()));
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_block_comes_back_and_no_name_is_left() {
        let folder = std::env::temp_dir().join(format!("agb-spool-test-{}", random::hex::<4>()));
        std::fs::create_dir(&folder).expect("a folder");
        let mut spool = Spool::new(folder.clone());
        let block = |offset, length| Block { first: 1, last: 1, offset, length };
        assert!(spool.read(block(0, 1)).await.is_err(), "there is no file yet");
        spool.write(block(0, 3), b"abc".to_vec(), true).await.expect("written");
        spool.write(block(3, 2), b"de".to_vec(), false).await.expect("written");
        assert_eq!(spool.read(block(1, 4)).await.expect("read"), b"bcde");
        assert!(spool.read(block(4, 9)).await.is_err(), "there is not so much");
        assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0);
        std::fs::remove_dir(&folder).expect("empty");
        assert!(Spool::new(folder).write(block(0, 1), vec![1], true).await.is_err(), "there is no folder");
    }
}
