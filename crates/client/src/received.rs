//! The bytes of a part as they come.

use bytes::Bytes;

/// What is smaller is copied to others like it: each piece keeps the memory that it was read into, which may be larger.
const SMALL: usize = 16 * 1024;

/// Where the bytes of a part go as they come.
pub trait PartSink: Send {
    /// Puts bytes behind those that are there.
    ///
    /// # Errors
    /// Why there is no place for them any more.
    fn push(&mut self, bytes: Bytes) -> Result<(), &'static str>;

    /// What is there does not belong to the part.
    fn clear(&mut self);
}

/// Bytes that have come, in order and in the memory that they were read into: nobody copies them but who wants them
/// elsewhere.
#[derive(Debug, Default)]
pub struct Received {
    whole: Vec<Bytes>,
    small: Vec<u8>,
}

impl Received {
    /// All of them.
    #[must_use]
    pub fn pieces(mut self) -> Vec<Bytes> {
        self.end_small();
        self.whole
    }

    /// All of them as one.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        let mut pieces = self.pieces();
        match pieces.len() {
            0 | 1 => pieces.pop().unwrap_or_default(),
            _ => pieces.concat().into(),
        }
    }

    fn end_small(&mut self) {
        if !self.small.is_empty() {
            self.whole.push(std::mem::take(&mut self.small).into());
        }
    }
}

impl PartSink for Received {
    fn push(&mut self, bytes: Bytes) -> Result<(), &'static str> {
        if bytes.len() < SMALL {
            self.small.extend_from_slice(&bytes);
        } else {
            self.end_small();
            self.whole.push(bytes);
        }
        Ok(())
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_there_in_order_and_little_of_it_in_one_piece() {
        let mut received = Received::default();
        received.push(Bytes::from_static(b"gone")).expect("it takes everything");
        received.clear();
        let large = Bytes::from(vec![7; SMALL]);
        for bytes in [&b"a"[..], b"bc", &large, b"", &large, b"d"] {
            received.push(Bytes::copy_from_slice(bytes)).expect("it takes everything");
        }
        let expected = [b"abc", &large[..], &large, b"d"].concat();
        let pieces = received.pieces();
        assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [3, SMALL, SMALL, 1]);
        assert!(pieces.concat() == expected);
    }

    #[test]
    fn large_pieces_are_not_copied() {
        let mut received = Received::default();
        assert_eq!(Received::default().into_bytes(), Bytes::new());
        let large = Bytes::from(vec![7; SMALL]);
        received.push(large.clone()).expect("it takes everything");
        assert_eq!(received.into_bytes().as_ptr(), large.as_ptr());
    }
}
