//! Output on its way.
