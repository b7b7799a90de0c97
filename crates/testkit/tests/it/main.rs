//! The load server and the proxy, as their users see them.

mod load;
mod proxy;
