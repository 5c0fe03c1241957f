//! `gc`: finds and stops the tasks of interrupted launches, recognized by `startedBy` and by a tag
//! set at their start, and deletes their functions, recognized by name and the same tag.

use std::collections::BTreeMap;

use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use super::aws::{Api, CallError, percent_encode};
use super::dry_run::AwsCalls;
use super::ecs::{
    DeregisterTaskDefinitionRequest, DescribeTasksRequest, ListResponse,
    ListTaskDefinitionsRequest, ListTasksRequest, MAX_DESCRIBED_TASKS, StopTaskRequest, Task,
    TasksResponse,
};
use super::launch::function::{FUNCTIONS, call, function_path};
use super::launch::{
    FAMILY_PREFIX, LAUNCHER_TAG, Launcher, LauncherProcess, RUN_TAG, STARTED_BY_PREFIX, started_by,
};
use super::paging::{Page, all_pages};

/// A running task of a launch.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeTask {
    pub arn: String,
    pub run_id: String,
    /// Seconds since 1970.
    pub created_at: Option<f64>,
    /// `lastStatus` of ECS.
    pub status: String,
    /// The launch that started it, if the tag can be read.
    pub launcher: Option<TaskLauncher>,
}

/// The process that started a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskLauncher {
    pub launcher: Launcher,
    /// Number of seconds after the task's creation during which the launch may watch it.
    pub max_watch_seconds: u64,
}

impl TaskLauncher {
    /// Reads the tag of a task or function.
    fn read(tag: &str) -> Option<Self> {
        let (launcher, max_watch_seconds) = Launcher::read(tag)?;
        Some(Self {
            launcher,
            max_watch_seconds,
        })
    }
}

impl ProbeTask {
    /// Returns why a launch may still watch the task at `now` (seconds since 1970). `None` if it is
    /// an orphan.
    pub fn watched_by(&self, now: f64) -> Option<String> {
        self.launcher.as_ref()?.watches(self.created_at, now)
    }
}

impl TaskLauncher {
    /// Returns why the launch may still watch, at `now`, a task or function that it created at
    /// `created_at`.
    fn watches(&self, created_at: Option<f64>, now: f64) -> Option<String> {
        match self.launcher.local_process() {
            LauncherProcess::Running(pid) => {
                return Some(format!("its launch is still running here as process {pid}"));
            }
            LauncherProcess::Gone => return None,
            LauncherProcess::OnAnotherMachine => {}
        }
        // Numbers out of range, in the tag or from AWS, count as 0, so the watch is over.
        let created =
            jiff::SignedDuration::try_from_secs_f64(created_at.unwrap_or(now)).unwrap_or_default();
        let seconds = i64::try_from(self.max_watch_seconds).unwrap_or_default();
        let end = created.saturating_add(jiff::SignedDuration::from_secs(seconds));
        let until = jiff::Timestamp::from_duration(end).unwrap_or_default();
        (now < end.as_secs_f64())
            .then(|| format!("its launch on another machine may still watch it until {until:.0}"))
    }
}

/// A function of a launch.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeFunction {
    pub arn: String,
    pub name: String,
    pub run_id: String,
    /// Seconds since 1970.
    pub created_at: Option<f64>,
    /// The launch that created it, if the tag can be read.
    pub launcher: Option<TaskLauncher>,
}

impl ProbeFunction {
    /// Returns why a launch may still use the function at `now` (seconds since 1970). `None` if it
    /// is an orphan.
    pub fn watched_by(&self, now: f64) -> Option<String> {
        self.launcher.as_ref()?.watches(self.created_at, now)
    }
}

