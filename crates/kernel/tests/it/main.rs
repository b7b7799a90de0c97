//! Real interpreters, driven through the public interface. A language that is not installed fails its tests.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

agb_sandbox::helper_before_main!();

mod background;
mod bytecode;
mod cleanup;
mod delivered;
mod descriptors;
mod generated;
mod hostile;
mod image;
mod java;
mod java_ends;
mod java_programs;
mod javascript;
mod left_behind;
mod lifecycle;
mod messages;
mod notebook;
mod plotly;
mod principles;
mod program_ends;
mod python;
mod python_programs;
mod python_properties;
mod r;
mod r_programs;
mod r_replaced;
mod random;
mod streaming;
mod support;
mod surroundings;
mod times;
mod whole_programs;
mod zygote;
