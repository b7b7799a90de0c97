//! The file tools that look.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use cap_std::fs::{File, FileType, Metadata, MetadataExt, OpenOptions, PermissionsExt};
use data_encoding::BASE64;

use super::args::Args;
use super::error::ToolError;
use crate::budget::Charge;
use crate::time_text;
use crate::workspace::{LastLink, Located, Workspace};

/// What a list takes, for each of its lines' bytes: the names, the lines, and what they are joined to.
pub(super) const LINES: usize = 3;
/// A directory of more entries is searched, not listed.
const MAX_ENTRIES: usize = 100_000;
/// Files in one call; more are a loop's mistake.
const MAX_FILES: usize = 1000;
/// The longest character is four bytes: so many more are read to complete the last one.
const CHARACTER: u64 = 3;

pub(super) fn read_file(workspace: &Workspace, args: &Args, memory: &mut Charge) -> Result<String, ToolError> {
    let at = workspace.folder().reach(args.text("path")?, LastLink::Followed)?;
    let (offset, length) = (args.bytes("offset")?, args.bytes("length")?);
    let format = args.optional_text("format")?.unwrap_or("text");
    let limit = workspace.config().limits.max_tool_output as u64;
    match format {
        "" | "text" => read_text(&at, offset, length, limit, memory),
        "binary" => {
            let bytes = read_bytes(&at, offset, length, limit, memory)?;
            memory.grow(BASE64.encode_len(bytes.len()))?;
            Ok(BASE64.encode(&bytes))
        }
        _ => Err(args.invalid("format", "text or binary")),
    }
}

pub(super) fn read_multiple_files(
    workspace: &Workspace,
    args: &Args,
    memory: &mut Charge,
) -> Result<String, ToolError> {
    let paths = args.texts("paths")?;
    if paths.is_empty() {
        return Err(args.invalid("paths", "a list with a path at least"));
    }
    if paths.len() > MAX_FILES {
        return Err(too_much("the number of files", MAX_FILES, "ask for them in several calls"));
    }
    let limit = workspace.config().limits.max_tool_output;
    let mut parts: Vec<String> = Vec::new();
    let mut size = 0;
    for given in paths {
        let read = workspace
            .folder()
            .reach(&given, LastLink::Followed)
            .map_err(ToolError::from)
            .and_then(|at| read_text(&at, 0, 0, (limit - size) as u64, memory));
        let part = match read {
            Ok(text) => format!("{given}:\n{text}\n"),
            Err(error @ ToolError::OverBudget(_)) => return Err(error),
            // One that has no room leaves it to those behind it.
            Err(error) => format!("{given}: Error - {error}\n"),
        };
        size = (size + part.len()).min(limit);
        // The parts, and what they are joined to.
        memory.resize(2 * size)?;
        parts.push(part);
    }
    Ok(parts.join("\n---\n"))
}

