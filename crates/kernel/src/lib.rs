//! Interpreter processes that keep state between runs.
//!
//! One [`Kernel`] is one interpreter of one session. It starts with its first [`Cell`], queues cells in order, and
//! ends with its last handle.
