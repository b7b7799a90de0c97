//! Where in the kernel's hierarchies a launcher may have control groups of its own.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Controller;

/// What the names of launchers' groups begin with.
const NAME: &str = "agb-";

/// The group that servers move to in version 2, all into the same one: where groups have members, they cannot have
/// groups with controllers.
const SERVERS: &str = "agb-servers";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// A launcher's group in one of the kernel's hierarchies, and all below it.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) version: Version,
    pub(super) controllers: Vec<Controller>,
    path: PathBuf,
    /// The directory, locked: this launcher lives.
    _lock: File,
}

impl Tree {
    pub(super) fn has(&self, controller: Controller) -> bool {
        self.controllers.contains(&controller)
    }

    /// Where a session's group is.
    pub(super) fn session(&self, slot: u32) -> PathBuf {
        self.path.join(slot.to_string())
    }

    /// Makes a group below `base`, under a lock, and removes those whose launchers are dead.
    fn make(base: &Path, version: Version, controllers: Vec<Controller>, id: &str) -> io::Result<Self> {
        remove_dead(base);
        let path = base.join(format!("{NAME}{id}"));
        let lock = loop {
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => result?,
            }
            let lock = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                result => result?,
            };
            lock.lock()?;
            // Somebody may have taken it for a dead one's before it was locked.
            match fs::metadata(&path) {
                Ok(meta) if meta.ino() == lock.metadata()?.ino() => break lock,
                _ => {}
            }
        };
        // From here on, giving up removes it.
        let tree = Self { version, controllers, path, _lock: lock };
        if version == Version::Two {
            enable(&tree.path, &tree.controllers)?;
        }
        if tree.has(Controller::Processors) {
            let (file, weight) = match version {
                // Beside the server's threads, each of which has 1024: all programs together have a third of that on every
                // processor, as by the default of `nice`. With as much as a thread on each, 128 busy threads in here
                // kept everybody else waiting for seconds on two processors that were busy before.
                Version::One => {
                    ("cpu.shares", 335 * std::thread::available_parallelism().map_or(1, |cores| cores.get()))
                }
                // Beside the servers, which have 100 by default: the same.
                Version::Two => ("cpu.weight", 33),
            };
            set(&tree.path.join(file), &weight.to_string())?;
        }
        Ok(tree)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // It stays if a program has not died yet: the next server removes it.
        let _ = remove(&self.path);
    }
}

/// The launcher's groups, and why there are not more.
pub(super) fn make() -> (Vec<Tree>, Vec<String>) {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (mounts, own) = (read("/proc/self/mountinfo"), read("/proc/self/cgroup"));
    let Some(id) = id() else { return (Vec::new(), vec!["/dev/urandom cannot be read".to_owned()]) };
    let mut trees: Vec<Tree> = Vec::new();
    let mut missing = Vec::new();
    match own_group_two(&mounts, &own) {
        Some(base) => match make_two(&base, &id) {
            Ok(tree) => trees.push(tree),
            Err(reason) => missing.push(reason),
        },
        None => missing.push("control groups of version 2 are not mounted".to_owned()),
    }
    let mut refused: Vec<(Controller, io::Error)> = Vec::new();
    for controller in Controller::ALL {
        if trees.iter().any(|tree| tree.has(controller)) {
            continue;
        }
        match own_group_one(&mounts, &own, controller) {
            Some(base) => match Tree::make(&base, Version::One, vec![controller], &id) {
                Ok(tree) => trees.push(tree),
                Err(error) => refused.push((controller, error)),
            },
            // With version 2 alone, its reason was said above.
            None if mounts.contains(" - cgroup ") => {
                missing.push(format!("the controller {} (version 1) is not mounted", controller.name()));
            }
            None => {}
        }
    }
    if let Some((_, error)) = refused.first() {
        let names: Vec<&str> = refused.iter().map(|(controller, _)| controller.name()).collect();
        missing.push(format!(
            "this user cannot make control groups of version 1 for {} ({error}); root can",
            names.join(", ")
        ));
    }
    if Controller::ALL.iter().all(|one| trees.iter().any(|tree| tree.has(*one))) {
        missing.clear();
    }
    (trees, missing)
}

