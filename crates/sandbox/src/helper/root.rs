//! The file system of a sandbox.
//!
//! A read-only `tmpfs` with nothing but directories, links and a few small files, over which parts of the host are
//! mounted: the system's libraries and programs read-only, the policy's read-only directories, and the working
//! directory. Everything from the host is fetched as a detached mount before anything is covered, so no path is ever
//! looked up in a half-built tree; nothing here follows a link that a program could have made.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, fstat};

use super::host::Place;
use super::{At, Failure};
use crate::Network;
use crate::error::Stage;
use crate::plan::{Kind, Plan};
use crate::sys::mount::{self, Attributes};
use crate::sys::{c_path, identity};

/// Where the system lies. `/nix/store` is the `/usr` of NixOS.
const SYSTEM: [&str; 2] = ["/usr", "/nix/store"];

/// Links into `/usr` on most systems, directories on some.
const TOP: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// What of `/etc` programs need to start or to behave as elsewhere: the dynamic linker's tables, Debian's choices
/// between programs, certificates to check, fonts and time zone, and the configuration of the interpreters. Nothing
/// that names users, hosts or secrets of this machine.
const ETC: [&str; 17] = [
    "R",
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "fonts",
    "java",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "mime.types",
    "os-release",
    "pki/tls/certs",
    "protocols",
    "services",
    "ssl/certs",
];

/// More of the same, where the name has a version in it.
const ETC_PREFIXES: [&str; 2] = ["java-", "python3"];

/// The devices that hold nothing and control nothing.
const DEVICES: [&CStr; 5] = [c"full", c"null", c"random", c"urandom", c"zero"];

/// Where a nursery has the directory that all sessions' lie in. No program sees it.
pub(super) const SESSIONS: &str = "/run/sessions";

const WRITABLE: Attributes = Attributes { read_only: false, no_devices: true, no_exec: false };

const FROZEN: Attributes = Attributes { read_only: true, no_devices: true, no_exec: false };

/// A part of the host on its way into the sandbox.
struct Part {
    /// Relative to the root.
    at: PathBuf,
    mount: OwnedFd,
    is_dir: bool,
}

