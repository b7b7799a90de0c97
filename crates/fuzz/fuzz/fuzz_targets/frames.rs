#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agb_fuzz::run("frames", bytes));
