//! Names and tags of a set's resources.

use std::collections::BTreeMap;

/// Prefix of the names of schedule groups and alarms.
pub const PREFIX: &str = "pullprobe-";

/// Tag of all resources, with the set's name as its value.
pub const TAG: &str = "pullprobe:schedule";

/// Tag of the schedule group, with the name of the log group as its value.
pub const LOG_GROUP_TAG: &str = "pullprobe:log-group";

/// Tag of the schedule group, with the name of the dashboard as its value.
pub const DASHBOARD_TAG: &str = "pullprobe:dashboard";

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// Returns the schedule group of a set.
pub fn group_name(set: &str) -> String {
    format!("{PREFIX}{set}")
}

/// Returns the set of a schedule group.
pub fn set_name(group: &str) -> &str {
    group.strip_prefix(PREFIX).unwrap_or(group)
}

/// Whether `create` created the resource with these tags for the set.
pub fn is_managed(tags: &Tags, set: &str) -> bool {
    tags.get(TAG).is_some_and(|name| name == set)
}
