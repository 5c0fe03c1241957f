//! How the task ended, from a text that reports no failure to start.

use super::parsed::ParsedMessage;
use super::step::Step;

/// What happened to the task or the deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The task had started, and its containers ran.
    AfterStart,
    /// A deployment failed; the reasons are those of its tasks.
    Deployment,
    /// ECS, EC2 or a person stopped the task, and nothing failed.
    StoppedOnPurpose,
}

/// Phrases in the form of [`NormalizedText::dense`](super::normalize::NormalizedText). ECS checks
/// the health only of containers that run, and counts exits and memory only of those.
const PHRASES: [(&str, Ending); 26] = [
    ("circuitbreaker", Ending::Deployment),
    ("tasksfailedtostart", Ending::Deployment),
    ("unabletoconsistentlystarttasks", Ending::Deployment),
    ("service_task_start_impaired", Ending::Deployment),
    ("service_deployment_failed", Ending::Deployment),
    // Terraform, and `aws ecs wait services-stable`.
    ("tfstable", Ending::Deployment),
    ("waiterservicesstablefailed", Ending::Deployment),
    ("taskfailedelbhealthchecks", Ending::AfterStart),
    ("failedcontainerhealthchecks", Ending::AfterStart),
    ("failedelbhealthchecks", Ending::AfterStart),
    ("isunhealthyin(target-group", Ending::AfterStart),
    ("isunhealthyintarget", Ending::AfterStart),
    ("outofmemoryerror:container", Ending::AfterStart),
    ("killedduetomemoryusage", Ending::AfterStart),
    ("oomkilled", Ending::AfterStart),
    ("essentialcontainerintaskexited", Ending::AfterStart),
    ("exitcode:", Ending::AfterStart),
    ("exitcode1", Ending::AfterStart),
    ("exitedwithcode", Ending::AfterStart),
    ("scalingactivityinitiated", Ending::StoppedOnPurpose),
    ("taskstoppedbyuser", Ending::StoppedOnPurpose),
    ("spottaskwasinterrupted", Ending::StoppedOnPurpose),
    ("performingmaintenance", Ending::StoppedOnPurpose),
    ("hostec2(instance", Ending::StoppedOnPurpose),
    ("instancederegistrationforced", Ending::StoppedOnPurpose),
    ("serviceschedulerinitiated", Ending::StoppedOnPurpose),
];

/// Returns the ending that the text shows, with the phrase; `None` if it is about a start.
pub fn ending(message: &ParsedMessage) -> Option<(Ending, &str)> {
    if message.sign.is_some() || message.step != Step::Unknown {
        return None;
    }
    let dense = message.text.dense.as_str();
    PHRASES.iter().find_map(|(phrase, ending)| {
        let at = dense.find(phrase)?;
        Some((*ending, message.text.quote(at, at + phrase.len())))
    })
}
