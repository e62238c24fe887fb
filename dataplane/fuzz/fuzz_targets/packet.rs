//! What it checks is at the function.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringfence_testbed::fuzz::packet(data));
