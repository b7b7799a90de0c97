use std::time::Duration;

use super::*;
use crate::budget::Budget;
use crate::contexts::listing::Listing;
use crate::contexts::recycle::recycle;

fn context(max: Amount) -> (tempfile::TempDir, Arc<Context>) {
    let folder = tempfile::tempdir().expect("a folder");
    let meta = Meta { id: "ctx-1".into(), name: "n".into(), created: now(), last_used: now(), recycle: Vec::new() };
    let context = Context::create(folder.path().join("ctx-1"), meta, max).expect("there is room");
    (folder, context)
}

const LARGE: Amount = Amount { bytes: 1 << 30, files: 1000 };

fn path(text: &str) -> ContextPath {
    ContextPath::of_file(text).expect("a path")
}

fn put(context: &Arc<Context>, name: &str, bytes: &[u8]) -> Result<(), ContextError> {
    let mut upload = context.upload(path(name))?;
    upload.write(bytes)?;
    upload.commit(false).map(drop)
}

fn read(context: &Context, name: &str) -> Result<String, ContextError> {
    let (file, _) = context.open(&path(name))?;
    io::read_to_string(file).map_err(|error| ContextError::system("reading", &error))
}

fn list(context: &Context, folder: &str, page: usize, page_size: usize) -> Result<Listing, ContextError> {
    context.list(&path(folder), page, page_size, &mut Budget::new(usize::MAX).nothing())
}

fn used(context: &Context) -> (u64, u64) {
    let used = context.quota().expect("it is there").used();
    (used.bytes, used.files)
}

#[test]
fn files_are_stored_whole_listed_and_removed() {
    let (_folder, context) = context(LARGE);
    put(&context, "/tmp/a/x.txt", b"one").expect("there is room");
    put(&context, "/tmp/a/x.txt", b"three").expect("there is room");
    put(&context, "/tmp/b.txt", b"").expect("there is room");
    assert_eq!(read(&context, "tmp/a/x.txt").as_deref(), Ok("three"));
    assert_eq!(used(&context), (5, 4));
    let listing = list(&context, "/tmp", 1, 1).expect("a listing");
    assert_eq!((listing.total, listing.entries.len(), listing.entries[0].is_dir), (2, 1, true));
    let listing = list(&context, "/tmp", 2, 1).expect("a listing");
    assert_eq!(listing.entries[0].path.shown(), "/tmp/b.txt");
    assert_eq!(list(&context, "/none", 1, 10).expect("an empty one").total, 0);

    // An upload that is given up leaves what was there.
    let mut upload = context.upload(path("/tmp/b.txt")).expect("there is room");
    upload.write(b"half").expect("there is room");
    drop(upload);
    assert_eq!(read(&context, "/tmp/b.txt").as_deref(), Ok(""));
    assert_eq!(used(&context), (5, 4));

    for (name, what) in [("/tmp/a", "a folder"), ("/tmp/b.txt/c", "below a file")] {
        assert!(put(&context, name, b"x").expect_err("an error").to_string().contains(what), "{name}");
    }
    assert!(matches!(context.open(&path("/tmp/a")), Err(ContextError::WrongKind { .. })));
    assert!(matches!(context.remove(&path("/tmp/a")), Err(ContextError::WrongKind { .. })));
    assert!(matches!(read(&context, "/tmp/none"), Err(ContextError::NoFile { .. })));
    context.remove(&path("/tmp/a/x.txt")).expect("it is there");
    assert!(matches!(context.remove(&path("/tmp/a/x.txt")), Err(ContextError::NoFile { .. })));
    assert_eq!(list(&context, "/tmp", 1, 10).expect("a listing").total, 1, "the empty folder went with it");
    assert_eq!(used(&context), (0, 2));
}

#[test]
fn the_quota_counts_uploads_that_go_on() {
    let (_folder, context) = context(Amount { bytes: 10, files: 3 });
    let mut upload = context.upload(path("a")).expect("there is room");
    upload.write(b"123456").expect("there is room");
    assert!(matches!(put(&context, "b", b"12345"), Err(ContextError::Quota { unit: "bytes", .. })));
    assert!(matches!(put(&context, "d/e/f", b""), Err(ContextError::Quota { unit: "files", .. })));
    upload.commit(false).expect("there is room");
    assert_eq!(used(&context), (6, 1));
    assert!(
        matches!(put(&context, "a", b"1234567"), Err(ContextError::Quota { .. })),
        "both exist until the replacement"
    );
    put(&context, "a", b"1234").expect("there is room");
    assert_eq!(used(&context), (4, 1));
}

#[test]
fn a_link_leads_nowhere_else() {
    let (folder, context) = context(LARGE);
    fs::write(folder.path().join("secret"), "secret").expect("there is room");
    for (name, target) in [("up", "../../secret"), ("absolute", "/etc/passwd"), ("dir", "/etc")] {
        context.store_link(&path(name), Path::new(target)).expect("it is stored");
        assert_eq!(context.read_link(&path(name)).expect("it is there"), Path::new(target));
        assert!(context.open(&path(name)).is_err(), "{name}");
    }
    assert!(context.open(&path("dir/passwd")).is_err() && put(&context, "dir/x", b"x").is_err());
    put(&context, "up", b"a file").expect("it takes the link's place");
    assert_eq!(fs::read_to_string(folder.path().join("secret")).expect("it is there"), "secret");
    assert_eq!(read(&context, "up").as_deref(), Ok("a file"));
}

