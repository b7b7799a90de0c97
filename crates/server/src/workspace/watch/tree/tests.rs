use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::*;
use crate::budget::Budget;
use crate::workspace::view::{self, Place};

/// A tree of folders that goes with this value, and who watches all of it.
struct Stage {
    path: PathBuf,
    tree: Tree,
    news: Mutex<News>,
    is_over: Arc<AtomicBool>,
}

impl Stage {
    fn new(name: &str, folders: usize) -> Self {
        let path = std::env::temp_dir().join(format!("agb-tree-{name}-{}", std::process::id()));
        (0..folders).for_each(|at| std::fs::create_dir_all(path.join(format!("one/{at}"))).expect("it is ours"));
        let dir = Arc::new(Dir::open_ambient_dir(&path, ambient_authority()).expect("it was made"));
        let place = Place { at: PathBuf::from("/w"), inside: PathBuf::from("/w"), dir };
        let at = view::locate(&[place], None, "/w").expect("it is there");
        let memory = Budget::new(64 << 20).nothing();
        let given = PathBuf::from("/w");
        let watched = Watched { at, given, recursive: true, user: None, max_folders: 10_000, memory };
        let is_over = Arc::default();
        let tree = Tree::grow(watched, Arc::clone(&is_over)).expect("it can be watched");
        Self { path, tree, news: Mutex::new(News::of("/w".to_owned())), is_over }
    }

    fn told(&self, after: u64) -> Vec<(&'static str, String)> {
        let told = lock(&self.news).take(after).expect("it is where it should be").0;
        told.map_or_else(Vec::new, |told| told.changes.iter().map(|it| (it.kind, it.path.clone())).collect())
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path.join(from), self.path.join(to)).expect("it is there");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[test]
fn a_folder_that_moves_again_and_again_is_listed_once() {
    let mut stage = Stage::new("moves", 2_000);
    for _ in 0..1_000 {
        stage.rename("one", "two");
        stage.rename("two", "one");
    }
    let before = processor_time();
    assert!(stage.tree.read(&stage.news).expect("it is watched"));
    let took = processor_time() - before;
    // Each move would have 2,000 folders listed: some 20 s.
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert_eq!(stage.tree.folders.len(), 2_002);
    stage.told(0);
    std::fs::create_dir(stage.path.join("one/7/new")).expect("it is ours");
    assert!(stage.tree.read(&stage.news).expect("it is watched"));
    assert_eq!(stage.told(1), [("create", "/w/one/7/new".to_owned())]);
}

#[test]
fn what_takes_too_long_is_an_overflow_and_watched_all_the_same() {
    let mut stage = Stage::new("late", 10);
    std::fs::create_dir_all(stage.path.join("two/deep")).expect("it is ours");
    assert_eq!(stage.tree.follow(&stage.news, Duration::ZERO).expect("it is watched"), Course::Lost);
    assert!(stage.tree.grow_anew(&stage.news).expect("it is watched"));
    assert_eq!(stage.told(0), [("overflow", "/w".to_owned())]);
    std::fs::create_dir(stage.path.join("two/deep/new")).expect("it is ours");
    assert!(stage.tree.read(&stage.news).expect("it is watched"));
    assert_eq!(stage.told(1), [("create", "/w/two/deep/new".to_owned())]);
}

#[test]
fn a_look_breaks_off_when_nobody_wants_it() {
    let mut stage = Stage::new("over", 10);
    stage.rename("one", "two");
    stage.is_over.store(true, Ordering::Relaxed);
    assert!(!stage.tree.read(&stage.news).expect("it is watched"));
    assert_eq!(stage.tree.folders.len(), 1, "nothing was listed");
}
