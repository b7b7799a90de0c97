//! What all servers of this crate do: accept, and converse with each client in a task of its own.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Serves until it is dropped, and every connection with it.
///
/// # Errors
/// When no more connections can be accepted.
pub(crate) async fn serve<C>(listener: TcpListener, mut converse: impl FnMut(TcpStream) -> C) -> io::Result<()>
where
    C: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await?;
        while connections.try_join_next().is_some() {}
        connections.spawn(converse(client));
    }
}

pub(crate) fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner) // every state of them is a whole one
}
