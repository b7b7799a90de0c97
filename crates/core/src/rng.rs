//! The only randomness in the core: a seeded generator, so that the same script gives the same bytes.

/// SplitMix64. Good enough for jitter and for ids that must differ, not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 32 hexadecimal digits: an id for the wire.
    pub(crate) fn wire_id(&mut self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut id = String::with_capacity(32);
        for _ in 0..2 {
            let word = self.next();
            for shift in (0..16).rev() {
                id.push(char::from(DIGITS[(word >> (shift * 4)) as usize & 15]));
            }
        }
        id
    }
}

/// The same generator as dice, for tests.
#[cfg(test)]
pub(crate) mod dice {
    use super::Rng;

    pub(crate) struct Dice(Rng);

    impl Dice {
        pub(crate) fn new(seed: u64) -> Self {
            Self(Rng::new(seed))
        }

        /// A number from 0 up to `sides`, which is not zero.
        pub(crate) fn roll(&mut self, sides: usize) -> usize {
            (self.0.next() % sides as u64) as usize
        }
    }
}