/// Returns the probe's functions, of one run or of all.
pub async fn functions(
    calls: &AwsCalls,
    run_id: Option<&str>,
) -> Result<Vec<ProbeFunction>, CallError> {
    let listed = all_pages(Api::LAMBDA, "ListFunctions", MAX_PAGES, async |marker| {
        let path = match &marker {
            Some(marker) => format!(
                "{FUNCTIONS}?MaxItems={FUNCTIONS_PER_PAGE}&Marker={}",
                percent_encode(marker)
            ),
            None => format!("{FUNCTIONS}?MaxItems={FUNCTIONS_PER_PAGE}"),
        };
        let call = call("ListFunctions", Method::GET, &path);
        let response: ListFunctionsResponse = calls.read_rest(Api::LAMBDA, &call).await?;
        Ok(Page {
            items: response.functions,
            next_token: response.next_marker,
        })
    })
    .await?;
    let mut found = Vec::new();
    for function in listed
        .into_iter()
        .filter(|function| is_of_launch(&function.function_name))
    {
        let path = format!(
            "/2017-03-31/tags/{}",
            percent_encode(&function.function_arn)
        );
        let call = call("ListTags", Method::GET, &path);
        let response: Result<ListTagsResponse, _> = calls.read_rest(Api::LAMBDA, &call).await;
        match response {
            Ok(response) => found.extend(probe_function(function, &response.tags)),
            // Its launch has deleted it in the meantime.
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    found.retain(|function| run_id.is_none_or(|run_id| function.run_id == run_id));
    Ok(found)
}

/// Maximum number of functions in a page (API reference, ListFunctions).
const FUNCTIONS_PER_PAGE: u32 = 50;

/// Returns the function if it has a launch's tags: its name alone does not prove that a launch
/// created it.
fn probe_function(
    function: ListedFunction,
    tags: &BTreeMap<String, String>,
) -> Option<ProbeFunction> {
    let launcher = tags.get(LAUNCHER_TAG);
    Some(ProbeFunction {
        run_id: tags.get(RUN_TAG)?.clone(),
        arn: function.function_arn,
        name: function.function_name,
        created_at: function.last_modified.as_deref().and_then(modified_at),
        launcher: launcher.and_then(|tag| TaskLauncher::read(tag)),
    })
}

/// Reads a time such as `2026-11-27T10:00:00.000+0000` (API reference, FunctionConfiguration).
fn modified_at(text: &str) -> Option<f64> {
    let time = jiff::Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text).ok()?;
    Some(time.as_duration().as_secs_f64())
}

/// Deletes a function. Succeeds if it no longer exists.
pub async fn delete_function(calls: &AwsCalls, function: &ProbeFunction) -> Result<(), CallError> {
    let path = function_path(&function.name);
    let call = call("DeleteFunction", Method::DELETE, &path);
    match calls.change_rest(Api::LAMBDA, &call, None).await {
        Err(error) if is_gone(&error) => Ok(()),
        result => result,
    }
}

fn is_gone(error: &CallError) -> bool {
    error.code() == "ResourceNotFoundException"
}

/// `ListFunctions`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ListFunctionsResponse {
    functions: Vec<ListedFunction>,
    next_marker: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ListedFunction {
    function_name: String,
    function_arn: String,
    last_modified: Option<String>,
}

/// `ListTags`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ListTagsResponse {
    tags: BTreeMap<String, String>,
}

/// Maximum number of pages of a list, of up to a hundred items each: ECS allows 5,000 tasks in a
/// service, and a cluster may have several services.
const MAX_PAGES: usize = 200;

/// Returns the probe's running tasks in a cluster, of one run or of all.
pub async fn tasks(
    calls: &AwsCalls,
    cluster: &str,
    run_id: Option<&str>,
) -> Result<Vec<ProbeTask>, CallError> {
    let arns = all_pages(Api::ECS, "ListTasks", MAX_PAGES, async |next_token| {
        let request = ListTasksRequest {
            cluster,
            desired_status: "RUNNING",
            max_results: MAX_DESCRIBED_TASKS,
            started_by: run_id.map(started_by),
            next_token,
            ..ListTasksRequest::default()
        };
        list(calls, "ListTasks", &request).await
    })
    .await?;
    let mut found = Vec::new();
    for tasks in arns.chunks(MAX_DESCRIBED_TASKS) {
        let request = DescribeTasksRequest {
            cluster,
            tasks,
            include: &["TAGS"],
        };
        let response: TasksResponse = calls.read(Api::ECS, "DescribeTasks", &request).await?;
        let tasks = response.tasks.iter().map(Task::read);
        found.extend(tasks.filter_map(|task| probe_task(&task)));
    }
    found.retain(|task| run_id.is_none_or(|run_id| task.run_id == run_id));
    Ok(found)
}

/// Returns the task, if a launch started it.
fn probe_task(task: &Task) -> Option<ProbeTask> {
    let tag = |key: &str| {
        let tag = task.tags.iter().find(|tag| tag.key == key);
        tag.map(|tag| tag.value.as_str())
    };
    let run_of_started_by = task
        .started_by
        .as_deref()
        .and_then(|started_by| started_by.strip_prefix(STARTED_BY_PREFIX));
    Some(ProbeTask {
        arn: task.task_arn.clone(),
        run_id: tag(RUN_TAG).or(run_of_started_by)?.to_owned(),
        created_at: task.created_at,
        // Only printed.
        status: task.last_status.clone().unwrap_or_default(),
        launcher: tag(LAUNCHER_TAG).and_then(TaskLauncher::read),
    })
}

