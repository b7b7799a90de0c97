//! Who may do what, and how often.
//!
//! | module | what is there |
//! | --- | --- |
//! | `keys` | API keys, which open everything |
//! | `tokens` | a session's own tokens, which open that session |
//! | `access` | accesses that are given out, which open a session for a while, and perhaps for watching only |
//! | `admission` | a session's calls and connections, apart for its own token, its accesses and those that only watch |
//! | `rate` | how often each of them may call |

pub(crate) mod access;
pub(crate) mod admission;
pub(crate) mod keys;
pub(crate) mod rate;
pub(crate) mod tokens;
