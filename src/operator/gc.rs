//! `gc`: what a launch left behind that was killed. Its tasks carry `startedBy` and a tag from the
//! moment they exist, so whatever was started is found.

use serde_json::{Value, json};

use super::aws::{Api, Error};
use super::dry_run::AwsCalls;
use super::ecs::{Page, Task, Tasks};
use super::launch::{FAMILY, LAUNCHER_TAG, Launcher, RUN_TAG, STARTED_BY, started_by};

/// A task of a launch that still runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Leftover {
    /// Its ARN.
    pub arn: String,
    /// Its run.
    pub run_id: String,
    /// Seconds since 1970 at which it was created.
    pub created_at: Option<f64>,
    /// `RUNNING`.
    pub status: String,
    /// The launch's process, and for how many seconds it may watch the task.
    pub launcher: Option<(Launcher, u64)>,
}

impl Leftover {
    /// Why somebody may still wait for it at `now` (seconds since 1970); `None` if nobody does.
    pub fn is_watched(&self, now: f64) -> Option<String> {
        let (launcher, seconds) = self.launcher.as_ref()?;
        if let Some(pid) = launcher.runs_here() {
            return pid.map(|pid| format!("its launch still runs here as process {pid}"));
        }
        let created = jiff::SignedDuration::try_from_secs_f64(self.created_at.unwrap_or(now))
            .unwrap_or_default();
        let end = created.saturating_add(jiff::SignedDuration::from_secs(
            i64::try_from(*seconds).unwrap_or_default(),
        ));
        let until = jiff::Timestamp::from_duration(end).unwrap_or_default();
        (now < end.as_secs_f64())
            .then(|| format!("its launch on another machine may watch it until {until:.0}"))
    }
}

/// `ListTasks` and `DescribeTasks` take pages of 100 (ECS API reference).
const PAGE: usize = 100;

/// Pages that are read: ECS runs 5,000 tasks in a service, and a cluster may have several.
const MOST_PAGES: usize = 200;

/// The probe's tasks in a cluster, of one run or of all.
pub async fn tasks(
    calls: &AwsCalls,
    cluster: &str,
    run_id: Option<&str>,
) -> Result<Vec<Leftover>, Error> {
    let mut found = Vec::new();
    let mut body = json!({ "cluster": cluster, "desiredStatus": "RUNNING", "maxResults": PAGE });
    if let Some(run_id) = run_id {
        body["startedBy"] = json!(started_by(run_id));
    }
    for _ in 0..MOST_PAGES {
        let page: Page = calls.read(Api::ECS, "ListTasks", &body).await?;
        if !page.families.is_empty() {
            let described =
                json!({ "cluster": cluster, "tasks": page.families, "include": ["TAGS"] });
            let answer: Tasks = calls.read(Api::ECS, "DescribeTasks", &described).await?;
            found.extend(
                answer
                    .tasks
                    .iter()
                    .filter_map(|task| leftover(&Task::read(task))),
            );
        }
        let Some(next) = page.next_token else { break };
        body["nextToken"] = json!(next);
    }
    found.retain(|task| run_id.is_none_or(|run_id| task.run_id == run_id));
    Ok(found)
}

fn leftover(task: &Task) -> Option<Leftover> {
    let tag = |key: &str| {
        task.tags
            .iter()
            .find(|tag| tag.key == key)
            .map(|tag| tag.value.as_str())
    };
    let tagged = tag(RUN_TAG);
    let started = task
        .started_by
        .as_deref()
        .and_then(|by| by.strip_prefix(STARTED_BY));
    Some(Leftover {
        arn: task.task_arn.clone(),
        run_id: tagged.or(started)?.to_owned(),
        created_at: task.created_at,
        status: task.last_status.clone().unwrap_or_default(),
        launcher: tag(LAUNCHER_TAG).and_then(Launcher::read),
    })
}

/// Stops one.
pub async fn stop(calls: &AwsCalls, cluster: &str, task: &Leftover) -> Result<(), Error> {
    let body = json!({ "cluster": cluster, "task": task.arn, "reason": "pullprobe gc" });
    calls
        .write::<Value>(Api::ECS, "StopTask", &body)
        .await
        .map(drop)
}

/// Task definitions that launches registered and that are active.
pub async fn definitions(calls: &AwsCalls) -> Result<Vec<String>, Error> {
    let families = pages(
        calls,
        "ListTaskDefinitionFamilies",
        json!({ "familyPrefix": FAMILY, "status": "ACTIVE" }),
    )
    .await?;
    let mut found = Vec::new();
    for family in families.iter().filter(|family| is_ours(family)) {
        found.extend(
            pages(
                calls,
                "ListTaskDefinitions",
                json!({ "familyPrefix": family, "status": "ACTIVE" }),
            )
            .await?,
        );
    }
    Ok(found)
}

/// `pullprobe-` and 16 hexadecimal digits; another family may begin so.
fn is_ours(family: &str) -> bool {
    let digest = family.strip_prefix(FAMILY).unwrap_or_default();
    digest.len() == 16
        && digest
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

async fn pages(calls: &AwsCalls, operation: &str, mut body: Value) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    for _ in 0..MOST_PAGES {
        let page: Page = calls.read(Api::ECS, operation, &body).await?;
        all.extend(page.families);
        let Some(next) = page.next_token else { break };
        body["nextToken"] = json!(next);
    }
    Ok(all)
}

/// Takes one out of use. Tasks that run with it go on.
pub async fn deregister(calls: &AwsCalls, arn: &str) -> Result<(), Error> {
    let body = json!({ "taskDefinition": arn });
    calls
        .write::<Value>(Api::ECS, "DeregisterTaskDefinition", &body)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leftover_is_known_by_its_tag_or_by_who_started_it() {
        let task = |document: Value| leftover(&Task::read(&document)).map(|task| task.run_id);
        assert_eq!(
            task(json!({ "taskArn": "a", "startedBy": "pullprobe/r1" })).as_deref(),
            Some("r1")
        );
        assert_eq!(
            task(json!({ "taskArn": "a", "tags": [{ "key": RUN_TAG, "value": "r2" }] })).as_deref(),
            Some("r2")
        );
        assert_eq!(
            task(json!({ "taskArn": "a", "startedBy": "ecs-svc/123", "tags": [] })),
            None
        );
    }

    #[test]
    fn what_another_machine_watches_is_watched_for_as_long_as_it_says() {
        let task = |tag: &str| {
            let tags = [
                json!({ "key": RUN_TAG, "value": "r1" }),
                json!({ "key": LAUNCHER_TAG, "value": tag }),
            ];
            leftover(&Task::read(
                &json!({ "taskArn": "a", "createdAt": 1_000.0, "tags": tags }),
            ))
            .unwrap()
        };
        let elsewhere = task("0123456789ab/7/42/690");
        assert!(
            elsewhere
                .is_watched(1_600.0)
                .is_some_and(|why| why.contains("until 1970-01-01T00:28:10Z"))
        );
        assert_eq!(elsewhere.is_watched(1_700.0), None);
        assert!(
            task(&Launcher::this().tag(690))
                .is_watched(9_999.0)
                .is_some_and(|why| why.contains("process"))
        );
        assert_eq!(task("garbage").is_watched(1_001.0), None);
    }

    #[test]
    fn only_families_that_a_launch_names_are_ours() {
        assert!(is_ours("pullprobe-0123456789abcdef"));
        for other in [
            "pullprobe",
            "pullprobe-schedule",
            "pullprobe-0123456789ABCDEF",
            "pullprobe-0123456789abcdef-2",
        ] {
            assert!(!is_ours(other), "{other}");
        }
    }
}
