//! Every parser in one binary, which is built once. `PARSER=NAME` chooses one; without it the first byte
//! does. `fuzz/run` runs each by its name.
#![no_main]

mod answers;
mod explain;
#[path = "../../tests/support/oracle/planted.rs"]
mod planted;

use std::sync::LazyLock;

use pullprobe::fuzz::{PARSERS, Parser};

/// Those that use only what is public.
const MORE: [Parser; 3] = [
    ("answers", answers::check),
    ("explain", explain::check),
    ("secrets", planted::check),
];

/// The parser that was asked for.
static CHOSEN: LazyLock<Option<fn(&[u8])>> = LazyLock::new(|| {
    let name = std::env::var("PARSER").ok()?;
    let found = all().find(|(known, _)| *known == name);
    let known: Vec<_> = all().map(|(name, _)| name).collect();
    let (_, check) = found.unwrap_or_else(|| panic!("PARSER={name}: expected one of {known:?}"));
    Some(check)
});

fn all() -> impl Iterator<Item = Parser> {
    PARSERS.iter().chain(&MORE).copied()
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(check) = *CHOSEN {
        return check(bytes);
    }
    let Some((number, bytes)) = bytes.split_first() else {
        return;
    };
    if let Some((_, check)) = all().nth(usize::from(*number) % (PARSERS.len() + MORE.len())) {
        check(bytes);
    }
});
