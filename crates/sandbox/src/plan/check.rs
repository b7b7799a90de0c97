//! Making a plan: what can be checked without looking at the machine is checked, and the rest is completed.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::{Kind, Plan, TMP};
use crate::{Command, Level, Network, Policy, SpawnError};

impl Plan {
    /// Checks what can be checked without looking at the machine, and completes the rest.
    pub(crate) fn new(policy: &Policy, command: &Command, kind: Kind) -> Result<Self, SpawnError> {
        numbers_and_level(policy, kind)?;
        let mut policy = policy.clone();
        follow_links(&mut policy)?;
        places(&policy)?;
        plain_paths(&policy, command)?;
        let program = c_string(command.program.as_os_str().as_bytes(), "the program's path")?;
        let mut args = vec![program.clone()];
        for arg in &command.args {
            args.push(c_string(arg.as_bytes(), "an argument")?);
        }
        let env = environment(&policy)?;
        Ok(Self {
            policy,
            program,
            args,
            env,
            dir: command.dir.clone(),
            kind,
            groups: Vec::new(),
            joins_network: false,
            joins_processes: false,
            keeps_background: command.keeps_background,
            on_terminal: command.on_terminal,
            full: None,
        })
    }
}

fn numbers_and_level(policy: &Policy, kind: Kind) -> Result<(), SpawnError> {
    if policy.slot >= crate::policy::SLOTS {
        return invalid(format!("slot {} is not below {}", policy.slot, crate::policy::SLOTS));
    }
    if policy.limits.nice > 19 {
        return invalid(format!("limits.nice is {}, and must be 0 to 19", policy.limits.nice));
    }
    if policy.network == Network::Proxy && !policy.level.has_namespaces() {
        return invalid(format!("a proxy needs a network of its own, which the level {} has not", policy.level));
    }
    if matches!(kind, Kind::Nursery | Kind::Copy) {
        if policy.level != Level::Namespaces {
            return invalid(format!("a nursery needs the level {}, not {}", Level::Namespaces, policy.level));
        }
        if policy.network == Network::Host {
            // Programs there are closed by Landlock as well, which only a program itself can do.
            return invalid("a nursery's programs have a network of their own".to_owned());
        }
    }
    Ok(())
}

/// Follows the links in paths of the host, here where the host's root is the root.
fn follow_links(policy: &mut Policy) -> Result<(), SpawnError> {
    policy.workdir = real(&policy.workdir, "the working directory")?;
    if !policy.workdir.is_dir() {
        return invalid(format!("the working directory {} is not a directory", policy.workdir.display()));
    }
    if let Some(tmp) = &mut policy.tmp {
        *tmp = real(tmp, "the directory for temporary files")?;
    }
    for path in &policy.readonly {
        real(path, "the read-only path")?;
    }
    for mount in &mut policy.mounts {
        mount.dir = real(&mount.dir, "the mounted directory")?;
    }
    Ok(())
}

/// Nothing of the session hides what its sandbox consists of.
fn places(policy: &Policy) -> Result<(), SpawnError> {
    for path in &policy.readonly {
        if hides_the_sandbox(path) && policy.level.has_namespaces() {
            return invalid(format!("{}: the sandbox has one of its own", path.display()));
        }
    }
    for mount in &policy.mounts {
        if !policy.level.has_namespaces() {
            return invalid(format!("a mount needs a level with namespaces, not {}", policy.level));
        }
        let taken = ["/tmp", "/var/tmp"].map(Path::new).into_iter().chain([policy.mount_at.as_path()]);
        if taken.into_iter().any(|dir| mount.at.starts_with(dir) || dir.starts_with(&mount.at))
            || RESERVED.iter().any(|dir| mount.at.starts_with(dir))
        {
            return invalid(format!("{} is a place of the sandbox's", mount.at.display()));
        }
    }
    if let Some(link) = policy.links.iter().find(|link| RESERVED.iter().any(|dir| link.at.starts_with(dir))) {
        return invalid(format!("{} is a place of the system's", link.at.display()));
    }
    if policy.mount_at.components().count() < 2 || RESERVED.iter().any(|dir| policy.mount_at.starts_with(dir)) {
        return invalid(format!("{} is a place of the system's", policy.mount_at.display()));
    }
    Ok(())
}

fn plain_paths(policy: &Policy, command: &Command) -> Result<(), SpawnError> {
    let plain = |path: &Path| {
        let mut parts = path.components();
        parts.next() == Some(Component::RootDir) && parts.all(|part| matches!(part, Component::Normal(_)))
    };
    let mounted = policy.mounts.iter().map(|mount| &mount.at).chain(policy.links.iter().map(|link| &link.at));
    for path in policy.readonly.iter().chain([&policy.mount_at, &command.program]).chain(mounted) {
        if !plain(path) {
            return invalid(format!("{} is not an absolute path without `..`", path.display()));
        }
    }
    if !command.dir.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return invalid(format!("{} is not a path below the working directory", command.dir.display()));
    }
    Ok(())
}

fn invalid<T>(reason: String) -> Result<T, SpawnError> {
    Err(SpawnError::Invalid(reason))
}

/// Where a working directory may not appear: it would hide what the sandbox consists of.
const RESERVED: [&str; 9] = ["/usr", "/etc", "/bin", "/sbin", "/lib", "/lib64", "/proc", "/dev", "/sys"];

/// What is made for each sandbox. Directories below `/tmp` can be shown in it, `/tmp` itself cannot.
fn hides_the_sandbox(path: &Path) -> bool {
    ["/dev", "/proc"].iter().any(|dir| path.starts_with(dir))
        || ["/", "/tmp", "/var", "/var/tmp"].iter().any(|dir| path == Path::new(dir))
}

fn real(path: &Path, what: &str) -> Result<PathBuf, SpawnError> {
    if !path.is_absolute() {
        return Err(SpawnError::Invalid(format!("{what} {} is not absolute", path.display())));
    }
    path.canonicalize()
        .map_err(|error| SpawnError::Invalid(format!("{what} {} cannot be used: {error}", path.display())))
}

fn c_string(bytes: &[u8], what: &str) -> Result<CString, SpawnError> {
    CString::new(bytes).map_err(|_| SpawnError::Invalid(format!("{what} contains a zero byte")))
}

fn environment(policy: &Policy) -> Result<Vec<CString>, SpawnError> {
    let home = policy.workdir_inside().to_string_lossy();
    let tmp = match (policy.level, &policy.tmp) {
        (Level::Namespaces | Level::NamespacesRoot, _) => "/tmp".to_owned(),
        (_, Some(tmp)) => tmp.to_string_lossy().into_owned(),
        (Level::Landlock, None) => format!("{home}/{TMP}"),
        (Level::None, None) => std::env::temp_dir().to_string_lossy().into_owned(),
    };
    let defaults = [
        ("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"),
        ("HOME", &home),
        ("TMPDIR", &tmp),
        ("USER", "user"),
        ("LANG", "C.UTF-8"),
        // One zone in every language and on every host. An image's environment or the program changes it.
        ("TZ", "UTC"),
    ];
    let mut env = Vec::new();
    for (name, value) in defaults {
        if !policy.env.iter().any(|(given, _)| given == name) {
            env.push(c_string(format!("{name}={value}").as_bytes(), "a path")?);
        }
    }
    for (name, value) in &policy.env {
        if name.is_empty() || name.contains('=') {
            return Err(SpawnError::Invalid(format!("{name:?} cannot name an environment variable")));
        }
        env.push(c_string(format!("{name}={value}").as_bytes(), "the environment")?);
    }
    Ok(env)
}