/// What a sandbox gets of the host, fetched with the host's rights.
pub(super) struct Fetched {
    /// Links that belong to the root itself.
    links: Vec<(PathBuf, PathBuf)>,
    parts: Vec<Part>,
    devices: Vec<(&'static CStr, Part)>,
    /// What `/etc/resolv.conf` says.
    resolver: Vec<u8>,
}

/// Builds it and enters it. Says whether it has a `/proc`.
pub(super) fn enter(plan: &Plan, place: &Place, fds: &[OwnedFd]) -> Result<bool, Failure> {
    mount::make_private().at(Stage::Mount, "private mounts")?;
    let mut fetched = fetch(plan)?;
    fetched.devices.extend(fds.first().filter(|_| plan.on_terminal).and_then(own_terminal));
    build(fetched, plan, place.user_inside)
}

/// Enters a file system in which there is nothing but `/proc`, for a process that needs no other. Says whether it has that.
pub(super) fn enter_empty() -> Result<bool, Failure> {
    let stage = Stage::Mount;
    mount::make_private().at(stage, "private mounts")?;
    let options = [(c"size", Some(c"4k")), (c"nr_inodes", Some(c"16")), (c"mode", Some(c"755"))];
    let root = mount::create(c"tmpfs", &options, WRITABLE).at(stage, "a tmpfs for the root")?;
    let root = root.as_fd();
    mount::attach_at(root, c"/usr").at(stage, "the root")?;
    let proc = make_proc(root, true)?;
    mount::restrict(root, FROZEN, false).at(stage, "the read-only root")?;
    mount::make_root(root).at(stage, "the new root")?;
    Ok(proc)
}

/// The program's own terminal by its name, such as `/dev/pts/3`, and no other. A host whose `/dev/ptmx` is another file
/// system's than its `/dev/pts` has no name for it; the program has its terminal nevertheless.
fn own_terminal(terminal: &OwnedFd) -> Option<(&'static CStr, Part)> {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", terminal.as_raw_fd())).ok()?;
    let (named, opened) = (std::fs::metadata(&path).ok()?, fstat(terminal).ok()?);
    let is_it = path.starts_with("/dev/pts") && (named.dev(), named.ino()) == (opened.st_dev, opened.st_ino);
    let attributes = Attributes { read_only: true, no_devices: false, no_exec: true };
    is_it.then(|| part(&path, attributes).ok()).flatten().map(|part| (c"pts", part))
}

/// Copies what is shown of the host, attached nowhere yet.
pub(super) fn fetch(plan: &Plan) -> Result<Fetched, Failure> {
    let mut links = Vec::new();
    let mut parts = system(&mut links)?;
    for path in &plan.policy.readonly {
        if !parts.iter().any(|part| path.starts_with(Path::new("/").join(&part.at))) {
            parts.push(part(path, FROZEN)?);
        }
    }
    let resolver = match plan.policy.network {
        Network::Host => std::fs::read("/etc/resolv.conf").unwrap_or_default(),
        Network::None | Network::Proxy => Vec::new(),
    };
    let mut workdir = part(&plan.policy.workdir, WRITABLE)?;
    workdir.at = relative(if plan.kind == Kind::Nursery { Path::new(SESSIONS) } else { &plan.policy.mount_at });
    parts.push(workdir);
    if let Some(tmp) = &plan.policy.tmp {
        let mut tmp = part(tmp, WRITABLE)?;
        tmp.at = "tmp".into();
        parts.push(tmp);
    }
    for mount in &plan.policy.mounts {
        let mut part = part(&mount.dir, WRITABLE)?;
        part.at = relative(&mount.at);
        parts.push(part);
    }
    let mut devices = Vec::new();
    // It is the program's own terminal, whichever that is, and fails for a program without one.
    let terminal = plan.on_terminal.then_some(c"tty");
    for name in DEVICES.into_iter().chain(terminal) {
        let path = Path::new("/dev").join(name.to_str().expect("the names are ASCII"));
        devices.push((name, part(&path, Attributes { read_only: true, no_devices: false, no_exec: true })?));
    }
    Ok(Fetched { links, parts, devices, resolver })
}

/// Puts it together in this process's own mount namespace, and lets go of the host's. Says whether it has a `/proc`.
pub(super) fn build(fetched: Fetched, plan: &Plan, user_inside: u32) -> Result<bool, Failure> {
    let stage = Stage::Mount;
    let Fetched { links, parts, devices, resolver } = fetched;
    // 4 MiB and 4,096 files: a hundred times what is written below; only what is made here counts.
    let options = [(c"size", Some(c"4m")), (c"nr_inodes", Some(c"4096")), (c"mode", Some(c"755"))];
    let root = mount::create(c"tmpfs", &options, WRITABLE).at(stage, "a tmpfs for the root")?;
    let root = root.as_fd();
    // All that is needed of the host is in `parts`, so what this covers does not matter.
    mount::attach_at(root, c"/usr").at(stage, "the root")?;

    for (link, target) in &links {
        make_link(root, link, target)?;
    }
    for link in &plan.policy.links {
        make_link(root, &relative(&link.at), &link.target)?;
    }
    let (in_tmp, parts): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|part| below_tmp(&part.at).is_some());
    for part in &parts {
        make_point(root, part)?;
        mount::attach(part.mount.as_fd(), root, &c_path(&part.at)).at(stage, &part.at.display().to_string())?;
    }
    write_etc(root, user_inside, plan, &resolver)?;
    make_dev(root, &devices)?;
    make_scratch(root, plan)?;
    if plan.kind == Kind::Nursery {
        make_nest(root, plan)?;
    }
    for part in &in_tmp {
        attach_in_tmp(root, part)?;
    }
    // A nursery gives the sandboxes in it their users by way of it.
    let proc = make_proc(root, plan.kind != Kind::Nursery)?;
    mount::restrict(root, FROZEN, false).at(stage, "the read-only root")?;
    mount::make_root(root).at(stage, "the new root")?;
    Ok(proc)
}

