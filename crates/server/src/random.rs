//! Names that nobody guesses.

use agb_protocol::Secret;

/// `N` random bytes as hexadecimal.
///
/// # Panics
/// When the operating system has no randomness to give: then nothing here is safe to do.
pub(crate) fn hex<const N: usize>() -> String {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    agb_protocol::random::hex(&bytes)
}

/// Any number below this one. Slightly uneven, which is no matter where nothing is to be guessed.
pub(crate) fn below(limit: u32) -> u32 {
    let mut bytes = [0_u8; 4];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    u32::from_le_bytes(bytes) % limit
}

/// A session's id: 128 bits, since knowing it must not come from guessing, although it alone opens nothing.
pub(crate) fn session_id() -> String {
    format!("session-{}", hex::<16>())
}

/// The id of one answer, for the person who compares logs.
pub(crate) fn request_id() -> String {
    hex::<16>()
}

/// An access token: 256 bits.
pub(crate) fn token() -> Secret {
    Secret::from(hex::<32>())
}

/// An API key for a server that was started without one.
pub fn api_key() -> Secret {
    Secret::from(format!("akl-{}", hex::<24>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_long_and_never_the_same() {
        assert_eq!(token().expose().len(), 64);
        assert_ne!(token(), token());
        assert_ne!(session_id(), session_id());
        assert_eq!(session_id().len(), "session-".len() + 32);
    }
}
