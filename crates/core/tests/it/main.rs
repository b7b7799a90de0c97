//! The core through its public face.

mod transcripts;
