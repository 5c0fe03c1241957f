//! `launch`: starts one probe in each subnet and collects their reports.
//!
//! ```text
//! service ─▶ [`target`] ─▶ Launch ─▶ [`watch`]: RunTask ─▶ DescribeTasks ─▶ [`collect`]: log ─────┬─▶ Report
//!                             │                                                 exit code ───────┤
//!              [`definition`]: registered once                [`stopped_reason`]: stopped reason ─┘
//!
//! where no task starts, or only functions run:  [`function`] ─▶ Report
//! ```

mod collect;
mod definition;
pub mod function;
mod instances;
mod interface;
mod launcher;
mod prepare;
mod rate_limiter;
mod request;
mod revision;
mod spec;
mod stopped_reason;
mod target;
mod watch;

pub use collect::SubnetReport;
pub use definition::{FAMILY_PREFIX, ProbeDefinition, ProbeHost};
pub use instances::InstanceCapacity;
pub use launcher::{LAUNCHER_TAG, Launcher, LauncherProcess};
pub use prepare::prepare;
#[cfg(test)]
pub use request::sample_launch;
pub use request::{
    Launch, Placement, RUN_ID_VARIABLE, RUN_TAG, SERVICE_LABEL, STARTED_BY_PREFIX, SUBNET_LABEL,
    started_by,
};
pub use spec::{Architecture, CarrierChoice, FunctionSpec, LaunchSpec, ProbeUse, TargetSpec};
pub use target::{DEFAULT_CLUSTER, resolve};
pub use watch::{LaunchEvent, TaskState, run};
