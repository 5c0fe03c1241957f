//! How much longer work takes here and now than on an idle machine. A run that the machine delays
//! was not delayed by a server.

use std::hint::black_box;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Between two samples.
const INTERVAL: Duration = Duration::from_millis(100);

/// Iterations of a sample, which then takes about a millisecond in a debug build.
const WORK: u64 = 100_000;

static SAMPLES: AtomicU64 = AtomicU64::new(0);
static TOTAL_NANOS: AtomicU64 = AtomicU64::new(0);
static BEST_NANOS: AtomicU64 = AtomicU64::new(u64::MAX);

/// Starts to measure, once in a process.
pub fn measure() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        std::thread::spawn(|| {
            loop {
                let started = Instant::now();
                black_box((0..WORK).fold(0_u64, |sum, n| black_box(sum.wrapping_add(n))));
                let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
                BEST_NANOS.fetch_min(nanos, Ordering::Relaxed);
                TOTAL_NANOS.fetch_add(nanos, Ordering::Relaxed);
                SAMPLES.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(INTERVAL);
            }
        });
    });
}

/// Returns the mean time of a sample in multiples of the best: 1 on an idle machine.
pub fn slowdown() -> f64 {
    let samples = SAMPLES.load(Ordering::Relaxed);
    let best = BEST_NANOS.load(Ordering::Relaxed);
    if samples == 0 || best == 0 {
        return 1.0;
    }
    let mean = TOTAL_NANOS.load(Ordering::Relaxed) / samples;
    Duration::from_nanos(mean)
        .div_duration_f64(Duration::from_nanos(best))
        .max(1.0)
}
