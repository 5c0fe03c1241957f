//! The cost of functions, at the list price.

use std::time::Duration;

use super::request::MEMORY_MB;

/// US dollars for one request, and for one gigabyte of memory for one second on x86, at the list
/// price of US East (N. Virginia) (AWS Lambda pricing, November 2026). On arm64 it is a fifth less.
const PER_REQUEST: f64 = 0.20 / 1e6;
const PER_GB_SECOND: f64 = 0.000_016_666_7;

/// Invocations so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    invocations: u32,
    time: Duration,
}

impl Usage {
    /// Returns the usage of `functions` that each run for `time`.
    pub fn at_most(functions: usize, time: Duration) -> Self {
        let invocations = u32::try_from(functions).unwrap_or(u32::MAX);
        Self {
            invocations,
            time: time * invocations,
        }
    }

    pub fn add(&mut self, time: Duration) {
        self.invocations += 1;
        self.time += time;
    }

    /// Describes invocations, memory and price. Returns `None` if there were no invocations.
    pub fn describe(&self) -> Option<String> {
        if self.invocations == 0 {
            return None;
        }
        let gb_seconds = self.time.as_secs_f64() * f64::from(MEMORY_MB) / 1024.0;
        let dollars = f64::from(self.invocations) * PER_REQUEST + gb_seconds * PER_GB_SECOND;
        let noun = if self.invocations == 1 {
            "invocation"
        } else {
            "invocations"
        };
        Some(format!(
            "AWS Lambda: {} {noun}, {gb_seconds:.1} GB-seconds, about ${dollars:.5} at the list price",
            self.invocations
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_adds_requests_and_memory() {
        assert_eq!(Usage::default().describe(), None);
        let ten = Usage::at_most(10, Duration::from_secs(40));
        assert_eq!(
            ten.describe().unwrap(),
            "AWS Lambda: 10 invocations, 200.0 GB-seconds, about $0.00334 at the list price"
        );
    }
}