/// Version 2: in the server's own group, if it was given to this user with its controllers.
fn make_two(base: &Path, id: &str) -> Result<Tree, String> {
    let name = base.display();
    let offered = fs::read_to_string(base.join("cgroup.controllers")).unwrap_or_default();
    let has = |one: &Controller| offered.split_whitespace().any(|name| name == one.name());
    let controllers: Vec<Controller> = Controller::ALL.into_iter().filter(has).collect();
    if controllers.is_empty() {
        return Err(format!(
            "the server's control group {name} (version 2) has none of the controllers memory, pids and cpu; start \
             the server in one that has (systemd-run --user --scope -p Delegate=yes agb-server serve)"
        ));
    }
    let refused = |error: io::Error| {
        format!(
            "the server's control group {name} (version 2) is not its own: {error}; start the server in one that is \
             (systemd-run --user --scope -p Delegate=yes agb-server serve)"
        )
    };
    if let Err(error) = enable(base, &controllers) {
        if error.raw_os_error() != Some(libc::EBUSY) {
            return Err(refused(error));
        }
        // The server is in the way. If others are as well, it comes back.
        step_aside(base).and_then(|()| enable(base, &controllers)).map_err(|error| {
            let _ = set(&base.join("cgroup.procs"), "0");
            let _ = fs::remove_dir(base.join(SERVERS));
            refused(error)
        })?;
    }
    Tree::make(base, Version::Two, controllers, id).map_err(refused)
}

/// Lets the groups below a group have controllers.
fn enable(group: &Path, controllers: &[Controller]) -> io::Result<()> {
    let words: Vec<String> = controllers.iter().map(|one| format!("+{}", one.name())).collect();
    set(&group.join("cgroup.subtree_control"), &words.join(" "))
}

/// Moves this process into a group below its own.
fn step_aside(base: &Path) -> io::Result<()> {
    let servers = base.join(SERVERS);
    match fs::create_dir(&servers) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        result => result?,
    }
    set(&servers.join("cgroup.procs"), "0")
}

/// Writes into one of the kernel's files. That one is not there is said so, and not that it cannot be made.
pub(super) fn set(file: &Path, value: &str) -> io::Result<()> {
    File::options().write(true).open(file)?.write_all(value.as_bytes())
}

/// Removes the groups of launchers that are dead. Their sandboxes are, too: each ends when its launcher does.
fn remove_dead(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with(NAME) && name != SERVERS);
        if is_ours
            && let Ok(lock) = File::open(entry.path())
            && lock.try_lock().is_ok()
        {
            let _ = remove(&entry.path());
        }
    }
}

/// Removes a group and those in it. It cannot be while a process is in one of them.
fn remove(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
    fs::remove_dir(path)
}

/// The directory of this process's own group of version 2.
pub(super) fn own_group_two(mounts: &str, own: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let (mount, root) = mounts.lines().find_map(|line| mounted(line, |kind, _| kind == "cgroup2"))?;
    let group = join(&mount, &root, path)?;
    // This process may be a server that has stepped aside for another launcher of its own.
    Some(if group.file_name().is_some_and(|name| name == SERVERS) { group.parent()?.to_owned() } else { group })
}

/// The directory of this process's own group of version 1 for a controller.
pub(super) fn own_group_one(mounts: &str, own: &str, controller: Controller) -> Option<PathBuf> {
    let lists = |list: &str| list.split(',').any(|name| name == controller.name());
    let path = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        lists(controllers).then_some(path)
    })?;
    let (mount, root) =
        mounts.lines().find_map(|line| mounted(line, |kind, options| kind == "cgroup" && lists(options)))?;
    join(&mount, &root, path)
}

