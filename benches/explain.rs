//! Messages of the corpus explained in a second, on one core: `cargo bench --bench explain`.
//!
//! The bar is 10,000. It is printed and nothing fails for missing it: a loaded machine is no fault
//! of the code.

use std::hint::black_box;
use std::time::{Duration, Instant};

use pullprobe::explain::explain;

/// Long enough for a steady number, short enough to be run by hand.
const LENGTH: Duration = Duration::from_secs(3);

fn main() {
    let corpus = include_str!("../tests/corpus/messages.jsonl");
    let messages: Vec<String> = corpus
        .lines()
        .filter_map(|line| {
            serde_json::from_str::<serde_json::Value>(line)
                .ok()?
                .get("message")?
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    for message in &messages {
        black_box(explain(message));
    }
    let (began, mut done) = (Instant::now(), 0_u32);
    while began.elapsed() < LENGTH {
        for message in &messages {
            black_box(explain(black_box(message)));
            done += 1;
        }
    }
    let rate = f64::from(done) / began.elapsed().as_secs_f64();
    println!(
        "{rate:.0} messages a second on one core (bar: 10000), {} of the corpus in turn",
        messages.len()
    );
}
