//! All procedures by the names that language bindings call them by.
//!
//! To add one, write it in [`operations`](crate::operations) (a [`Single`] where one call is enough), give
//! its output an `Into<Value>`, add its name here, and its method with its types in `npm/sdk/src` and in `agb-client`.
//! The addon and the WebAssembly build need no change.

use std::time::Duration;

use serde_json::Value;

use crate::codes;
use crate::http::Operation;
use crate::json::{self, Object};
use crate::operations::contexts::{
    self, FindContext, ListContexts, ListFiles, Settle, SyncContext, SyncMode, TaskFilter,
};
use crate::operations::files::{
    CHUNK_SIZE, Edit, FileLink, FileWatch, Files, PART_SIZE, PackedFolder, ReadPart, Transfer, WriteMode, WritePart,
    binary_content, text_content,
};
use crate::operations::{
    AccessScope, CallIfOffered, CommandInfo, GetDetails, GetLabels, GetLink, GetSessionInfo, GrantAccess, ListSessions,
    ListTools, RefreshIdleTime, RunCommand, SessionData, SessionMetrics, SetLabels, Toolbox, object,
};
use crate::procedure::{Arguments, BadArguments, Call, Converted, JsonProcedure, Procedure, Ready, Reply, Single};
use crate::secret::Secret;

/// What a procedure is about.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// The account.
    Account,
    /// A session.
    Session(Toolbox<'a>),
}

/// The procedure of a name, with the arguments of a JSON object.
///
/// | names | arguments | output |
/// | --- | --- | --- |
/// | `command.execute` | `command`, `timeoutMs`, `cwd`, `envs` | `success`, `exitCode`, `output`, `stdout`, `stderr`, `traceId`, `errorMessage` |
/// | `command.list` | | a list of [`CommandInfo`] |
/// | `file.read`, `file.readBytes` | `path` | `content` (bytes in base64) |
/// | `file.write` | `path`, `content`, `mode` | null |
/// | `file.info`, `file.list`, `file.search`, `file.readMany`, `file.changes`, `file.watch` | as the tool | see [`files`](crate::operations::files) |
/// | `file.readChunk`, `file.pack`, `file.discard`, `file.watchOpen`, `file.watchNext`, `file.watchClose` | see [`files`](crate::operations::files) | |
/// | `file.createDirectory`, `file.delete`, `file.move`, `file.edit` | as the tool | null |
/// | `context.…` | as [`contexts`] | |
/// | `session.metrics`, `session.link`, `session.toolIfOffered` | | |
/// | `session.status`, `session.keepAlive`, `session.info`, `session.labels`, `session.setLabels`, `session.tools` | `labels` as pairs | as `binding.ts` has them |
/// | `session.callTool` | `name`, `argsJson` | `isError`, `text`, `contentJson` |
/// | `session.access` | `scope`, `lastsS`, `renew` | a [`SessionAccess`](crate::operations::SessionAccess) |
/// | `session.list`, `image.tools` | `labels` as pairs, `maxResults`, `nextToken`, `isAll`; `imageId` | |
///
/// An argument has the name that it has in the public API of `npm/sdk`, since an error names it to whoever typed it.
///
/// # Errors
/// [`BadArguments`] for an unknown name, a missing or wrong argument, or a name that is not of this scope.
pub fn by_name(name: &str, arguments: &str, scope: Scope<'_>) -> Result<JsonProcedure, BadArguments> {
    let arguments = Arguments::parse(arguments)?;
    let found = match scope {
        Scope::Account => of_account(name, &arguments)?,
        Scope::Session(toolbox) => match name.split_once('.') {
            Some(("file", name)) => of_files(name, &arguments, &Files(toolbox))?,
            _ => of_session(name, &arguments, &toolbox)?,
        },
    };
    found.ok_or_else(|| BadArguments::new(format!("there is no procedure {name}")))
}

type Found = Result<Option<JsonProcedure>, BadArguments>;

fn found<P>(procedure: P) -> Found
where
    P: Procedure + Send + 'static,
    P::Output: Into<Value>,
{
    convert(procedure, Into::into)
}

