//! What will happen to which connection.

use std::ops::Range;
use std::time::Duration;

use agb_protocol::random::SplitMix64;

/// Faults for connections, by their place.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// What the faults follow from.
    pub seed: u64,
    /// How many of a hundred upgrades are refused with 503. Default 10.
    pub refuse: u64,
    /// How many of a hundred connections are cut. Default 70; half of them by a reset, which loses what is on its way.
    pub cut: u64,
    /// How many of a hundred go silent for good. Default 0: it takes a client its silence limit to notice.
    pub silence: u64,
    /// How many of a hundred stand still for [`stall_for`](Self::stall_for). Default 10.
    pub stall: u64,
    /// After how many bytes of the server a fault comes. Default 1 to 64 KiB: in the midst of frames.
    pub after: Range<u64>,
    /// How long a connection stands still. Default up to 300 ms.
    pub stall_for: Range<Duration>,
    /// How long each read is held before it is passed on. Default none.
    pub delay: Range<Duration>,
    /// Harms plain HTTP as well, but never refuses it. Default false.
    pub also_http: bool,
}

/// What will happen to one connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// How long each read is held before it is passed on.
    pub delay: Duration,
    /// What breaks, if anything.
    pub fault: Option<Fault>,
}

/// What breaks. Bytes are those that the server has sent, its handshake included.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The upgrade is answered with this status.
    Refuse {
        /// The HTTP status.
        status: u16,
    },
    /// The connection ends.
    Cut {
        /// After so many bytes.
        after: u64,
        /// By a reset, for both ends, and not in good order.
        reset: bool,
    },
    /// The connection stays, and nothing passes any more.
    Silence {
        /// After so many bytes.
        after: u64,
    },
    /// Nothing passes for a while.
    Stall {
        /// After so many bytes.
        after: u64,
        /// For so long.
        time: Duration,
    },
}

impl Schedule {
    /// Nothing breaks.
    #[must_use]
    pub fn calm() -> Self {
        Self { refuse: 0, cut: 0, silence: 0, stall: 0, ..Self::seeded(0) }
    }

    /// The mix of the defaults. The same seed gives the same plans.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self {
            seed,
            refuse: 10,
            cut: 70,
            silence: 0,
            stall: 10,
            after: 1..64 * 1024,
            stall_for: Duration::from_millis(1)..Duration::from_millis(300),
            delay: Duration::ZERO..Duration::ZERO,
            also_http: false,
        }
    }

    /// Reads what a command line says, on the ground of [`calm`](Self::calm): `seed=7 refuse=10 cut=90 silence=0 stall=5
    /// after=600..7000 stall_for=1..300 delay=0..3 http`, with bytes and milliseconds, in any order; what is left out
    /// does not happen.
    ///
    /// # Errors
    /// The word that is none of these.
    pub fn parse(words: &str) -> Result<Self, String> {
        let mut schedule = Self::calm();
        for word in words.split_ascii_whitespace() {
            let wrong = || format!("not a fault: {word}");
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let number = || value.parse::<u64>().map_err(|_| wrong());
            let range = || {
                let (start, end) = value.split_once("..").ok_or_else(wrong)?;
                Ok::<_, String>(start.parse().map_err(|_| wrong())?..end.parse().map_err(|_| wrong())?)
            };
            let times = || range().map(|range| Duration::from_millis(range.start)..Duration::from_millis(range.end));
            match name {
                "seed" => schedule.seed = number()?,
                "refuse" => schedule.refuse = number()?,
                "cut" => schedule.cut = number()?,
                "silence" => schedule.silence = number()?,
                "stall" => schedule.stall = number()?,
                "after" => schedule.after = range()?,
                "stall_for" => schedule.stall_for = times()?,
                "delay" => schedule.delay = times()?,
                "http" => schedule.also_http = true,
                _ => return Err(wrong()),
            }
        }
        Ok(schedule)
    }

    /// What will happen to a connection: the WebSocket, or the one of plain HTTP, with this place, counted from 0 for each kind.
    #[must_use]
    pub fn plan(&self, place: u64, is_websocket: bool) -> Plan {
        if !is_websocket && !self.also_http {
            return Plan::default();
        }
        let mut dice = Dice(SplitMix64::new(self.seed ^ place.wrapping_mul(0xd134_2543_de82_ef95)));
        let delay = dice.duration(&self.delay);
        let (kind, after) = (dice.below(100), dice.between(self.after.start, self.after.end));
        let mut bound = 0;
        let mut falls = |share: u64| {
            bound += share;
            kind < bound
        };
        let refuse = if is_websocket { self.refuse } else { 0 };
        let fault = if falls(refuse) {
            Some(Fault::Refuse { status: 503 })
        } else if falls(self.cut) {
            Some(Fault::Cut { after, reset: dice.below(2) == 0 })
        } else if falls(self.silence) {
            Some(Fault::Silence { after })
        } else if falls(self.stall) {
            Some(Fault::Stall { after, time: dice.duration(&self.stall_for) })
        } else {
            None
        };
        Plan { delay, fault }
    }
}

struct Dice(SplitMix64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0.next_u64() % limit.max(1)
    }

    fn between(&mut self, start: u64, end: u64) -> u64 {
        start + self.below(end.saturating_sub(start))
    }

    fn duration(&mut self, range: &Range<Duration>) -> Duration {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.between(nanos(range.start), nanos(range.end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_plans_and_another_gives_others() {
        let plans = |seed| (0..50).map(|place| Schedule::seeded(seed).plan(place, true)).collect::<Vec<_>>();
        assert_eq!(plans(7), plans(7));
        assert_ne!(plans(7), plans(8));
    }

    #[test]
    fn a_command_line_says_what_happens() {
        let said = Schedule::parse("seed=7 cut=90 refuse=10 after=600..7000 delay=0..3 http");
        let meant = Schedule {
            seed: 7,
            refuse: 10,
            cut: 90,
            after: 600..7000,
            delay: Duration::ZERO..Duration::from_millis(3),
            also_http: true,
            ..Schedule::calm()
        };
        assert_eq!(said, Ok(meant));
        assert_eq!(Schedule::parse(""), Ok(Schedule::calm()));
        for wrong in ["cuts=1", "cut", "cut=x", "after=1", "after=1..x"] {
            assert_eq!(Schedule::parse(wrong), Err(format!("not a fault: {wrong}")));
        }
    }

    #[test]
    fn shares_are_kept_and_plain_http_is_spared() {
        let schedule = Schedule { silence: 5, ..Schedule::seeded(3) };
        let mut counts = [0; 5];
        for place in 0..10_000 {
            let kind = match schedule.plan(place, true).fault {
                Some(Fault::Refuse { .. }) => 0,
                Some(Fault::Cut { after, .. }) => {
                    assert!(schedule.after.contains(&after));
                    1
                }
                Some(Fault::Silence { .. }) => 2,
                Some(Fault::Stall { time, .. }) => {
                    assert!(schedule.stall_for.contains(&time));
                    3
                }
                None => 4,
            };
            counts[kind] += 1;
        }
        for (count, share) in counts.into_iter().zip([10, 70, 5, 10, 5]) {
            assert!((count - share * 100_i32).abs() < 200, "{counts:?}");
        }
        assert_eq!(schedule.plan(0, false), Plan::default());
        assert_eq!(Schedule::calm().plan(0, true), Plan::default());
    }
}
