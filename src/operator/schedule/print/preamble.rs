//! Texts that both templates contain.

use crate::operator::schedule::set::ScheduleSet;

/// Returns the comment at the top of both templates.
pub(super) fn preamble(set: &ScheduleSet, usage: &str) -> String {
    let (name, interval, region) = (&set.name, set.interval(), &set.launch.plan.region);
    let definition = &set.definition;
    format!(
        "{name}: rehearses the start of a task every {interval} in {region}, with two alarms for each subnet.
{usage}
The task execution role is not created. It needs permission to pull the probe and to write its report:
  role      {}
  image     {}
  log group {}
Cost: {}",
        definition.role(),
        definition.image,
        set.log_group,
        set.monthly_cost().describe(),
    )
}

/// Description of the stack's parameter and the module's variable.
pub(super) const CREATE_LOG_GROUP: &str = "Whether to create the log group; false if it exists";
