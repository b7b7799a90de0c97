//! Where a new session goes: the best of two servers taken at random, so that servers that know the load of two seconds
//! ago do not all choose the same one.

use super::settings::Placement;

/// A server that a session could be created at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(crate) sessions: usize,
    pub(crate) max: usize,
    /// It has refused a session, or not been heard of, since it last said how full it is.
    pub(crate) avoid: bool,
    /// An interpreter of the image is ready there.
    pub(crate) is_warm: bool,
}

/// Which server is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Here,
    /// The one of this index.
    Other(usize),
}

/// How much worse than the better of two others this server may be and still keep the session: passing a call on costs
/// more than a small difference in load.
const MARGIN: f64 = 0.1;

impl Capacity {
    fn has_place(&self) -> bool {
        self.sessions < self.max
    }

    fn is_open(&self) -> bool {
        self.has_place() && !self.avoid
    }

    fn free_share(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "shares need no more than a few digits")]
        let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
        share(self.max.saturating_sub(self.sessions), self.max)
    }

    /// How good it is to go there; more is better.
    fn merit(&self, placement: Placement) -> f64 {
        match placement {
            Placement::Spread => self.free_share(),
            Placement::Pack => 1.0 - self.free_share(),
        }
    }
}

/// Chooses among this server, where it takes sessions, and others. Servers to be avoided come into question only where no
/// other is left, and those that are full as far as is known only after them: what is known is some seconds old. `random`
/// gives a number below its argument.
pub(crate) fn choose(
    here: Option<Capacity>,
    others: &[Capacity],
    placement: Placement,
    mut random: impl FnMut(usize) -> usize,
) -> Option<Choice> {
    let mut open: Vec<usize> = (0..others.len()).filter(|&index| others[index].is_open()).collect();
    let here_open = here.filter(Capacity::is_open);
    if open.is_empty() && here_open.is_none() {
        let avoided: Vec<usize> = (0..others.len()).filter(|&index| others[index].has_place()).collect();
        if !avoided.is_empty() {
            return Some(Choice::Other(avoided[random(avoided.len())]));
        }
        return match (here, others.len()) {
            (Some(_), _) => Some(Choice::Here),
            (None, 0) => None,
            (None, count) => Some(Choice::Other(random(count))),
        };
    }
    let mut draw = || (!open.is_empty()).then(|| open.swap_remove(random(open.len())));
    let (first, second) = (draw(), draw());
    let better = match (first, second) {
        (Some(one), Some(other)) => Some(better(one, other, others, placement)),
        (one, _) => one,
    };
    let Some(better) = better else { return Some(Choice::Here) };
    let stays = here_open.is_some_and(|here| here.merit(placement) >= others[better].merit(placement) - MARGIN);
    Some(if stays { Choice::Here } else { Choice::Other(better) })
}

fn better(one: usize, other: usize, servers: &[Capacity], placement: Placement) -> usize {
    let key = |index: usize| (servers[index].merit(placement), servers[index].is_warm);
    if key(other) > key(one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(sessions: usize, max: usize) -> Capacity {
        Capacity { sessions, max, avoid: false, is_warm: false }
    }

    /// What is drawn first is what comes first.
    fn first(_: usize) -> usize {
        0
    }

    #[test]
    fn this_server_keeps_a_session_unless_another_is_clearly_better() {
        let others = [server(50, 100), server(90, 100)];
        let spread = |here| choose(here, &others, Placement::Spread, first);
        assert_eq!(spread(Some(server(55, 100))), Some(Choice::Here));
        assert_eq!(spread(Some(server(61, 100))), Some(Choice::Other(0)));
        assert_eq!(spread(None), Some(Choice::Other(0)));
        let pack = |here| choose(here, &others, Placement::Pack, first);
        assert_eq!(pack(Some(server(85, 100))), Some(Choice::Here));
        assert_eq!(pack(Some(server(10, 100))), Some(Choice::Other(1)));
    }

    #[test]
    fn a_full_server_is_asked_only_where_all_are_full() {
        let full = server(10, 10);
        assert_eq!(choose(Some(full), &[server(9, 10), full], Placement::Pack, first), Some(Choice::Other(0)));
        assert_eq!(choose(Some(full), &[full], Placement::Spread, first), Some(Choice::Here));
        assert_eq!(choose(None, &[full, full], Placement::Spread, |count| count - 1), Some(Choice::Other(1)));
        assert_eq!(choose(None, &[], Placement::Spread, first), None);
        assert_eq!(choose(Some(server(0, 0)), &[], Placement::Spread, first), Some(Choice::Here));
    }

    #[test]
    fn a_server_to_be_avoided_is_asked_only_where_no_other_is_left() {
        let avoid = Capacity { avoid: true, ..server(0, 100) };
        let busy = server(99, 100);
        assert_eq!(choose(None, &[avoid, busy], Placement::Spread, first), Some(Choice::Other(1)));
        assert_eq!(choose(Some(busy), &[avoid], Placement::Spread, first), Some(Choice::Here));
        assert_eq!(choose(None, &[avoid], Placement::Spread, first), Some(Choice::Other(0)));
        assert_eq!(
            choose(Some(server(100, 100)), &[server(9, 9), avoid], Placement::Pack, first),
            Some(Choice::Other(1))
        );
    }

    #[test]
    fn between_equals_a_warm_one_is_taken() {
        let warm = Capacity { is_warm: true, ..server(5, 10) };
        assert_eq!(choose(None, &[server(5, 10), warm], Placement::Spread, first), Some(Choice::Other(1)));
        assert_eq!(choose(None, &[warm, server(5, 10)], Placement::Spread, first), Some(Choice::Other(0)));
    }

    /// The invariant of two random choices: a thousand sessions over ten servers, no server far above the mean.
    #[test]
    fn load_is_even_without_anybody_knowing_all_of_it() {
        let mut servers = [server(0, 1000); 10];
        let mut random = agb_protocol::random::SplitMix64::new(7);
        for _ in 0..1000 {
            let choice = choose(None, &servers, Placement::Spread, |count| random.roll(count));
            let Some(Choice::Other(index)) = choice else { panic!("{choice:?}") };
            servers[index].sessions += 1;
        }
        let loads = servers.map(|server| server.sessions);
        assert!(loads.iter().all(|&load| (90..=110).contains(&load)), "{loads:?}");
    }
}
