//! The file behind a [`Replay`](super::replay::Replay).

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::replay::{Block, Page};
use crate::budget::{Budget, Charge};
use crate::random;

/// Where the files of a session's runs are, and how many bytes they may have together.
#[derive(Clone, Debug)]
pub(crate) struct SpoolSpace {
    pub(crate) folder: PathBuf,
    pub(crate) budget: Arc<Budget>,
}

/// A run's file in its session's folder, made when it is first needed. It has no name any more once it is open: no
/// program finds it by a path, and it is gone with the run, however the server ends.
#[derive(Debug)]
pub(super) struct Spool {
    space: SpoolSpace,
    file: Option<Arc<File>>,
    /// The file's length, of the session's space.
    length: Option<Charge>,
}

impl Spool {
    pub(super) fn new(space: SpoolSpace) -> Self {
        Self { space, file: None, length: None }
    }

    /// Writes a block, beside the threads that serve connections; `anew`: in the place of all that there is.
    pub(super) async fn write(&mut self, block: Block, bytes: Vec<u8>, anew: bool) -> io::Result<()> {
        self.take_space(block, anew)?;
        let (folder, file) = (self.space.folder.clone(), self.file.clone());
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

    /// Has the file's length counted as it is to be. What is counted in vain, because writing fails, is written next.
    fn take_space(&mut self, block: Block, anew: bool) -> io::Result<()> {
        let full =
            |_| io::Error::new(io::ErrorKind::StorageFull, "the session's runs fill what they have (--session-spool)");
        let end = usize::try_from(block.offset.saturating_add(block.length)).map_err(io::Error::other)?;
        match &mut self.length {
            Some(length) if anew || end > length.bytes() => length.resize(end).map_err(full),
            Some(_) => Ok(()),
            none => {
                *none = Some(self.space.budget.charge(end).map_err(full)?);
                Ok(())
            }
        }
    }

    /// Reads the events of a block, beside the threads that serve connections as well: they may have megabytes.
    pub(super) async fn read_page(&self, block: Block) -> io::Result<Page> {
        let file = self.file.clone().ok_or(io::ErrorKind::NotFound)?;
        blocking(move || {
            let damaged =
                || io::Error::new(io::ErrorKind::InvalidData, "the file does not have what was written into it");
            Page::decode(block, &read(&file, block)?).ok_or_else(damaged)
        })
        .await
    }
}

fn read(file: &File, block: Block) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(block.length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, block.offset)?;
    Ok(bytes)
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
    use crate::run::replay::{Record, Records};

    impl Spool {
        fn bytes(&self, block: Block) -> io::Result<Vec<u8>> {
            read(self.file.as_ref().expect("there is one"), block)
        }
    }

    #[tokio::test]
    async fn a_block_comes_back_and_no_name_is_left() {
        let folder = std::env::temp_dir().join(format!("agb-spool-test-{}", random::hex::<4>()));
        std::fs::create_dir(&folder).expect("a folder");
        let space = |folder: &std::path::Path| SpoolSpace { folder: folder.to_owned(), budget: Budget::new(100) };
        let mut spool = Spool::new(space(&folder));
        let block = |offset, length| Block { first: 1, last: 1, offset, length };
        assert!(spool.read_page(block(0, 1)).await.is_err(), "there is no file yet");
        spool.write(block(0, 3), b"abc".to_vec(), true).await.expect("written");
        spool.write(block(3, 2), b"de".to_vec(), false).await.expect("written");
        assert_eq!(spool.bytes(block(1, 4)).expect("read"), b"bcde");
        assert!(spool.bytes(block(4, 9)).is_err(), "there is not so much");
        assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0);
        std::fs::remove_dir(&folder).expect("empty");
        assert!(Spool::new(space(&folder)).write(block(0, 1), vec![1], true).await.is_err(), "there is no folder");
    }

    #[tokio::test]
    async fn the_runs_of_a_session_share_its_space() {
        let folder = tempfile::tempdir().expect("a folder");
        let space = SpoolSpace { folder: folder.path().to_owned(), budget: Budget::new(10) };
        let block = |offset, length| Block { first: 1, last: 1, offset, length };
        let (mut one, mut other) = (Spool::new(space.clone()), Spool::new(space));
        one.write(block(0, 6), vec![1; 6], true).await.expect("there is room");
        one.write(block(2, 4), vec![2; 4], false).await.expect("where something was before");
        let full = other.write(block(0, 5), vec![3; 5], true).await.expect_err("there is none");
        assert!(full.kind() == io::ErrorKind::StorageFull && full.to_string().contains("--session-spool"), "{full}");
        one.write(block(6, 5), vec![4; 5], false).await.expect_err("nor here");
        one.write(block(0, 5), vec![5; 5], true).await.expect("in the place of all");
        other.write(block(0, 5), vec![6; 5], true).await.expect("there is room now");
        drop(one);
        other.write(block(5, 5), vec![7; 5], false).await.expect("the run is over");
        assert_eq!(other.bytes(block(0, 10)).expect("read"), [[6; 5], [7; 5]].concat());
    }

    #[tokio::test]
    async fn events_come_back_as_they_were_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut spool = Spool::new(SpoolSpace { folder: folder.path().to_owned(), budget: Budget::new(100) });
        let mut records = Records::default();
        ["one", "two"].into_iter().for_each(|text| records.push(Record { chunk: 3, text: text.into() }));
        let block = Block { first: 5, last: 6, offset: 0, length: records.encoded() as u64 };
        spool.write(block, records.encode(), true).await.expect("written");
        let page = spool.read_page(block).await.expect("read");
        assert_eq!(page.get(6).map(|record| record.text.as_str()), Some("two"));
        let error = spool.read_page(Block { last: 7, ..block }).await.expect_err("there is no third");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
