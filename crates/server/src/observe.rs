//! What those who run the server see of it.

mod census;
mod cluster;
mod forwarding;
pub(crate) mod metrics;

pub(crate) use self::census::Census;
pub(crate) use self::cluster::ClusterCensus;
pub(crate) use self::metrics::{Metrics, Released, RunMeter};
