//! What those who run the server see of it.

mod census;
mod forwarding;
pub(crate) mod metrics;

pub(crate) use self::census::Census;
pub(crate) use self::metrics::{Metrics, Released, RunMeter};