/// Where a zygote is at home: sessions' working directories will cover it.
fn make_nest(root: BorrowedFd<'_>, plan: &Plan) -> Result<(), Failure> {
    let at = relative(&plan.policy.mount_at);
    make_dirs(root, &at)?;
    // 16 MiB: caches that packages write while they are imported, such as matplotlib's list of fonts.
    let options = [(c"size", Some(c"16m")), (c"nr_inodes", Some(c"4096")), (c"mode", Some(c"700"))];
    let home = mount::create(c"tmpfs", &options, WRITABLE).at(Stage::Mount, "a tmpfs for the zygote's home")?;
    mount::attach(home.as_fd(), root, &c_path(&at)).at(Stage::Mount, "the zygote's home")
}

/// Turns a copy of a nursery's file system into a session's: its own working directory, temporary files and processes
/// cover the nursery's, and the other sessions' folders go. Says whether it has a `/proc`.
pub(super) fn move_in(plan: &Plan) -> Result<bool, Failure> {
    let stage = Stage::Mount;
    // Before their places are covered.
    let workdir = part(&plan.policy.workdir, WRITABLE)?;
    let tmp = plan.policy.tmp.as_ref().map(|tmp| part(tmp, WRITABLE)).transpose()?;
    let in_tmp: Vec<&PathBuf> =
        plan.policy.readonly.iter().filter(|path| below_tmp(&relative(path)).is_some()).collect();
    let in_tmp: Vec<Part> = in_tmp.into_iter().map(|path| part(path, FROZEN)).collect::<Result<_, _>>()?;
    let root = mount::open_root().at(stage, "the root")?;
    let root = root.as_fd();

    mount::attach(workdir.mount.as_fd(), root, &c_path(&relative(&plan.policy.mount_at))).at(stage, "the session")?;
    if let Some(tmp) = &tmp {
        mount::attach(tmp.mount.as_fd(), root, c"tmp").at(stage, "/tmp")?;
    }
    attach_scratch(root, plan)?;
    for part in &in_tmp {
        attach_in_tmp(root, part)?;
    }
    let proc = attach_proc(root, true)?;
    // Sessions that are not this one's. Nothing is open in there, so this is their end in here.
    mount::detach(&c_path(Path::new(SESSIONS))).at(stage, "the other sessions")?;
    Ok(proc)
}

/// What of the system's files sandboxes show, by the paths that they have there; some may not exist.
#[must_use]
pub fn system_paths() -> Vec<PathBuf> {
    let top = TOP.iter().map(|name| Path::new("/").join(name));
    let etc = etc_names().into_iter().map(|name| Path::new("/etc").join(name));
    SYSTEM.iter().map(PathBuf::from).chain(top).chain(etc).collect()
}

fn etc_names() -> Vec<String> {
    let mut names: Vec<String> = ETC.map(str::to_owned).into();
    if let Ok(entries) = std::fs::read_dir("/etc") {
        let found = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.extend(found.filter(|name| ETC_PREFIXES.iter().any(|prefix| name.starts_with(prefix))));
    }
    names
}

/// The system's parts, and the links that belong to the root itself.
fn system(links: &mut Vec<(PathBuf, PathBuf)>) -> Result<Vec<Part>, Failure> {
    let mut parts = Vec::new();
    for path in SYSTEM {
        parts.extend(part_if_there(Path::new(path))?);
    }
    for name in TOP {
        let path = Path::new("/").join(name);
        match std::fs::read_link(&path) {
            Ok(target) => links.push((name.into(), target)),
            Err(_) => parts.extend(part_if_there(&path)?),
        }
    }
    for name in etc_names() {
        let path = Path::new("/etc").join(&name);
        match std::fs::read_link(&path) {
            Ok(target) => links.push((relative(&path), target)),
            Err(_) => parts.extend(part_if_there(&path)?),
        }
    }
    Ok(parts)
}