pub(super) fn get_file_info(workspace: &Workspace, args: &Args) -> Result<String, ToolError> {
    let given = args.text("path")?;
    let at = match workspace.folder().reach(given, LastLink::Kept) {
        Ok(at) => at,
        Err(error) => {
            return workspace.folder().names_above(given, error).map(|_| info_above(given)).map_err(Into::into);
        }
    };
    let failed = |error: io::Error| ToolError::system("looking at", &at.inside, &error);
    let link = at.dir.symlink_metadata(&at.path).map_err(failed)?;
    // A link that leads nowhere, or out, is shown as what it is itself.
    let meta = if link.is_symlink() {
        let target = workspace.folder().reach(given, LastLink::Followed)?;
        target.dir.metadata(&target.path).unwrap_or_else(|_| link.clone())
    } else {
        link.clone()
    };
    let time = |time: io::Result<cap_std::time::SystemTime>| match time {
        Ok(time) => time_text::to_the_millisecond(time.into_std()),
        Err(_) => "unknown".to_owned(),
    };
    let kind = match () {
        () if meta.is_dir() => "directory",
        () if meta.is_file() => "file",
        () if meta.is_symlink() => "link",
        () => "other",
    };
    let mode = meta.permissions().mode() & 0o7777;
    let own = workspace.slot().user().unwrap_or_else(own_user);
    let (owner, group) = (name_of(MetadataExt::uid(&meta), own), name_of(MetadataExt::gid(&meta), own));
    // `modTime` and `mode` are what the published TypeScript reads, `modified` and `permissions` what others do.
    let lines = [
        format!("name: {}", one_line(&at.inside.file_name().unwrap_or_default().to_string_lossy())),
        format!("path: {}", one_line(&at.inside.to_string_lossy())),
        format!("type: {kind}"),
        format!("owner: {owner}"),
        format!("group: {group}"),
        format!("mode: {mode:o}"),
        format!("modTime: {}", time(meta.modified())),
        format!("size: {}", meta.len()),
        format!("created: {}", time(meta.created())),
        format!("modified: {}", time(meta.modified())),
        format!("accessed: {}", time(meta.accessed())),
        format!("isDirectory: {}", meta.is_dir()),
        format!("isFile: {}", meta.is_file()),
        format!("isSymbolicLink: {}", link.is_symlink()),
        format!("permissions: {mode:o}"),
        format!("links: {}", MetadataExt::nlink(&meta)),
    ];
    Ok(lines.join("\n"))
}

pub(super) fn list_directory(workspace: &Workspace, args: &Args, memory: &mut Charge) -> Result<String, ToolError> {
    let given = args.text("path")?;
    let at = match workspace.folder().reach(given, LastLink::Followed) {
        Ok(at) => at,
        Err(error) => {
            let names = workspace.folder().names_above(given, error)?;
            return Ok(listing(names.into_iter().map(|(name, is_dir)| (!is_dir, name)).collect()));
        }
    };
    let failed = |error: io::Error| ToolError::system("listing", &at.inside, &error);
    let mut lines = Vec::new();
    for entry in at.dir.read_dir(&at.path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_dir = entry.file_type().is_ok_and(|kind: FileType| kind.is_dir());
        let name = one_line(&entry.file_name().to_string_lossy());
        memory.grow(LINES * (size_of::<(bool, String)>() + name.len()))?;
        lines.push((!is_dir, name));
        if lines.len() > MAX_ENTRIES {
            return Err(too_much("the list", MAX_ENTRIES, "look for what you need with search_files"));
        }
    }
    Ok(listing(lines))
}

/// Directories first, each kind by name.
fn listing(mut lines: Vec<(bool, String)>) -> String {
    lines.sort_unstable();
    let lines: Vec<String> = lines
        .into_iter()
        .map(|(is_file, name)| format!("{} {name}", if is_file { "[FILE]" } else { "[DIR]" }))
        .collect();
    lines.join("\n")
}

/// The whole of a text file.
pub(super) fn read_whole(at: &Located, limit: u64, memory: &mut Charge) -> Result<String, ToolError> {
    let bytes = read_bytes(at, 0, 0, limit, memory).map_err(|error| match error {
        ToolError::TooMuch { limit, .. } => {
            let what = format!("what is edited of {:?}", at.inside.display().to_string());
            ToolError::TooMuch { what, limit: format!("{limit} bytes"), hint: "edit it with a program" }
        }
        error => error,
    })?;
    String::from_utf8(bytes).map_err(|_| ToolError::WrongKind {
        path: at.inside.display().to_string(),
        is: "not a text",
        hint: "only UTF-8 text can be edited",
    })
}