#[test]
fn a_stored_link_does_not_lead_to_what_the_server_keeps_of_a_context() {
    let (folder, context) = context(LARGE);
    let root = folder.path().join("ctx-1");
    let meta = fs::read(root.join(META)).expect("it is there");
    for (name, target) in [("data/up", "../.."), ("data/in", "../../incoming"), ("top", "."), ("above", "..")] {
        context.store_link(&path(name), Path::new(target)).expect("it is stored");
    }
    for name in
        ["data/up/context.json", "data/up/context.json.new", "data/in/x", "above/context.json", "above/trash-1/x"]
    {
        assert!(put(&context, name, b"forged").is_err(), "{name}");
        assert!(context.store_link(&path(name), Path::new("/")).is_err(), "{name}");
        assert!(context.make_folder(&path(name)).is_err(), "{name}");
        assert!(context.remove(&path(name)).is_err() && context.open(&path(name)).is_err(), "{name}");
        assert!(context.entry(&path(name)).is_none(), "{name}");
    }
    assert_eq!(fs::read(root.join(META)).expect("it is there"), meta);
    let mut names: Vec<_> =
        fs::read_dir(&root).expect("a folder").flatten().map(|entry| entry.file_name().into_string()).collect();
    names.sort_unstable();
    assert_eq!(names, [META, FILES, INCOMING].map(|name| Ok(name.to_owned())));
    assert_eq!(fs::read_dir(root.join(INCOMING)).expect("a folder").count(), 0);
    // Within the files it leads on as before.
    put(&context, "top/data/x", b"1").expect("it leads to the files");
    assert_eq!(read(&context, "data/x").as_deref(), Ok("1"));
}

#[test]
fn clearing_is_a_state() {
    let (_folder, context) = context(LARGE);
    put(&context, "/a/b", b"1").expect("there is room");
    let trash = context.begin_clear().expect("it works").expect("it is the first");
    assert_eq!(context.state(), "clearing");
    assert_eq!(context.begin_clear().expect("it may be repeated"), None);
    assert!(matches!(put(&context, "c", b""), Err(ContextError::Clearing(_))));
    context.finish_clear(&trash);
    assert_eq!((context.state(), used(&context), trash.exists()), ("available", (0, 0), false));
    put(&context, "c", b"").expect("it is available");
}

#[test]
fn old_files_are_recycled_below_the_paths_of_the_rule() {
    let (_folder, context) = context(LARGE);
    for name in ["/data/old/x", "/data/x", "/other/old/x"] {
        put(&context, name, b"1").expect("there is room");
    }
    let rule = RecycleRule { root: "/data".into(), paths: vec!["old".into()], days: 3 };
    context.update(|meta| meta.recycle.push(rule)).expect("it is saved");
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(recycle(&context, SystemTime::now() + day * 2), Ok(0));
    assert_eq!(recycle(&context, SystemTime::now() + day * 3), Ok(1));
    assert!(read(&context, "/data/old/x").is_err());
    assert!(read(&context, "/data/x").is_ok() && read(&context, "/other/old/x").is_ok());
}

#[test]
fn what_a_dead_server_has_left_is_removed() {
    let (folder, context) = context(LARGE);
    put(&context, "/a", b"1").expect("there is room");
    let root = folder.path().join("ctx-1");
    fs::write(root.join("incoming/half"), "x").expect("there is room");
    fs::create_dir_all(root.join("trash-1/deep")).expect("there is room");
    let again = Context::load(root.clone(), LARGE).expect("a context");
    assert_eq!((again.meta(), used(&again)), (context.meta(), (1, 1)));
    assert!(!root.join("incoming/half").exists() && !root.join("trash-1").exists());
    assert!(Context::load(folder.path().to_owned(), LARGE).is_none());
}

/// Nobody can make one by the calls of today; what is in the folder was written by whatever version. A walk that recursed
/// would need 160 bytes of stack and more for each level.
#[test]
fn what_is_removed_may_have_any_depth() {
    const LEVELS: usize = 1500;
    let (folder, context) = context(LARGE);
    let trash = context.folder.join("trash-1");
    fs::create_dir(&trash).expect("there is room");
    for path in [&trash, &context.folder.join(FILES)] {
        let mut at = Dir::open_ambient_dir(path, ambient_authority()).expect("it is there");
        for _ in 0..LEVELS {
            at.create_dir("d").expect("there is room");
            at = at.open_dir("d").expect("it was made");
        }
    }
    let removing = std::thread::Builder::new().stack_size(LEVELS * 100).spawn(move || {
        context.finish_clear(&trash);
        assert!(!trash.exists());
        remove_tree(&context.put_aside().expect("it works"));
    });
    removing.expect("a thread").join().expect("no panic");
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 0);
}
