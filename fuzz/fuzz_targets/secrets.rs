//! For any secret, encoding and text around it, the vault lets no part of the secret through, and
//! visible text has no character that acts or hides.
#![no_main]

#[path = "../../tests/support/oracle/planted.rs"]
mod planted;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| planted::check(bytes));
