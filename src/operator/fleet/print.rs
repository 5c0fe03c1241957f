//! `fleet print`: the hub, the roles of the member accounts, and the rule that probes in place of a
//! task that failed to start, as a template for other tools. Makes no AWS calls.

mod cloudformation;
mod dashboard;
mod policy;
mod spec;
mod state_machine;
mod table;
mod terraform;
mod value;

use crate::operator::error::OperatorError;
use crate::render::template::TemplateFormat;

pub use spec::{FleetPart, FleetTemplate};

/// Renders the template.
pub fn print(template: &FleetTemplate, format: TemplateFormat) -> Result<String, OperatorError> {
    match format {
        TemplateFormat::CloudFormation => cloudformation::render(template),
        TemplateFormat::Terraform => Ok(terraform::render(template)),
    }
}
