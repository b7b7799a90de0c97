//! Which limit of a session was exceeded.

use std::fmt;

/// A limit of a session that was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Exceeded {
    /// [`Limits::total_memory`](crate::Limits::total_memory).
    Memory(u64),
    /// [`Limits::disk`](crate::Limits::disk).
    Disk(u64),
    /// [`Limits::files`](crate::Limits::files).
    Files(u64),
    /// [`Limits::mappings`](crate::Limits::mappings).
    Mappings(u64),
    /// [`Limits::total_open_files`](crate::Limits::total_open_files), or the part of the machine's that a session may have.
    OpenFiles(u64),
    /// [`Limits::total_connections`](crate::Limits::total_connections), or the part of the machine's that a session may have.
    Connections(u64),
    /// [`Limits::total_watches`](crate::Limits::total_watches), or the part of the user's that a session may have.
    Watches(u64),
    /// [`Limits::processes`](crate::Limits::processes).
    Processes(u64),
    /// [`Limits::total_processes`](crate::Limits::total_processes).
    TotalProcesses(u64),
    /// The part of the machine's queued signals and timers that a session may have, where its programs have the server's user.
    Signals(u64),
    /// [`Limits::total_setsids`](crate::Limits::total_setsids).
    Setsids(u64),
    /// [`Limits::locks`](crate::Limits::locks).
    Locks(u64),
}

impl Exceeded {
    /// What to tell of a program that began while its session was above this limit, in a line.
    #[must_use]
    pub fn notice(self) -> String {
        format!("The session is above its {self}: until it is below, programs can only remove files.")
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(limit) => write!(f, "memory limit {}", Size(*limit)),
            Self::Disk(limit) => write!(f, "disk limit {}", Size(*limit)),
            Self::Files(limit) => write!(f, "limit of {limit} files"),
            Self::Mappings(limit) => write!(f, "limit of {limit} open files and memory mappings"),
            Self::OpenFiles(limit) => write!(f, "limit of {limit} open files"),
            Self::Connections(limit) => write!(f, "limit of {limit} connections and sockets"),
            Self::Watches(limit) => write!(f, "limit of {limit} watches of epoll"),
            Self::Processes(limit) => write!(f, "limit of {limit} processes and threads of one program"),
            Self::TotalProcesses(limit) => write!(f, "limit of {limit} processes and threads"),
            Self::Signals(limit) => write!(f, "limit of {limit} queued signals and timers"),
            Self::Setsids(limit) => write!(f, "limit of {limit} sessions of processes (setsid)"),
            Self::Locks(limit) => write!(f, "limit of {limit} locks of files"),
        }
    }
}

/// Bytes, for people.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match UNITS.iter().find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{} {name}", self.0 / unit),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_as_they_are_set() {
        assert_eq!(Exceeded::Memory(1 << 30).to_string(), "memory limit 1 GiB");
        assert_eq!(Exceeded::Disk(1536 << 20).to_string(), "disk limit 1536 MiB");
        assert_eq!(Exceeded::Memory(1000).to_string(), "memory limit 1000 bytes");
        assert_eq!(Exceeded::Files(10).to_string(), "limit of 10 files");
        assert_eq!(Exceeded::OpenFiles(10).to_string(), "limit of 10 open files");
        assert_eq!(Exceeded::Connections(10).to_string(), "limit of 10 connections and sockets");
        assert_eq!(Exceeded::TotalProcesses(10).to_string(), "limit of 10 processes and threads");
        assert_eq!(Exceeded::Setsids(10).to_string(), "limit of 10 sessions of processes (setsid)");
        assert_eq!(Exceeded::Locks(10).to_string(), "limit of 10 locks of files");
        assert_eq!(Exceeded::Mappings(10).to_string(), "limit of 10 open files and memory mappings");
    }
}
