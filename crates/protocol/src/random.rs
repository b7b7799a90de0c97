//! A seeded generator, so that the same script gives the same bytes. Not for secrets.

/// SplitMix64. Good enough for jitter, for ids that must differ, and for tests that print their seed.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// A generator whose numbers follow from `seed` alone.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to `sides`, which is not zero.
    pub fn roll(&mut self, sides: usize) -> usize {
        (self.next_u64() % sides as u64) as usize
    }

    /// 32 hexadecimal digits: an id for the wire.
    pub fn wire_id(&mut self) -> String {
        [self.next_u64().to_be_bytes(), self.next_u64().to_be_bytes()]
            .iter()
            .flatten()
            .copied()
            .collect::<HexDigits>()
            .0
    }
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().copied().collect::<HexDigits>().0
}

struct HexDigits(String);

impl FromIterator<u8> for HexDigits {
    fn from_iter<I: IntoIterator<Item = u8>>(bytes: I) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |half: u8| char::from(DIGITS[usize::from(half & 15)]);
        Self(bytes.into_iter().flat_map(|byte| [digit(byte >> 4), digit(byte)]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        // The generator's published first numbers for the seed 0.
        let mut random = SplitMix64::new(0);
        assert_eq!([random.next_u64(), random.next_u64()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
        assert_eq!(SplitMix64::new(0).wire_id(), "e220a8397b1dcdaf6e789e6aa1b965f4");
        assert_eq!(hex(&[0, 15, 16, 255]), "000f10ff");
    }
}
