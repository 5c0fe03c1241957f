//! The oracle of the fuzz target `secrets`, with seeds: what the vault lets through contains no part
//! of a secret, however it is encoded and whatever is around it.

#[path = "support/oracle/planted.rs"]
mod planted;

/// Texts that are tried.
const TEXTS: u64 = 600;

#[test]
fn no_planted_secret_can_be_read() {
    for seed in 0..TEXTS {
        planted::check(&bytes(seed));
    }
}

/// Returns repeatable bytes: a generator of a line (Steele and others, "Fast splittable pseudorandom
/// number generators", 2014) instead of a crate. Most are printable, as texts are.
fn bytes(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    };
    let length = 20 + usize::from(next()[0]);
    let random = std::iter::repeat_with(next).flatten().take(length);
    random
        .enumerate()
        .map(|(n, byte)| {
            if n < 3 || byte > 240 {
                byte
            } else {
                b' ' + byte % 95
            }
        })
        .collect()
}