/// Where something is mounted, and which part of it, if it is what is looked for. A line of `mountinfo`:
/// `36 35 98:0 ROOT MOUNT options… - KIND SOURCE OPTIONS`.
fn mounted(line: &str, is_it: impl Fn(&str, &str) -> bool) -> Option<(PathBuf, PathBuf)> {
    let (place, what) = line.split_once(" - ")?;
    let mut what = what.split(' ');
    let (kind, options) = (what.next()?, what.nth(1)?);
    let mut place = place.split(' ').skip(3);
    let (root, mount) = (place.next()?, place.next()?);
    is_it(kind, options).then(|| (PathBuf::from(mount), PathBuf::from(root)))
}

/// A group's directory. Only a part of the hierarchy may be mounted, as in a container.
fn join(mount: &Path, root: &Path, group: &str) -> Option<PathBuf> {
    Path::new(group).strip_prefix(root).ok().map(|below| mount.join(below))
}

/// 64 random bits.
fn id() -> Option<String> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom").ok()?.read_exact(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 /docker/1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    const OWN: &str = "4:memory:/docker/1/a\n2:cpu,cpuacct:/b\n1:pids:/\n0::/user.slice/x.scope\n";

    #[test]
    fn own_groups_are_found_where_they_are_mounted() {
        let one = |controller| own_group_one(MOUNTS, OWN, controller);
        assert_eq!(one(Controller::Memory), Some("/sys/fs/cgroup/memory/a".into()));
        assert_eq!(one(Controller::Processors), Some("/sys/fs/cgroup/cpu,cpuacct/b".into()));
        assert_eq!(one(Controller::Processes), None);
        assert_eq!(own_group_two(MOUNTS, OWN), Some("/sys/fs/cgroup/unified/user.slice/x.scope".into()));
        assert_eq!(
            own_group_two(MOUNTS, "0::/user.slice/x.scope/agb-servers"),
            Some("/sys/fs/cgroup/unified/user.slice/x.scope".into())
        );
        assert_eq!(own_group_two("", OWN), None);
    }

    /// The kernel's files are made by hand: most machines give no controllers of version 2 to a test.
    #[test]
    fn version_two_takes_what_its_own_group_offers_and_says_why_not() {
        let base = std::env::temp_dir().join(format!("agb-cgroup-{}", std::process::id()));
        fs::create_dir(&base).expect("the temporary directory is writable");
        fs::write(base.join("cgroup.controllers"), "hugetlb\n").expect("it was made above");
        let reason = make_two(&base, "1").expect_err("it has no controllers");
        assert!(reason.contains("none of the controllers") && reason.contains("Delegate=yes"), "{reason}");
        fs::write(base.join("cgroup.controllers"), "cpu memory pids\n").expect("it was made above");
        for dir in ["agb-dead", "agb-2"] {
            fs::create_dir(base.join(dir)).expect("it was made above");
        }
        for file in ["cgroup.subtree_control", "agb-2/cgroup.subtree_control", "agb-2/cpu.weight"] {
            fs::write(base.join(file), "").expect("it was made above");
        }
        let tree = make_two(&base, "2").expect("it is writable");
        assert_eq!(tree.controllers, Controller::ALL);
        let read = |path: &str| fs::read_to_string(base.join(path)).expect("it was written");
        assert_eq!(read("cgroup.subtree_control"), "+memory +pids +cpu");
        assert_eq!(read("agb-2/cgroup.subtree_control"), "+memory +pids +cpu");
        assert_eq!(read("agb-2/cpu.weight"), "33");
        assert!(!base.join("agb-dead").exists(), "nobody has it locked");
        remove_dead(&base);
        assert!(base.join("agb-2").exists(), "it is locked");
        fs::remove_dir_all(&base).expect("it was made above");
    }
}