fn convert<P: Procedure + Send + 'static>(procedure: P, convert: fn(P::Output) -> Value) -> Found {
    Ok(Some(Box::new(Converted::new(procedure, convert))))
}

/// One typed call.
fn typed<O: Operation<Output: Into<Value>> + Send + Sync + 'static>(operation: O) -> Found {
    typed_with(operation, Into::into)
}

fn typed_with<O: Operation + Send + Sync + 'static>(operation: O, convert: fn(O::Output) -> Value) -> Found
where
    O::Output: 'static,
{
    let call = Call::new(operation, move |output| Reply::Service { data: convert(output), fields: Object::new() });
    found(Single::new(call, |answered| Ok(answered.map(|reply| reply.into_service().0))))
}

/// For procedures that answer nothing.
fn nothing((): ()) -> Value {
    Value::Null
}

fn list<T: Into<Value>>(items: Vec<T>) -> Value {
    items.into_iter().map(Into::into).collect()
}

fn of_account(name: &str, arguments: &Arguments) -> Found {
    let id = || arguments.word("contextId");
    let path = || arguments.word("filePath");
    match name {
        "context.list" => found(ListContexts::from_arguments(arguments)?.call()),
        "context.get" => found(FindContext::from_arguments(arguments)?.call()),
        "context.update" => found(contexts::rename_context(&id()?, &arguments.word("name")?)),
        "context.delete" => found(contexts::delete_context(&id()?)),
        "context.uploadUrl" => found(contexts::upload_url(&id()?, &path()?)),
        "context.downloadUrl" => found(contexts::download_url(&id()?, &path()?)),
        "context.deleteFile" => convert(contexts::delete_file(&id()?, &path()?), nothing),
        "context.listFiles" => found(
            ListFiles {
                context_id: id()?,
                folder: arguments.optional_word("parentFolderPath")?.unwrap_or_default(),
                page: arguments.count("pageNumber", 1, 1)?,
                page_size: arguments.count("pageSize", 1, ListFiles::PAGE_SIZE)?,
            }
            .call(),
        ),
        "context.clearAsync" => found(contexts::clear_context(&id()?)),
        "context.clearState" => found(contexts::clear_state(&id()?)),
        "context.clear" => {
            let seconds = |name: &str, default| Ok(arguments.optional_seconds(name)?.unwrap_or(default));
            let timeout = seconds("timeout", Duration::from_secs(60))?;
            found(contexts::ClearContext::new(&id()?, timeout, seconds("pollInterval", Duration::from_secs(2))?))
        }
        "session.list" => typed(ListSessions {
            labels: arguments.pairs("labels")?,
            max_results: arguments
                .optional_count("maxResults", 1)?
                .map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
            next_token: arguments.optional_word("nextToken")?,
            is_all: arguments.optional_flag("isAll")?,
        }),
        "image.tools" => typed_with(ListTools { image_id: arguments.word("imageId")? }, list),
        _ => Ok(None),
    }
}

