//! `schedule print`: the resources of `create` as a template for other tools. Calls nothing.
//!
//! Requests, names and thresholds are those of [`ScheduleSet`], written in each tool's form; only
//! what depends on the account is an expression of the tool. An ARN with the account `*` gets the
//! account in which the template is deployed.

mod cloudformation;
mod role;
mod terraform;

use super::set::ScheduleSet;
use super::spec::TemplateFormat;
use crate::operator::OperatorError;

/// Renders the template. Fails if the set is too large for the tool.
pub fn print(set: &ScheduleSet, format: TemplateFormat) -> Result<String, OperatorError> {
    match format {
        TemplateFormat::CloudFormation => cloudformation::render(set),
        TemplateFormat::Terraform => terraform::render(set),
    }
}

/// Returns the comment at the top of both templates.
fn preamble(set: &ScheduleSet, usage: &str) -> String {
    let (name, interval, region) = (&set.name, set.interval(), &set.launch.plan.region);
    let definition = &set.definition;
    format!(
        "{name}: rehearses the start of a task every {interval} in {region}, with two alarms for each subnet.
{usage}
The task execution role is not created. It needs permission to pull the probe and to write its report:
  role      {}
  image     {}
  log group {}",
        definition.role, definition.image, set.log_group,
    )
}

/// Description of the stack's parameter and the module's variable.
const CREATE_LOG_GROUP: &str = "Whether to create the log group; false if it exists";
