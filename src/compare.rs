//! Compares reports: what differs between passing and failing subnets, and what changed over time.
//!
//! Pure, and a fold: reports are added one by one, in any order. Of each vantage only the latest
//! report, the facts of its last pass and the last values of each property are kept, so 100,000
//! reports of ten subnets need the memory of ten. What vantages have in common is kept once, and of
//! thousands of vantages only one report of each kind, so 100,000 subnets need less than 500 MB.
//!
//! Each module imports only modules above it.

pub mod report_view;

pub mod fact;
pub mod log_envelope;
pub mod origin;

pub mod pool;
pub mod vantage_values;

pub mod difference;
pub mod history;

pub mod change;
pub mod summary;

pub mod comparison;

pub mod timeline;
pub mod vantage_group;

pub mod vantage_history;

pub mod builder;

pub use builder::{ComparisonBuilder, ComparisonOutput};
pub use comparison::Comparison;

#[cfg(test)]
mod tests;
