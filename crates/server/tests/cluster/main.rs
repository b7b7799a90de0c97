//! Several `agb-server` processes on a real etcd, and what its failures and theirs may do.
//!
//! The tests that wait for a minute are run by `cargo xtask test --only cluster`.
//!
//! What a cluster promises, in the words of its manual, and where it is tried:
//!
//! | failure | test |
//! | --- | --- |
//! | a server is killed; it is restarted in place | `deaths::a_killed_server_…`; the first call after it: `cluster/peer_client.rs` |
//! | a whole host is gone | `outages::two_faults_at_once_…` (all ways to it swallow everything) |
//! | a server stands still | `deaths::a_frozen_server_…`, with its run; `deaths::a_short_freeze_…` |
//! | one that stands still, or does not answer, while others wait for it | `partitions::a_way_that_swallows_…`, `it::cluster_silence` |
//! | one that never reaches the registry again; `--fence-after` | `outages::two_faults_at_once_…` |
//! | the registry is away, without its leader, slow | `outages::an_outage_…`, `outages::a_registry_that_stalls_…`; it takes calls and says nothing: `outages::a_registry_that_says_nothing_…` |
//! | one server is cut off from the registry | `outages::a_server_cut_off_…` |
//! | the registry is wiped; a copy of its files, or its own snapshot, is restored | `outages::a_wiped_or_restored_…`, `outages::a_snapshot_…`, `it::cluster_changes` |
//! | two servers cannot reach each other: refused, swallowed | `outages::servers_that_cannot_…`, `partitions::a_way_that_swallows_…` |
//! | two servers of one name | `names::the_second_of_a_name_…` |
//! | clocks are wrong by hours | `clocks::…` |
//! | a balancer moves its clients; the entry of a run dies | `entries::runs_go_on_…` |
//! | the owner dies while sessions are made | `entries::no_session_is_left_over_…` |
//! | servers are replaced one by one | `entries::three_servers_are_replaced_…`; through nginx and HAProxy `tests/it/deploy.rs` |
//! | an API key is replaced everywhere | `keys::…` |
//! | somebody writes records; etcd has users, or TLS; servers have TLS | `records::…`, `security::…` |
//! | all of it at random | `cluster/table/walk.rs` (no processes), `storm::…` (`cargo xtask soak --cluster`) |

mod clocks;
mod deaths;
mod entries;
mod keys;
mod names;
mod outages;
mod partitions;
mod records;
mod security;
mod storm;
mod support;
