//! Everything the server promises, tried from outside over a real socket.
