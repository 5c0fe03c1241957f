//! Explained messages per second on one core: `cargo bench --bench explain`.
//!
//! The target is 10,000. Missing it does not fail the benchmark, because the machine may be busy.

use std::hint::black_box;
use std::time::{Duration, Instant};

use pullprobe::explain::explain;

/// Long enough for a stable number, short enough to run by hand.
const DURATION: Duration = Duration::from_secs(3);

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
    let (started, mut explained) = (Instant::now(), 0_u32);
    while started.elapsed() < DURATION {
        for message in &messages {
            black_box(explain(black_box(message)));
            explained += 1;
        }
    }
    let rate = f64::from(explained) / started.elapsed().as_secs_f64();
    println!(
        "{rate:.0} messages per second on one core (target: 10000), {} messages of the corpus in turn",
        messages.len()
    );
}
