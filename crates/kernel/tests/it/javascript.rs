//! What JavaScript cells do.