fn of_files(name: &str, arguments: &Arguments, files: &Files<'_>) -> Found {
    let path = || arguments.text("path");
    match name {
        "read" => convert(files.read(&path()?), text_content),
        "readBytes" => convert(files.read(&path()?), binary_content),
        "write" => convert(files.write(&path()?, arguments.any_text("content")?, write_mode(arguments)?), nothing),
        "info" => found(files.info(&path()?)),
        "list" => convert(files.list(&path()?), list),
        "search" => {
            let exclude = arguments.texts("excludePatterns")?;
            convert(files.search(&path()?, &arguments.text("pattern")?, &exclude), list)
        }
        "readMany" => {
            let paths = arguments.texts("paths")?;
            convert(files.read_many(paths), |files| {
                files.into_iter().map(|(path, text)| (path, Value::from(text))).collect::<Object>().into()
            })
        }
        "changes" => found(files.changes(&path()?)),
        "readChunk" => {
            let (offset, length) = (arguments.count("offset", 0, 0)?, arguments.count("length", 1, CHUNK_SIZE)?);
            convert(files.read_chunk(&path()?, offset, length), binary_content)
        }
        "discard" => {
            let link = FileLink::of(files.0.session).ok_or_else(|| not_offered(FileLink::EXTENSION))?;
            let (path, upload) = (path()?, arguments.word("upload")?);
            let discard = if arguments.flag("archive")? { Files::discard_archive } else { Files::discard };
            convert(discard(files, &link, &path, &upload), nothing)
        }
        "pack" => {
            let link = folder_link(files.0.session)?;
            found(files.pack(&link, &path()?, &arguments.word("upload")?))
        }
        "watchOpen" | "watchNext" | "watchClose" => {
            let watch = FileWatch::of(files.0.session, &path()?, arguments.flag("recursive")?);
            let watch = watch.ok_or_else(|| not_offered(FileWatch::EXTENSION))?;
            match name {
                "watchOpen" => found(watch.open(files.0.id.to_owned())),
                "watchNext" => found(watch.next(arguments.word("watch")?, arguments.count("after", 0, 0)?, files.0.id)),
                _ => convert(watch.close(&arguments.word("watch")?), nothing),
            }
        }
        "watch" => found(files.watch(&path()?, arguments.flag("first")?)),
        "createDirectory" => convert(files.create_directory(&path()?), nothing),
        "delete" => convert(files.delete(&path()?), nothing),
        "move" => convert(files.rename(&arguments.text("source")?, &arguments.text("destination")?), nothing),
        "edit" => {
            let text = |item: &Value, name: &str| Some(item.get(name)?.as_str()?.to_owned());
            let edit = |item: &Value| Some(Edit { old_text: text(item, "oldText")?, new_text: text(item, "newText")? });
            let edits = arguments.list("edits", "a list of { oldText, newText }", edit)?;
            convert(files.edit(&path()?, &edits, arguments.flag("dryRun")?), nothing)
        }
        _ => Ok(None),
    }
}

/// The transfer of a name, with the arguments of a JSON object and, to write, so many bytes.
///
/// | name | arguments | bytes |
/// | --- | --- | --- |
/// | `file.readPart` | `path`, `offset`, `length`, `etag` | those that were read |
/// | `file.writePart` | `path`, `upload`, `mode`, `offset`, `complete`, `archive` | those to write |
///
/// # Errors
/// [`BadArguments`] as [`by_name`], and for a service without the extension.
pub fn transfer_by_name(
    name: &str,
    arguments: &str,
    bytes: u64,
    toolbox: &Toolbox<'_>,
) -> Result<Box<dyn Transfer>, BadArguments> {
    let arguments = Arguments::parse(arguments)?;
    let link = FileLink::of(toolbox.session).ok_or_else(|| not_offered(FileLink::EXTENSION))?;
    let (path, offset) = (arguments.text("path")?, arguments.count("offset", 0, 0)?);
    match name {
        "file.readPart" => {
            let (length, etag) = (arguments.count("length", 1, PART_SIZE)?, arguments.optional_word("etag")?);
            Ok(Box::new(ReadPart::new(link, &path, offset, length, etag)))
        }
        "file.writePart" => {
            let (upload, mode) = (arguments.word("upload")?, write_mode(&arguments)?);
            let (complete, is_archive) = (arguments.flag("complete")?, arguments.flag("archive")?);
            if is_archive {
                folder_link(toolbox.session)?;
            }
            let part = WritePart::new(link, &path, &upload, mode, offset, bytes, complete);
            Ok(Box::new(part.into_folder(is_archive)))
        }
        _ => Err(BadArguments::new(["there is no transfer ", name].concat())),
    }
}

/// The link of a session whose service packs and unpacks folders.
fn folder_link(session: &SessionData) -> Result<FileLink, BadArguments> {
    FileLink::of_folders(session).ok_or_else(|| not_offered(PackedFolder::EXTENSION))
}

fn not_offered(extension: &str) -> BadArguments {
    BadArguments::new(["the service does not have the extension ", extension].concat())
}

fn write_mode(arguments: &Arguments) -> Result<WriteMode, BadArguments> {
    Ok(arguments.choice("mode", "overwrite, append or create_new", WriteMode::parse)?.unwrap_or_default())
}

