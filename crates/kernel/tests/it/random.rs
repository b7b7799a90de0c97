//! Random choices that can be made again: the seed is printed, and `AGB_TEST_SEED` sets it.

/// A generator of the xorshift family: a test needs no better.
pub(crate) struct Random(u64);

impl Random {
    /// From `AGB_TEST_SEED`, else from the clock.
    pub(crate) fn new() -> Self {
        let clock = || std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into();
        let seed: u64 = std::env::var("AGB_TEST_SEED").map_or_else(|_| clock(), |seed| seed.parse().unwrap());
        println!("AGB_TEST_SEED={seed}");
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}
