//! `schedule list`.

use super::alarm::{KINDS, alarm_name, set_of};
use super::api;
use super::lookup::{self, Tags};
use crate::operator::dry_run::AwsCalls;
use crate::operator::launch::Error;

/// Of a stack's resources, by CloudFormation (CloudFormation user guide, "Resource tags").
const STACK_TAG: &str = "aws:cloudformation:stack-name";

const HEAD: [&str; 7] = [
    "NAME", "SUBNET", "EVERY", "STATE", "FAILED", "NO DATA", "MADE BY",
];

/// A line for each schedule, in columns: name, subnet, how often, state, the states of its alarms,
/// and who made it.
pub async fn list(calls: &AwsCalls) -> Result<Vec<String>, Error> {
    let mut rows = Vec::new();
    for (group, arn) in lookup::groups(calls).await? {
        let tags = lookup::tags(calls, &arn).await?;
        let schedules = lookup::schedules(calls, &group).await?;
        let maker = maker(&group, &tags);
        let name = set_of(&group);
        if schedules.is_empty() && lookup::is_ours(&group, &tags) {
            let row = [
                name,
                "none",
                "",
                "",
                "",
                "",
                "a `schedule create` that broke off: repeat it, or remove it",
            ];
            rows.push(row.map(str::to_owned));
            continue;
        }
        let alarms = api::alarms(calls, &format!("{group}/")).await?;
        for (subnet, schedule) in schedules {
            let text = |member: &str| schedule[member].as_str().unwrap_or_default().to_owned();
            let state = |kind: &str| {
                let name = alarm_name(&group, &subnet, kind);
                match alarms.iter().find(|alarm| alarm.alarm_name == name) {
                    None => "MISSING".to_owned(),
                    Some(alarm) if alarm.actions_enabled => alarm.state_value.clone(),
                    Some(alarm) => format!("{} (tells nobody)", alarm.state_value),
                }
            };
            let [failed, silent] = KINDS.map(state);
            let every = interval(&text("ScheduleExpression"));
            rows.push([
                name.to_owned(),
                subnet.clone(),
                every,
                text("State"),
                failed,
                silent,
                maker.clone(),
            ]);
        }
    }
    Ok(columns(rows))
}

fn maker(group: &str, tags: &Tags) -> String {
    match tags.get(STACK_TAG) {
        Some(stack) => format!("stack {stack}"),
        None if lookup::is_ours(group, tags) => "schedule create".into(),
        None => "others".into(),
    }
}

/// `15 minutes` of `rate(15 minutes)`.
fn interval(expression: &str) -> String {
    let rate = expression
        .strip_prefix("rate(")
        .and_then(|rest| rest.strip_suffix(')'));
    rate.unwrap_or(expression).to_owned()
}

fn columns(rows: Vec<[String; 7]>) -> Vec<String> {
    if rows.is_empty() {
        return Vec::new();
    }
    let rows: Vec<_> = std::iter::once(HEAD.map(str::to_owned))
        .chain(rows)
        .collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<_> = (0..HEAD.len()).map(width).collect();
    let cells = |row: &[String; 7]| -> Vec<String> {
        row.iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}", width = *width))
            .collect()
    };
    rows.iter()
        .map(|row| cells(row).join("  ").trim_end().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let row = |name: &str| {
            [
                name,
                "subnet-1",
                "15 minutes",
                "ENABLED",
                "OK",
                "ALARM",
                "others",
            ]
            .map(str::to_owned)
        };
        let lines = columns(vec![row("a"), row("prod.web")]);
        assert_eq!(
            lines[0],
            "NAME      SUBNET    EVERY       STATE    FAILED  NO DATA  MADE BY"
        );
        assert_eq!(
            lines[1],
            "a         subnet-1  15 minutes  ENABLED  OK      ALARM    others"
        );
        let places: std::collections::BTreeSet<_> =
            lines.iter().map(|line| line.find("subnet-1")).collect();
        assert_eq!((lines.len(), places.len()), (3, 2));
        assert_eq!(columns(Vec::new()), Vec::<String>::new());
    }
}