fn part_if_there(path: &Path) -> Result<Option<Part>, Failure> {
    match part(path, FROZEN) {
        Ok(part) => Ok(Some(part)),
        Err(Failure { errno: libc::ENOENT | libc::ENOTDIR | libc::EACCES, .. }) => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn part(path: &Path, attributes: Attributes) -> Result<Part, Failure> {
    let fetch = || {
        let is_dir = std::fs::metadata(path)?.is_dir();
        let mount = mount::copy(&c_path(path))?;
        mount::restrict(mount.as_fd(), attributes, true)?;
        Ok(Part { at: relative(path), mount, is_dir })
    };
    fetch().at(Stage::Mount, &path.display().to_string())
}

/// Something to attach a part to.
fn make_point(root: BorrowedFd<'_>, part: &Part) -> Result<(), Failure> {
    if part.is_dir {
        return make_dirs(root, &part.at);
    }
    make_dirs(root, part.at.parent().unwrap_or(Path::new("")))?;
    mount::make_file(root, &c_path(&part.at)).at(Stage::Mount, &part.at.display().to_string())?;
    Ok(())
}

/// Where in `/tmp` a part belongs, if it does: `/var/tmp` is a link to it.
fn below_tmp(at: &Path) -> Option<&Path> {
    let below = at.strip_prefix("tmp").or_else(|_| at.strip_prefix("var/tmp")).ok()?;
    (below != Path::new("")).then_some(below)
}

/// Attaches a part in a `/tmp` that programs of the session may have written to: each name on the way is opened for
/// itself, and a link is refused. Nothing that they have left is opened but as a place: a pipe would keep its opener
/// waiting.
fn attach_in_tmp(root: BorrowedFd<'_>, part: &Part) -> Result<(), Failure> {
    const FOLDER: libc::c_int = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let below = below_tmp(&part.at).unwrap_or(&part.at);
    let attach = || {
        let mut place = mount::open(root, c"tmp", FOLDER)?;
        let owner = fstat(&place)?;
        let mut names = below.components().peekable();
        while let Some(name) = names.next() {
            let name = c_path(Path::new(name.as_os_str()));
            if names.peek().is_none() && !part.is_dir {
                place = match mount::open(place.as_fd(), &name, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL) {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                        mount::open(place.as_fd(), &name, libc::O_PATH | libc::O_NOFOLLOW)?
                    }
                    made => made?,
                };
                if FileType::from_raw_mode(fstat(&place)?.st_mode) == FileType::Symlink {
                    return Err(io::Error::from_raw_os_error(libc::ELOOP));
                }
                break;
            }
            match mount::make_dir(place.as_fd(), &name, 0o755) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    place = mount::open(place.as_fd(), &name, FOLDER)?;
                }
                made => {
                    made?;
                    place = mount::open(place.as_fd(), &name, FOLDER)?;
                    // What is left of it is removed in the name of the session's user.
                    if fstat(&place)?.st_uid != owner.st_uid {
                        identity::give_place_to(place.as_fd(), owner.st_uid, owner.st_gid)?;
                    }
                }
            }
        }
        mount::attach_to(part.mount.as_fd(), place.as_fd())
    };
    attach().at(Stage::Mount, &part.at.display().to_string())
}

fn make_dirs(root: BorrowedFd<'_>, path: &Path) -> Result<(), Failure> {
    let mut done = PathBuf::new();
    for name in path.components() {
        done.push(name);
        make_dir(root, &c_path(&done), 0o755)?;
    }
    Ok(())
}

fn make_dir(root: BorrowedFd<'_>, path: &CStr, mode: u32) -> Result<(), Failure> {
    match mount::make_dir(root, path, mode) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        result => result.at(Stage::Mount, &path.to_string_lossy()),
    }
}

fn make_link(root: BorrowedFd<'_>, path: &Path, target: &Path) -> Result<(), Failure> {
    make_dirs(root, path.parent().unwrap_or(Path::new("")))?;
    mount::make_link(&c_path(target), root, &c_path(path)).at(Stage::Mount, &path.display().to_string())
}

/// The files of `/etc` that are made up: one user, one host.
fn write_etc(root: BorrowedFd<'_>, user: u32, plan: &Plan, resolver: &[u8]) -> Result<(), Failure> {
    make_dirs(root, Path::new("etc"))?;
    let home = plan.policy.mount_at.display();
    let passwd = format!(
        "root:x:0:0:root:/:/usr/sbin/nologin\nuser:x:{user}:{user}:user:{home}:/bin/sh\n\
         nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
    );
    let group = format!("root:x:0:\nuser:x:{user}:\nnogroup:x:65534:\n");
    let files: [(&CStr, &[u8]); 6] = [
        (c"etc/passwd", passwd.as_bytes()),
        (c"etc/group", group.as_bytes()),
        (c"etc/hostname", b"sandbox\n"),
        (c"etc/hosts", b"127.0.0.1 localhost sandbox\n::1 localhost\n"),
        (c"etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files dns\n"),
        (c"etc/resolv.conf", resolver),
    ];
    for (path, content) in files {
        let write = || File::from(mount::make_file(root, path)?).write_all(content);
        write().at(Stage::Mount, &path.to_string_lossy())?;
    }
    Ok(())
}

