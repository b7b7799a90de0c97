//! 

pub mod language;
pub mod secret;
