//! Contexts: folders of files that outlive sessions, one set for each API key.
//!
//! ```text
//! <contexts-dir>/lock                     held by the one server that uses the folder
//! <contexts-dir>/key-<name>/<context id>/ context.json · files/… · incoming/ (uploads) · trash-…/ (being cleared)
//! <contexts-dir>/key-<name>/<context id>.deleted/ (being removed)
//! ```
//!
//! | module | what it does |
//! | --- | --- |
//! | `store` | finds, creates, lists, renames and deletes contexts |
//! | `context` | the files of one context, changed one whole file at a time |
//! | `listing` | a page of a folder's files |
//! | `policy` | reads what is synchronised with a session, when and how |
//! | `recycle` | removes files by age |
//! | `turns` | has calls wait for each other, fair by API key |
//! | `usage` | counts bytes and files against the quota |
//! | `path` | reads the paths of files in a context |
//! | `signed` | signs URLs that open one file for one method and a while |
//! | `signed_transfers` | counts what goes on over them |
//!
//! Invariants:
//! * the bytes and files of a context, unfinished uploads included, never exceed its quota;
//! * a file is replaced as a whole or not at all;
//! * a context is found with the API key that created it and with no other.

mod context;
mod error;
mod json_object;
mod listing;
mod path;
mod policy;
mod recycle;
mod signed;
mod signed_transfers;
mod store;
mod turns;
mod upload;
mod usage;

pub(crate) use self::context::{Context, Entry, remove_tree};
pub(crate) use self::error::ContextError;
pub(crate) use self::path::ContextPath;
pub(crate) use self::policy::{Extract, MAX_POLICY, RecycleRule, SyncPolicy};
pub(crate) use self::signed::{BadUrl, SignedMethod, SignedQuery, UrlSigner};
pub(crate) use self::signed_transfers::SignedTransfer;
pub(crate) use self::store::{Contexts, Wanted};
pub(crate) use self::upload::Upload;
