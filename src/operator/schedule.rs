//! `schedule`: the probe by EventBridge Scheduler, in each subnet, with alarms on what it finds and
//! on its silence.
//!
//! All that belongs together has one name. The schedule group `pullprobe-NAME` is its root: it is
//! made first and removed last, and its tag says that it is ours, so that a run that broke off can
//! be repeated, and nothing of others is touched.

mod alarm;
mod api;
mod create;
mod list;
mod lookup;
mod print;
mod remove;
mod spec;

pub use create::create;
pub use list::list;
pub use lookup::definitions_in_use;
pub use print::print;
pub use remove::remove;
pub use spec::{Set, read};

/// The tag of all that is made, with the name as its value.
pub const TAG: &str = "pullprobe:schedule";

/// What the names of schedule groups and alarms begin with.
pub const PREFIX: &str = "pullprobe-";
