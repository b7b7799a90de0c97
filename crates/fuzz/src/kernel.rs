//! What an interpreter writes to its control channel; the user's program can, too.

/// The first byte says how large the pieces are in which the rest comes.
pub(crate) fn control(bytes: &[u8]) {
    const LIMIT: usize = 1 << 16;
    let Some((&size, rest)) = bytes.split_first() else { return };
    let whole = agb_kernel::read_control(std::iter::once(rest), LIMIT);
    let pieces = agb_kernel::read_control(rest.chunks(usize::from(size).max(1)), LIMIT);
    assert_eq!(whole, pieces, "pieces make a difference");
}