/// A part of a text file. A character belongs to the part that its first byte is in, so that the parts of a file, put
/// together, are the file.
fn read_text(at: &Located, offset: u64, length: u64, limit: u64, memory: &mut Charge) -> Result<String, ToolError> {
    let asked = if length == 0 { 0 } else { length.saturating_add(CHARACTER) };
    let mut bytes = read_bytes(at, offset, asked, limit.saturating_add(CHARACTER), memory)?;
    // The text is a copy; what is not text becomes three bytes for one.
    memory.grow(if str::from_utf8(&bytes).is_ok() { bytes.len() } else { 3 * bytes.len() })?;
    let is_middle = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000;
    if length > 0 {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let rest = bytes.get(length..).unwrap_or_default();
        let tail = rest.iter().take_while(|byte| is_middle(byte)).count();
        bytes.truncate(length.saturating_add(tail));
    }
    let head = if offset > 0 { bytes.iter().take(3).take_while(|byte| is_middle(byte)).count() } else { 0 };
    Ok(String::from_utf8_lossy(&bytes[head..]).into_owned())
}

fn read_bytes(at: &Located, offset: u64, length: u64, limit: u64, memory: &mut Charge) -> Result<Vec<u8>, ToolError> {
    let failed = |error: io::Error| ToolError::system("reading", &at.inside, &error);
    let (mut file, meta) = open(at, OpenOptions::new().read(true))?;
    // Files of /proc say that they have no size, and are read to their end.
    let rest = if meta.len() == 0 { limit.saturating_add(1) } else { meta.len().saturating_sub(offset) };
    let wanted = if length == 0 { rest } else { length.min(rest) };
    let in_parts = || {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        too_much("the answer", limit, "read the file in parts, by offset and length")
    };
    if wanted > limit && meta.len() > 0 {
        return Err(in_parts());
    }
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let expected = usize::try_from(wanted.min(meta.len())).unwrap_or(usize::MAX);
    memory.grow(expected)?;
    let mut bytes = Vec::with_capacity(expected);
    file.take(wanted).read_to_end(&mut bytes).map_err(failed)?;
    memory.grow(bytes.capacity().saturating_sub(expected))?;
    if bytes.len() as u64 > limit { Err(in_parts()) } else { Ok(bytes) }
}

/// Opens a regular file.
pub(super) fn open(at: &Located, options: &mut OpenOptions) -> Result<(File, Metadata), ToolError> {
    at.open(options).map_err(|error| refused(at, &error))
}

/// Why a file cannot be opened.
pub(super) fn refused(at: &Located, error: &io::Error) -> ToolError {
    match error.kind() {
        io::ErrorKind::IsADirectory => wrong_kind(at, "a directory"),
        io::ErrorKind::InvalidInput if error.raw_os_error().is_none() => wrong_kind(at, "not a regular file"),
        // Of a pipe that nobody reads, of a socket, of a device.
        _ if error.raw_os_error() == Some(libc::ENXIO) => wrong_kind(at, "not a regular file"),
        _ if error.raw_os_error() == Some(libc::ELOOP) => wrong_kind(at, "a link that leads in a circle"),
        _ => ToolError::system("opening", &at.inside, error),
    }
}

fn wrong_kind(at: &Located, is: &'static str) -> ToolError {
    ToolError::WrongKind { path: at.inside.display().to_string(), is, hint: "give a file" }
}

/// What there is to know of a directory that is there because of what is below it.
fn info_above(path: &str) -> String {
    let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
    format!(
        "name: {name}\npath: {path}\ntype: directory\nowner: root\ngroup: root\nmode: 755\nmodTime: unknown\nsize: 0\n\
         modified: unknown\nisDirectory: true\nisFile: false\nisSymbolicLink: false\npermissions: 755"
    )
}

/// The user that programs run as where they have none of their own: the server's.
fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The name of a user or group as programs see it: there are root, the session's own, and nobody.
fn name_of(id: u32, own: u32) -> String {
    match id {
        0 if own != 0 => "root".to_owned(),
        _ if id == own => "user".to_owned(),
        _ => id.to_string(),
    }
}

/// A name that cannot pass for two lines.
pub(super) fn one_line(name: &str) -> String {
    name.replace(['\n', '\r'], "\u{FFFD}")
}

fn too_much(what: &str, limit: usize, hint: &'static str) -> ToolError {
    ToolError::TooMuch { what: what.to_owned(), limit: limit.to_string(), hint }
}
