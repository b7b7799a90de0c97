//! Memory that is given back to the system too eagerly is taken again at once.

/// What the allocator keeps when it is freed, bytes. A run's output lies in memory until it is acknowledged, up to our
/// client's window of 1 MiB, and is freed a quarter of that at a time. By default all but 128 KiB goes back to the system
/// then and comes again as fresh pages, which was half of what acknowledgements cost (`cargo xtask bench resume`). Twice the
/// window.
#[cfg(target_env = "gnu")]
const KEPT: libc::c_int = 2 << 20;

/// What is larger is taken from the system by itself. No frame of output is: 64 KiB, six bytes for one at worst.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 512 << 10;

/// Has the allocator keep what it will need again.
pub(crate) fn keep() {
    // SAFETY: both set a number of the allocator's, under its own lock. They refuse only numbers out of range, and then
    // everything stays as it was.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use std::hint::black_box;

    #[test]
    fn what_a_window_frees_is_not_taken_anew() {
        super::keep();
        let window = || drop(black_box((0_u8..16).map(|at| vec![at; 64 << 10]).collect::<Vec<_>>()));
        window();
        let before = faults();
        (0..50).for_each(|_| window());
        let taken = faults() - before;
        assert!(taken < 50 * 256 / 10, "{taken} pages of {}", 50 * 256);
    }

    /// Pages that this thread was given so far.
    fn faults() -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("a thread sees itself");
        let (_, fields) = stat.rsplit_once(") ").expect("a thread has a name");
        fields.split(' ').nth(7).and_then(|minor| minor.parse().ok()).expect("minor faults are the tenth field")
    }
}