fn of_session(name: &str, arguments: &Arguments, toolbox: &Toolbox<'_>) -> Found {
    let data = toolbox.session;
    let session = data.session_id.as_str();
    let session_id = || session.to_owned();
    match name {
        "command.list" => convert(CommandInfo::list(toolbox), list),
        "session.status" => typed(GetSessionInfo { session_id: session_id() }),
        "session.keepAlive" => typed_with(RefreshIdleTime { session_id: session_id() }, nothing),
        "session.info" => typed(GetDetails { session_id: session_id() }),
        "session.labels" => typed_with(GetLabels { session_id: session_id() }, |labels| {
            labels.into_iter().map(|(name, value)| Value::from(vec![name, value])).collect()
        }),
        "session.setLabels" => {
            typed_with(SetLabels { session_id: session_id(), labels: arguments.pairs("labels")? }, nothing)
        }
        "session.tools" => match &data.image_id {
            Some(image_id) if data.tools.is_empty() => typed_with(ListTools { image_id: image_id.clone() }, list),
            _ => found(Ready::value(list(data.tools.clone()))),
        },
        "session.callTool" => {
            let given = arguments.text("argsJson")?;
            let Some(Value::Object(given)) = json::parse(&given) else {
                return Err(BadArguments::new("the arguments of a tool must be a JSON object"));
            };
            let call = toolbox.call(&arguments.word("name")?, given);
            found(Single::new(call, |answered| Ok(answered.map(Reply::into_tool))))
        }
        "session.access" => {
            let scope = arguments.choice("scope", "run or read", AccessScope::parse)?.unwrap_or_default();
            let lasts = arguments.optional_seconds("lastsS")?;
            let renew = arguments.optional_word("renew")?.map(Secret::from);
            match GrantAccess::of(data, scope, lasts, renew) {
                _ if toolbox.is_guest => found(Ready::<Value>::refused(codes::NO_API_KEY, GrantAccess::NEEDS_KEY)),
                Some(grant) => typed(grant),
                None => found(Ready::<Value>::refused(codes::NOT_SUPPORTED, GrantAccess::NOT_SUPPORTED)),
            }
        }
        "command.execute" => found(RunCommand::from_arguments(arguments)?.on(toolbox)),
        "session.metrics" => found(SessionMetrics::of(toolbox)),
        "session.toolIfOffered" => {
            found(CallIfOffered::new(toolbox, &arguments.word("name")?, arguments.object("args")?))
        }
        "session.link" => {
            let wrong = |_| BadArguments::new("port must be a port number");
            let port =
                arguments.optional_count("port", 0)?.map(|port| u16::try_from(port).map_err(wrong)).transpose()?;
            typed(GetLink { session_id: session_id(), protocol: arguments.optional_word("protocolType")?, port })
        }
        "context.info" => convert(filter(arguments)?.info(session), list),
        "context.sync" => {
            let filter = pair(arguments)?;
            let retries = arguments.count("maxRetries", 0, SyncContext::RETRIES)?;
            let interval = milliseconds(arguments, "retryInterval", SyncContext::INTERVAL)?;
            convert(SyncContext::new(session, filter, mode(arguments)?, retries, interval), nothing)
        }
        "context.beginSync" => convert(SyncContext::begin(session, &pair(arguments)?, mode(arguments)?), nothing),
        "context.await" => {
            let interval = milliseconds(arguments, "pollInterval", SyncContext::INTERVAL)?;
            let timeout = milliseconds(arguments, "waitTimeout", Duration::from_secs(30))?;
            let retries = timeout.as_millis().div_ceil(interval.as_millis().max(1)) as u64;
            convert(contexts::await_task(session, filter(arguments)?, retries, interval), nothing)
        }
        "context.settle" => {
            // The documented patience of creating a session with mounts: 150 looks, 2 s between two.
            convert(Settle::new(session, TaskFilter::default(), 150, Duration::from_secs(2)), list)
        }
        "context.transfer" => convert(contexts::transfer_context(session), |context| match context {
            Some(context) => object([("contextId", context.context_id.into()), ("path", context.path.into())]),
            None => Value::Null,
        }),
        // Whoever has a session may have its account's key, too.
        _ => of_account(name, arguments),
    }
}

