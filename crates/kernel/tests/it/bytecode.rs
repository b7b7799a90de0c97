//! The harness of Python and of R as bytecode: made once, used by later kernels, and never needed.

use std::path::{Path, PathBuf};

use agb_kernel::{Kernel, KernelSpec, Language, Zygote, find_interpreter};

use crate::support::{Subject, Workdir, eventually, spec};

fn kernel(cache: &Path) -> Subject {
    kernel_of(Language::Python, cache)
}

/// A kernel that is started and not copied, with this folder for what is compiled.
fn kernel_of(language: Language, cache: &Path) -> Subject {
    let workdir = Workdir::new();
    let zygote: Option<Zygote> = None;
    let interpreter = find_interpreter(language, None).unwrap();
    let spec = KernelSpec { cache: cache.to_owned(), zygote, ..spec(language, interpreter, workdir.root()) };
    Subject { kernel: Kernel::new(spec), workdir }
}

fn made(cache: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(cache).ok()?.flatten().map(|entry| entry.path());
    files.into_iter().find(|file| file.extension().is_some_and(|extension| extension == "bytecode"))
}

const IS_BYTECODE: &str = "import sys\nprint(sys.modules['_agb'].imports.loads is not None)";
/// What loads most of the harness, and an error whose trace must not show it.
const MUCH: &str = "from IPython.display import HTML\ndisplay(HTML('<b>'))\n!echo shell\n{}['k']";

#[tokio::test]
async fn later_kernels_start_from_bytecode() {
    let place = Workdir::new();
    let cache = place.root().join("cache");
    let first = kernel(&cache);
    assert_eq!(first.output(IS_BYTECODE).await, "False\n", "it waits for nothing");
    let traceback = first.run(MUCH).await.error().traceback;
    eventually("bytecode is made", || made(&cache).is_some()).await;
    // It is known a moment after it is there.
    let mut later = kernel(&cache);
    for _ in 0..100 {
        if later.output(IS_BYTECODE).await == "True\n" {
            break;
        }
        later = kernel(&cache);
    }
    let ran = later.run(MUCH).await;
    assert_eq!((ran.stdout().as_str(), ran.results().len()), ("shell\n", 1), "{ran:#?}");
    assert_eq!(ran.error().traceback, traceback);
    assert_eq!(later.output(IS_BYTECODE).await, "True\n");
}

#[tokio::test]
async fn what_is_of_no_use_is_not_used() {
    let (source, target) = (Workdir::new(), Workdir::new());
    let cache = source.root().join("cache");
    kernel(&cache).run("1").await;
    eventually("bytecode is made", || made(&cache).is_some()).await;
    let name = made(&cache).unwrap().file_name().unwrap().to_owned();
    for (at, (bytes, mode)) in
        [("3.1.4 (another version)\0garbage", 0o644), ("", 0o644), ("anything", 0o666)].into_iter().enumerate()
    {
        use std::os::unix::fs::PermissionsExt;
        let cache = target.root().join(format!("cache-{at}"));
        std::fs::create_dir(&cache).unwrap();
        std::fs::write(cache.join(&name), bytes).unwrap();
        std::fs::set_permissions(cache.join(&name), PermissionsExt::from_mode(mode)).unwrap();
        assert_eq!(kernel(&cache).output(IS_BYTECODE).await, "False\n", "{bytes:?}");
    }
    // A place where nothing can be kept.
    let shared = target.root().join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::set_permissions(&shared, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    assert_eq!(kernel(&shared.join("cache")).output(IS_BYTECODE).await, "False\n");
}

/// What R says of one of the harness's own functions.
const KIND_IN_R: &str = "cat(typeof(.Internal(bodyCode(getHook('plot.new')[[1]]))))";

#[tokio::test]
async fn what_r_cannot_use_is_not_used() {
    let (source, target) = (Workdir::new(), Workdir::new());
    let cache = source.root().join("cache");
    assert_eq!(kernel_of(Language::R, &cache).output(KIND_IN_R).await, "language", "it waits for nothing");
    eventually("bytecode is made", || made(&cache).is_some()).await;
    let file = made(&cache).unwrap();
    let whole = std::fs::read(&file).unwrap();
    for (at, (bytes, kind)) in
        [(whole.as_slice(), "bytecode"), (b"anything", "language"), (&whole[..whole.len() / 2], "language")]
            .into_iter()
            .enumerate()
    {
        let cache = target.root().join(format!("cache-{at}"));
        std::fs::create_dir(&cache).unwrap();
        std::fs::write(cache.join(file.file_name().unwrap()), bytes).unwrap();
        assert_eq!(kernel_of(Language::R, &cache).output(KIND_IN_R).await, kind, "{at}");
    }
}
