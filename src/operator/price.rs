//! What AWS charges each month, at the list price of US East (N. Virginia) in November 2026. Other
//! Regions differ by up to a half; free tiers and discounts are left out.

use std::fmt::Write as _;

/// One request of AWS Lambda, and a gigabyte of memory for a second on x86 (AWS Lambda pricing). On
/// arm64 it is a fifth less.
pub const LAMBDA_REQUEST: f64 = 0.20 / 1e6;
pub const LAMBDA_GB_SECOND: f64 = 0.000_016_666_7;

/// A task of 256 CPU units and 512 MB on Fargate for a minute, the shortest time that is billed
/// (AWS Fargate pricing: $0.04048 a vCPU-hour, $0.004445 a GB-hour).
pub const TASK_MINUTE: f64 = (0.25 * 0.04048 + 0.5 * 0.004_445) / 60.0;

/// A custom metric and an alarm for a month (Amazon CloudWatch pricing, first 10,000 metrics).
pub const METRIC: f64 = 0.30;
pub const ALARM: f64 = 0.10;

/// A dashboard for a month, beyond the three that are free (Amazon CloudWatch pricing).
pub const DASHBOARD: f64 = 3.0;
pub const DASHBOARD_ITEM: &str = "dashboard, unless it is one of the three that are free";

/// A gigabyte of logs that CloudWatch ingests; storage is a sixteenth of it.
pub const LOG_GB: f64 = 0.50;

/// An invocation of EventBridge Scheduler, beyond the 14 million that are free each month.
pub const SCHEDULER_INVOCATION: f64 = 1.0 / 1e6;

/// A state transition of a standard workflow of AWS Step Functions.
pub const STATE_TRANSITION: f64 = 25.0 / 1e6;

/// An Amazon S3 request that writes or lists, and one that reads.
pub const S3_WRITE: f64 = 5.0 / 1e6;
pub const S3_READ: f64 = 0.4 / 1e6;

/// Hours of a month, as AWS's calculator counts them.
pub const HOURS_A_MONTH: f64 = 730.0;

/// Gigabytes of a report: a passing one has about 15 KB, one with findings about 28 KB.
pub const REPORT_GB: f64 = 20e3 / 1e9;

/// An estimate of what runs each month.
#[derive(Debug, Clone, Default)]
pub struct MonthlyCost {
    items: Vec<(String, f64)>,
    assumptions: Vec<String>,
}

impl MonthlyCost {
    /// Adds `count` of something at a price.
    pub fn add(&mut self, what: &str, count: f64, price: f64) {
        self.items
            .push((format!("{} {what}", grouped(count)), count * price));
    }

    pub fn assume(&mut self, assumption: impl Into<String>) {
        self.assumptions.push(assumption.into());
    }

    pub fn total(&self) -> f64 {
        self.items.iter().map(|(_, dollars)| dollars).sum()
    }

    /// Describes the total, its parts and what they assume, on several lines.
    pub fn describe(&self) -> String {
        let mut text = format!(
            "about ${:.2} a month, at the list price of US East (N. Virginia):",
            self.total()
        );
        for (what, dollars) in &self.items {
            let _ = write!(text, "\n  {:>10}  {what}", format!("${dollars:.2}"));
        }
        for assumption in &self.assumptions {
            let _ = write!(text, "\n  assumed: {assumption}");
        }
        text
    }
}

/// Formats a count with a comma between each three digits.
fn grouped(count: f64) -> String {
    let digits = format!("{count:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_is_the_sum_of_its_parts() {
        let mut cost = MonthlyCost::default();
        cost.add("alarms", 1_234_567.0, ALARM);
        cost.add("metrics", 2.0, METRIC);
        cost.assume("nothing fails");
        assert_eq!(
            cost.describe(),
            "about $123457.30 a month, at the list price of US East (N. Virginia):\n  \
              $123456.70  1,234,567 alarms\n       $0.60  2 metrics\n  assumed: nothing fails"
        );
    }
}
