#![no_main]

agb_fuzz::helper_before_main!();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agb_fuzz::run("http", bytes));
