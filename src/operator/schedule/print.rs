//! `schedule print`: the resources of `create` as a template for other tools. Makes no AWS
//! calls.
//!
//! Requests, names and thresholds are those of [`ScheduleSet`], written in each tool's format; only
//! values that depend on the account become expressions of the tool. An ARN with the account `*`
//! gets the account in which the template is deployed.

mod cloudformation;
mod preamble;
mod role;
mod terraform;

use super::set::ScheduleSet;
use super::spec::TemplateFormat;
use crate::operator::error::OperatorError;

/// Renders the template. Fails if the set is too large for the tool.
pub fn print(set: &ScheduleSet, format: TemplateFormat) -> Result<String, OperatorError> {
    match format {
        TemplateFormat::CloudFormation => cloudformation::render(set),
        TemplateFormat::Terraform => terraform::render(set),
    }
}
