//! Which server a session, a link or a file that passes through belongs to, as its name says it, and whether that server
//! lives.

use super::{Cluster, Incarnation, Located, Peer, clock};

impl Cluster {
    /// Where what this owner has is. Calls the registry for owners only that nobody knows: at most ten times a second,
    /// whoever asks.
    pub(crate) async fn locate(&self, owner: Incarnation) -> Located {
        self.wait_if_frozen().await;
        if let Some(located) = self.table().locate(owner) {
            return located;
        }
        match self.read().await {
            Ok(()) => self.table().locate_after_read(owner, clock::now()),
            Err(_) => Located::Unknown,
        }
    }

    /// The server that keeps the contexts of all, if it is another one than this, which keeps some or not. Where several
    /// do, all servers choose the same one: that of the first name.
    pub(crate) fn contexts_at(&self, kept_here: bool) -> Option<Peer> {
        // One whose record went away may keep them still: another one would say that there are none.
        let others = self.peers().into_iter().chain(self.vanished()).filter(|peer| peer.load.contexts);
        let first = others.min_by(|one, other| one.name.cmp(&other.name))?;
        (!kept_here || first.name.as_str() < self.name()).then_some(first)
    }

    /// When the server of this session was declared lost, in milliseconds since 1970; `None` where it was not, as far as
    /// this server has heard, and inside where nobody knows when.
    pub(crate) fn lost(&self, session_id: &str) -> Option<Option<u64>> {
        match self.table().locate(Incarnation::of_session(session_id)?)? {
            Located::Gone { lost_at } => Some(lost_at),
            Located::Here | Located::At { .. } | Located::Unknown => None,
        }
    }

    /// Comes when this server has heard that the other one is lost.
    pub(crate) async fn until_lost(&self, owner: Incarnation) {
        let mut beats = self.beats.subscribe();
        loop {
            let located = self.table().locate(owner);
            if matches!(located, Some(Located::Gone { .. })) {
                return;
            }
            // The sender lives as long as this.
            let _ = beats.changed().await;
        }
    }
}