/// Stops a task.
pub async fn stop(calls: &AwsCalls, cluster: &str, task: &ProbeTask) -> Result<(), CallError> {
    let request = StopTaskRequest {
        cluster,
        task: &task.arn,
        reason: "pullprobe gc",
    };
    let response = calls.change::<Value>(Api::ECS, "StopTask", &request).await;
    response.map(drop)
}

/// Returns the active task definitions that launches registered.
pub async fn definitions(calls: &AwsCalls) -> Result<Vec<String>, CallError> {
    let families = list_definitions(calls, "ListTaskDefinitionFamilies", FAMILY_PREFIX).await?;
    let mut definitions = Vec::new();
    for family in families.iter().filter(|family| is_of_launch(family)) {
        definitions.extend(list_definitions(calls, "ListTaskDefinitions", family).await?);
    }
    Ok(definitions)
}

/// Whether the name is one that launches give to families and functions: `pullprobe-` and 16
/// hexadecimal digits.
fn is_of_launch(family: &str) -> bool {
    family.strip_prefix(FAMILY_PREFIX).is_some_and(|digest| {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        digest.len() == 16 && digest.bytes().all(is_hex)
    })
}

/// Reads all pages of `ListTaskDefinitionFamilies` or `ListTaskDefinitions`.
async fn list_definitions(
    calls: &AwsCalls,
    operation: &str,
    family_prefix: &str,
) -> Result<Vec<String>, CallError> {
    all_pages(Api::ECS, operation, MAX_PAGES, async |next_token| {
        let request = ListTaskDefinitionsRequest {
            family_prefix,
            status: "ACTIVE",
            max_results: None,
            next_token,
        };
        list(calls, operation, &request).await
    })
    .await
}

async fn list(
    calls: &AwsCalls,
    operation: &str,
    request: &impl serde::Serialize,
) -> Result<Page<String>, CallError> {
    let response: ListResponse = calls.read(Api::ECS, operation, request).await?;
    Ok(Page {
        items: response.items,
        next_token: response.next_token,
    })
}

/// Deregisters a task definition. Its running tasks are not affected.
pub async fn deregister(calls: &AwsCalls, arn: &str) -> Result<(), CallError> {
    let request = DeregisterTaskDefinitionRequest {
        task_definition: arn,
    };
    let response = calls
        .change::<Value>(Api::ECS, "DeregisterTaskDefinition", &request)
        .await;
    response.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn task_is_found_by_its_tag_or_started_by() {
        let task = |document: Value| probe_task(&Task::read(&document)).map(|task| task.run_id);
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
    fn task_launched_from_another_machine_is_watched_until_its_limit() {
        let task = |tag: &str| {
            let tags = [
                json!({ "key": RUN_TAG, "value": "r1" }),
                json!({ "key": LAUNCHER_TAG, "value": tag }),
            ];
            probe_task(&Task::read(
                &json!({ "taskArn": "a", "createdAt": 1_000.0, "tags": tags }),
            ))
            .unwrap()
        };
        let elsewhere = task("0123456789ab/7/42/690");
        assert!(
            elsewhere
                .watched_by(1_600.0)
                .is_some_and(|why| why.contains("until 1970-01-01T00:28:10Z"))
        );
        assert_eq!(elsewhere.watched_by(1_700.0), None);
        assert!(
            task(&Launcher::this().tag(690))
                .watched_by(9_999.0)
                .is_some_and(|why| why.contains("process"))
        );
        assert_eq!(task("garbage").watched_by(1_001.0), None);
    }

    #[test]
    fn function_is_found_by_its_tag() {
        let listed = || ListedFunction {
            function_name: "pullprobe-0123456789abcdef".into(),
            last_modified: Some("1970-01-01T00:16:40.000+0000".into()),
            ..ListedFunction::default()
        };
        let tags = |pairs: &[(&str, &str)]| {
            let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            pairs.iter().map(owned).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(probe_function(listed(), &tags(&[("team", "web")])), None);
        let tagged = tags(&[(RUN_TAG, "r1"), (LAUNCHER_TAG, "0123456789ab/7/42/690")]);
        let function = probe_function(listed(), &tagged).unwrap();
        assert_eq!(function.created_at, Some(1_000.0));
        assert!(function.watched_by(1_600.0).is_some());
        assert_eq!(function.watched_by(1_700.0), None);
    }

    #[test]
    fn only_families_of_launches_are_found() {
        assert!(is_of_launch("pullprobe-0123456789abcdef"));
        for other in [
            "pullprobe",
            "pullprobe-schedule",
            "pullprobe-0123456789ABCDEF",
            "pullprobe-0123456789abcdef-2",
        ] {
            assert!(!is_of_launch(other), "{other}");
        }
    }
}
