//! Deaths, restarts, queues.
