//! Looking, from inside a trial sandbox, whether it keeps what it promises.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::Failure;
use crate::Level;
use crate::error::Stage;
use crate::plan::Plan;
use crate::sys::{identity, process};

/// Tries what must fail and what must work.
pub(super) fn look(plan: &Plan) -> Result<(), Failure> {
    let level = plan.policy.level;
    let workdir = plan.policy.workdir_inside();
    must_work("write in the working directory", fs::write(workdir.join("trial"), "1"))?;
    must_work("read the working directory", fs::read_dir(workdir))?;
    must_work("open /dev/null", File::options().write(true).open("/dev/null"))?;
    must_work("list /usr", fs::read_dir("/usr"))?;
    if level == Level::None {
        return Ok(());
    }
    must_fail("read /etc/shadow", File::open("/etc/shadow"))?;
    must_fail("list /root", fs::read_dir("/root"))?;
    must_fail("write in /", fs::write("/trial", ""))?;
    must_fail("write in /usr", fs::write("/usr/trial", ""))?;
    must_fail("make a user namespace", identity::unshare(libc::CLONE_NEWUSER))?;
    must_fail("become root", identity::become_user(0, 0))?;
    if (0..64).any(identity::has_capability) {
        return Err(Failure::new(Stage::Trial, libc::EPERM, "the program has a capability"));
    }
    if level.has_namespaces() {
        must_work("write in /tmp", fs::write("/tmp/trial", ""))?;
        must_fail("see the host's /sys", fs::read_dir("/sys"))?;
        if process::id() > 2 {
            return Err(Failure::new(Stage::Trial, libc::EPERM, "the process numbers are the host's"));
        }
        if Path::new("/proc/self").exists() && Path::new("/proc/3").exists() {
            return Err(Failure::new(Stage::Trial, libc::EPERM, "other processes can be seen"));
        }
    } else {
        must_fail("signal a process outside", process::may_signal(process::parent()))?;
    }
    Ok(())
}

fn must_work<T>(what: &str, result: io::Result<T>) -> Result<(), Failure> {
    match result {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::of(Stage::Trial, &error, format!("a program inside could not {what}"))),
    }
}

fn must_fail<T>(what: &str, result: io::Result<T>) -> Result<(), Failure> {
    match result {
        Ok(_) => Err(Failure::new(Stage::Trial, libc::EPERM, format!("a program inside could {what}"))),
        Err(_) => Ok(()),
    }
}
