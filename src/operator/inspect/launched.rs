//! A launch, and the reports of its subnets, in terms of an inspection.

use crate::arn::Arn;
use crate::inspect::PacketReport;
use crate::inspect::snapshot::{Snapshot, TaskNetwork};
use crate::operator::ecs::last_segment;
use crate::operator::launch::Launch;
use crate::report::Report;

impl From<&Launch> for TaskNetwork {
    fn from(launch: &Launch) -> Self {
        let service = launch.service.clone();
        Self {
            cluster: service.is_some().then(|| launch.cluster.clone()),
            service,
            subnets: launch.subnets.clone(),
            security_groups: launch.security_groups.clone(),
            assign_public_ip: launch.assign_public_ip,
            only_subnets_known: false,
        }
    }
}

/// Returns what a report says, for a join.
pub fn packets<'a>(
    snapshot: &'a Snapshot,
    subnet: &'a str,
    report: &'a Report,
) -> PacketReport<'a> {
    let identity = report.identity.as_ref();
    let signer = identity.and_then(|identity| identity.role_arn.as_ref());
    let role = snapshot.plan.execution_role.as_deref();
    PacketReport {
        subnet,
        run: report.run.id.as_ref(),
        probed_at: &report.run.started_at,
        verdict: &report.verdict,
        findings: &report.findings,
        ruled_out: &report.ruled_out,
        observations: &report.observations,
        is_signed_by_role: signer
            .zip(role)
            .is_some_and(|(signer, role)| role_name(signer) == role_name(role)),
    }
}

/// Returns the name of a role, by its ARN, that of a session, or itself.
fn role_name(role: &str) -> String {
    let arn = role.parse::<Arn>().ok();
    let name = arn.as_ref().and_then(Arn::role_name);
    name.unwrap_or_else(|| last_segment(role)).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_has_one_name_in_each_form() {
        for role in [
            "app",
            "arn:aws:iam::123456789012:role/app",
            "arn:aws:iam::123456789012:role/path/app",
            "arn:aws:sts::123456789012:assumed-role/app/session",
        ] {
            assert_eq!(role_name(role), "app");
        }
    }
}
