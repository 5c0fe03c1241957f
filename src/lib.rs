//! Rehearses an ECS task's start from the subnet it will run in, and names the cause of what fails.
//!
//! ```text
//!  image / task definition                                                 ┌─▶ stdout (JSON line)
//!  + Region ──▶ Plan ──▶ probe ──▶ [Observation] ──▶ diagnose ──▶ Report ──┼─▶ CloudWatch Logs
//!  plan         what     the only   facts, with       rules over   verdict └─▶ exit code
//!               to check network    an ID each        Evidence
//!                                        ▲
//!  stopped reason ──▶ explain ───────────┘     [Report] ──▶ compare (across subnets and over time)
//! ```
//!
//! Data goes one way, left to right: `probe` never judges; `diagnose` never touches the network,
//! the clock or the environment. A failing target is data ([`observation::Failure`]); a failure of
//! the tool is an error. `tests/shape.rs` enforces this order.
//!
//! | read first | for |
//! | --- | --- |
//! | [`observation`] | the vocabulary: dependency, phase, outcome, failure |
//! | [`plan`] | what a task contacts, from its image or task definition |
//! | [`probe`] | the checks: DNS, TCP, TLS, then what each dependency needs |
//! | [`safe_text`], [`vault`] | text from outside: shown as inert text, without secrets |
//! | [`evidence`], [`diagnose`] | the rules, each with its argument |
//! | [`function_limits`], [`lambda`] | the probe as a Lambda function, and its limits |
//! | [`cause`] | every cause, with its page |
//! | [`run`] | one run, from plan to report |
//! | [`explain`] | what a stopped task's text says: the only place that reads AWS's prose |
//! | `compare` (feature `operator`) | reports side by side: the first difference, and what changed |
//! | `inspect` (feature `operator`) | what the configuration says: each hop open, closed or unknown |
//! | `policy` (feature `operator`) | IAM policies, evaluated to allowed, denied or unknown |
//! | `operator` (feature `operator`) | signed AWS calls as the operator: launch, inspect, schedule, gc |
//! | `demo` (feature `demo`) | an embedded AWS on loopback, with faults to choose |
//!
//! `docs/glossary.md` defines the terms.
#![forbid(unsafe_code)]

pub mod agent;
pub mod arn;
pub mod aws;
pub mod cause;
pub mod cli;
pub mod command;
#[cfg(feature = "operator")]
pub mod compare;
#[cfg(feature = "demo")]
pub mod demo;
pub mod diagnose;
pub mod dns;
pub mod endpoints;
pub mod evidence;
pub mod explain;
pub mod function_limits;
#[cfg(feature = "operator")]
pub mod inspect;
pub mod ip_owner;
pub mod lambda;
pub mod network_location;
pub mod observation;
#[cfg(feature = "operator")]
pub mod operator;
pub mod os;
pub mod plan;
#[cfg(feature = "operator")]
pub mod policy;
pub mod probe;
pub mod redact;
pub mod reference;
pub mod render;
pub mod report;
pub mod run;
pub mod safe_text;
#[cfg(feature = "operator")]
pub mod template;
pub mod transport_failure;
pub mod vantage;
pub mod vault;
pub mod verdict;

/// Whole milliseconds.
pub(crate) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