fn filter(arguments: &Arguments) -> Result<TaskFilter, BadArguments> {
    let word = |name: &str| arguments.optional_word(name);
    Ok(TaskFilter { context_id: word("contextId")?, path: word("path")?, kind: word("taskType")? })
}

/// A context and its path, or neither.
fn pair(arguments: &Arguments) -> Result<TaskFilter, BadArguments> {
    let filter = filter(arguments)?;
    if filter.context_id.is_some() != filter.path.is_some() {
        return Err(BadArguments::new("contextId and path must be given together, or neither for all contexts"));
    }
    Ok(filter)
}

fn mode(arguments: &Arguments) -> Result<Option<SyncMode>, BadArguments> {
    arguments.choice("mode", "upload or download", SyncMode::parse)
}

fn milliseconds(arguments: &Arguments, name: &str, default: Duration) -> Result<Duration, BadArguments> {
    Ok(Duration::from_millis(arguments.count(name, 1, default.as_millis() as u64)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::played::{Played, by_gateway, tool};

    fn session(name: &str, arguments: Value) -> Result<JsonProcedure, BadArguments> {
        by_name(name, &arguments.to_string(), Scope::Session(by_gateway().toolbox()))
    }

    #[test]
    fn output_is_json() {
        let mut played = Played::new(session("file.read", json!({"path": "/a"})).unwrap());
        played.call();
        played.answer(tool("size: 1"));
        played.call();
        assert_eq!(played.end(tool("/w==")), Ok(json!({"content": "\u{fffd}"})));
        let mut played = Played::new(session("file.readMany", json!({"paths": ["/a"]})).unwrap());
        played.call();
        assert_eq!(played.end(tool("/a:\nx\n")), Ok(json!({"/a": "x"})));
    }

    #[test]
    fn wrong_arguments_are_named_and_nothing_is_sent() {
        for (name, arguments, words) in [
            ("file.read", json!({}), "path must be a non-empty string"),
            ("file.read", json!({"path": 7}), "path must be"),
            ("file.write", json!({"path": "/a"}), "content must be a string"),
            ("file.write", json!({"path": "/a", "content": "", "mode": "truncate"}), "mode must be"),
            ("file.edit", json!({"path": "/a", "edits": [{"oldText": "a"}]}), "edits must be a list of"),
            ("file.search", json!({"path": "/a", "pattern": "x", "excludePatterns": "y"}), "excludePatterns must be"),
            ("session.link", json!({"port": 70_000}), "port must be"),
            ("session.link", json!({"port": -1}), "port must be"),
            ("context.sync", json!({"contextId": "c"}), "together"),
            ("context.sync", json!({"mode": "sideways"}), "mode must be"),
            ("context.sync", json!({"mode": ""}), "mode must be upload or download"),
            ("context.sync", json!({"retryInterval": 0}), "retryInterval must be"),
            ("context.clear", json!({"contextId": "c", "timeout": -1}), "timeout must be a number above 0"),
            ("context.clear", json!({"contextId": "c", "pollInterval": 1e300}), "pollInterval is too long"),
            (
                "file.write",
                json!({"path": "/a", "content": "", "mode": ""}),
                "mode must be overwrite, append or create_new",
            ),
            ("session.access", json!({"scope": " "}), "scope must be run or read"),
            ("session.setLabels", json!({"labels": {"a": "b"}}), "labels must be a list"),
            ("session.callTool", json!({"name": "t", "argsJson": "[]"}), "the arguments of a tool"),
            ("image.tools", json!({}), "imageId must be"),
            ("nothing", json!({}), "no procedure nothing"),
        ] {
            let error = session(name, arguments).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains(words), "{name}: {error}");
        }
        let account = |name: &str, arguments: &str| by_name(name, arguments, Scope::Account).map(|_| ());
        assert!(account("context.delete", r#"{"contextId":" "}"#).is_err());
        assert!(account("context.delete", "[]").is_err());
        assert!(account("command.execute", r#"{"command":"c"}"#).is_err());
        assert_eq!(account("context.listFiles", r#"{"contextId":"c"}"#), Ok(()));
    }
}
