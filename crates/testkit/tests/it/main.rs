//! The load server, as a client sees it.

mod load;