fn make_dev(root: BorrowedFd<'_>, devices: &[(&CStr, Part)]) -> Result<(), Failure> {
    make_dir(root, c"dev", 0o755)?;
    for (_, part) in devices {
        make_point(root, part)?;
        mount::attach(part.mount.as_fd(), root, &c_path(&part.at)).at(Stage::Mount, "a device")?;
    }
    let links: [(&CStr, &CStr); 4] = [
        (c"dev/fd", c"/proc/self/fd"),
        (c"dev/stdin", c"/proc/self/fd/0"),
        (c"dev/stdout", c"/proc/self/fd/1"),
        (c"dev/stderr", c"/proc/self/fd/2"),
    ];
    for (path, target) in links {
        mount::make_link(target, root, path).at(Stage::Mount, "a link in /dev")?;
    }
    Ok(())
}

/// One `tmpfs` for all temporary places that are the sandbox's own, so that one size bounds them together.
fn make_scratch(root: BorrowedFd<'_>, plan: &Plan) -> Result<(), Failure> {
    make_link(root, Path::new("var/tmp"), Path::new("/tmp"))?;
    // Programs and people look for logs there; it is empty.
    make_dirs(root, Path::new("var/log"))?;
    make_dir(root, c"dev/shm", 0o755)?;
    make_dir(root, c"tmp", 0o755)?;
    attach_scratch(root, plan)
}

fn attach_scratch(root: BorrowedFd<'_>, plan: &Plan) -> Result<(), Failure> {
    let stage = Stage::Mount;
    let limits = &plan.policy.limits;
    let number = |value: u64| CString::new(value.to_string()).expect("digits contain no zero byte");
    let (size, files) = (number(limits.tmp_size), number(limits.tmp_files));
    let mode = if plan.policy.tmp.is_some() { c"1777" } else { c"755" };
    let options = [(c"size", Some(&*size)), (c"nr_inodes", Some(&*files)), (c"mode", Some(mode))];
    let scratch = mount::create(c"tmpfs", &options, WRITABLE).at(stage, "a tmpfs for /tmp")?;
    if plan.policy.tmp.is_some() {
        return mount::attach(scratch.as_fd(), root, c"dev/shm").at(stage, "/dev/shm");
    }
    mount::attach(scratch.as_fd(), root, c"tmp").at(stage, "/tmp")?;
    for name in [c"tmp", c"shm"] {
        make_dir(scratch.as_fd(), name, 0o1777)?;
    }
    let tmp = mount::copy_below(scratch.as_fd(), c"tmp").at(stage, "/tmp")?;
    let shm = mount::copy_below(scratch.as_fd(), c"shm").at(stage, "/dev/shm")?;
    // This covers the root of the file system, where both lie side by side. Not unmounting it saves a millisecond, for
    // which the kernel would wait until no processor can still be looking at it.
    mount::attach(tmp.as_fd(), root, c"tmp").at(stage, "/tmp")?;
    mount::attach(shm.as_fd(), root, c"dev/shm").at(stage, "/dev/shm")
}

/// The view of the sandbox's own processes. Container runtimes that mask parts of `/proc` make the kernel refuse it.
fn make_proc(root: BorrowedFd<'_>, read_only: bool) -> Result<bool, Failure> {
    make_dir(root, c"proc", 0o555)?;
    attach_proc(root, read_only)
}

/// Read-only, a program cannot have the kernel end others before it (`oom_score_adj`). What `/proc/self/fd` leads to can be
/// written as ever.
fn attach_proc(root: BorrowedFd<'_>, read_only: bool) -> Result<bool, Failure> {
    let attributes = Attributes { no_devices: true, no_exec: true, read_only };
    match mount::create(c"proc", &[], attributes) {
        Ok(proc) => mount::attach(proc.as_fd(), root, c"proc").at(Stage::Mount, "/proc").map(|()| true),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(false),
        Err(error) => Err(error).at(Stage::Mount, "/proc"),
    }
}

fn relative(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_path_buf()
}
