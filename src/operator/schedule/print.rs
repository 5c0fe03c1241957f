//! `schedule print`: what `create` makes, as a file that others deploy. Nothing is called for it.
//!
//! Bodies, names and thresholds are those of [`Set`], written as each tool has them; only what
//! depends on the account is an expression of the tool. An ARN whose account is `*` gets the
//! account of whoever deploys it.

mod cloudformation;
mod role;
mod terraform;

use super::spec::Set;
use crate::cli::schedule::PrintFormat;
use crate::operator::launch::Error;

/// The file. Fails, with the way out, where the tool cannot take so much.
pub fn print(set: &Set, format: PrintFormat) -> Result<String, Error> {
    match format {
        PrintFormat::CloudFormation => cloudformation::render(set).map_err(Error::Usage),
        PrintFormat::Terraform => terraform::render(set).map_err(Error::Usage),
    }
}

/// What stands before both.
fn preamble(set: &Set, how: &str) -> String {
    let (name, interval, region) = (&set.name, set.interval(), &set.launch.plan.region);
    let definition = &set.definition;
    format!(
        "{name}: rehearses the start of a task every {interval} in {region}, with two alarms for each subnet.
{how}
The execution role is not made here. It has to pull the probe and to write its report:
  role      {}
  image     {}
  log group {}",
        definition.role, definition.image, set.log_group,
    )
}

/// Of the stack's parameter and the module's variable.
const CREATE_LOG_GROUP: &str = "Whether the log group is made here; not where it is there already";
