//! The service's current revision: the digests that its tasks pull, and what AWS adds to them.
//!
//! Amazon ECS resolves tags to digests when it deploys, and starts every task of that deployment
//! with these digests, also after the tag has moved (Amazon ECS developer guide, "Container image
//! resolution").

use serde_json::{Value, json};

use crate::observation::ImageDeployment;
use crate::operator::aws::{Api, CallError};
use crate::operator::dry_run::AwsCalls;
use crate::operator::ecs::{
    CurrentServiceRevision, DescribeServiceRevisionsRequest, DescribeServiceRevisionsResponse,
    EcsService, ListServiceDeploymentsRequest, ListServiceDeploymentsResponse, ServiceRevision,
};
use crate::plan::ImageInput;
use crate::reference::Reference;
use crate::safe_text::write_stderr;

/// ARNs of one `DescribeServiceRevisions` (ECS API reference).
const MAX_REVISIONS: usize = 20;

/// States of deployments whose tasks run or are about to run. The other states are those of
/// deployments that were stopped or rolled back.
const DEPLOYED: [&str; 3] = ["SUCCESSFUL", "IN_PROGRESS", "PENDING"];

/// Returns the revision of which the service starts tasks now: the newest that it wants tasks of.
/// `None` for a service that has not been deployed since ECS records revisions, and if the operator
/// may not read it, which is said and costs only the digests.
pub async fn current(
    calls: &AwsCalls,
    cluster: &str,
    service: &EcsService,
) -> Option<ServiceRevision> {
    match read(calls, cluster, service).await {
        Ok(revision) => revision,
        Err(error) => {
            let hint = error.denial_hint(&arn_for(error.action(), service));
            let reason = hint.unwrap_or_else(|| format!("{} failed ({error})", error.action()));
            write_stderr(&format!(
                "pullprobe: the digests that the service's deployment pins are not known, so the tags of its task \
                 definition are rehearsed: {reason}"
            ));
            None
        }
    }
}

/// Returns the ARN for the policy statement that grants an action.
fn arn_for(action: &str, service: &EcsService) -> String {
    let arn = service
        .service_arn
        .clone()
        .unwrap_or_else(|| "*".to_owned());
    if action == "ecs:DescribeServiceRevisions" {
        return arn.replacen(":service/", ":service-revision/", 1) + "/*";
    }
    arn
}

async fn read(
    calls: &AwsCalls,
    cluster: &str,
    service: &EcsService,
) -> Result<Option<ServiceRevision>, CallError> {
    let mut arns = wanted(&service.current_service_revisions);
    if arns.is_empty() {
        arns.extend(last_deployed(calls, cluster, service).await?);
    }
    arns.truncate(MAX_REVISIONS);
    if arns.is_empty() {
        return Ok(None);
    }
    let request = DescribeServiceRevisionsRequest {
        service_revision_arns: arns,
    };
    let response: DescribeServiceRevisionsResponse = calls
        .read(Api::ECS, "DescribeServiceRevisions", &request)
        .await?;
    let revisions = response.service_revisions.into_iter();
    Ok(revisions.max_by(|a, b| a.created_at.total_cmp(&b.created_at)))
}

/// Returns the revisions that the service wants tasks of; all of them if it wants none.
fn wanted(revisions: &[CurrentServiceRevision]) -> Vec<String> {
    let arns = |is_wanted: fn(&CurrentServiceRevision) -> bool| -> Vec<String> {
        let wanted = revisions.iter().filter(|revision| is_wanted(revision));
        wanted.map(|revision| revision.arn.clone()).collect()
    };
    let wanted = arns(|revision| revision.requested_task_count > 0);
    if wanted.is_empty() {
        return arns(|_| true);
    }
    wanted
}

/// Returns the revision of the newest deployment. `DescribeServices` has not always listed
/// revisions.
async fn last_deployed(
    calls: &AwsCalls,
    cluster: &str,
    service: &EcsService,
) -> Result<Option<String>, CallError> {
    let Some(name) = &service.service_name else {
        return Ok(None);
    };
    let request = ListServiceDeploymentsRequest {
        cluster,
        service: name,
        status: DEPLOYED,
    };
    let response: ListServiceDeploymentsResponse = calls
        .read(Api::ECS, "ListServiceDeployments", &request)
        .await?;
    let newest = response
        .service_deployments
        .into_iter()
        .max_by(|a, b| a.created_at.total_cmp(&b.created_at));
    Ok(newest.and_then(|deployment| deployment.target_service_revision_arn))
}

/// Returns the task definition with the images that the revision pins, by their digests.
pub fn pin(definition: &Value, revision: &ServiceRevision) -> Value {
    let mut pinned = definition.clone();
    let containers = pinned["containerDefinitions"].as_array_mut();
    for container in containers.into_iter().flatten() {
        let of_container = |name: &str| container["name"] == name;
        let image = revision
            .container_images
            .iter()
            .find(|image| of_container(&image.container_name));
        if let Some(digest) = image.and_then(|image| image.image_digest.clone())
            && let Some(image) = container["image"].as_str()
            && let Some(reference) = by_digest(image, digest)
        {
            container["image"] = json!(reference.to_string());
        }
    }
    pinned
}

/// Returns the image by its digest. `None` if the task definition names a digest itself, or if
/// either is not valid.
fn by_digest(image: &str, digest: String) -> Option<Reference> {
    let reference: Reference = image.parse().ok()?;
    if reference.digest.is_some() {
        return None;
    }
    let pinned = Reference {
        tag: None,
        digest: Some(digest),
        ..reference
    };
    // What ECS returns is checked like any input.
    pinned.to_string().parse().ok()
}

/// Returns the images to rehearse: those that tasks pull now, and after them the tags that the next
/// deployment resolves again.
pub fn rows(tagged: &[ImageInput], pinned: Vec<ImageInput>) -> Vec<ImageInput> {
    let next = tagged.iter().filter(|image| !pinned.contains(image));
    let next: Vec<_> = next
        .map(|image| ImageInput {
            deployment: Some(ImageDeployment::Next),
            ..image.clone()
        })
        .collect();
    let current = pinned.into_iter().map(|image| {
        let is_pinned = !tagged.contains(&image);
        ImageInput {
            deployment: is_pinned.then_some(ImageDeployment::Current),
            ..image
        }
    });
    current.chain(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::task_definition;

    const APP: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app";

    fn revision(images: &Value) -> ServiceRevision {
        serde_json::from_value(json!({ "containerImages": images })).unwrap()
    }

    fn rows_of(containers: &Value, images: &Value) -> Vec<(String, Option<ImageDeployment>)> {
        let definition = json!({
            "family": "app",
            "executionRoleArn": "arn:aws:iam::123456789012:role/ecsTaskExecutionRole",
            "containerDefinitions": containers
        });
        let read = |definition: &Value| {
            task_definition::read(definition.to_string().as_bytes())
                .unwrap()
                .images
        };
        let pinned = read(&pin(&definition, &revision(images)));
        rows(&read(&definition), pinned)
            .into_iter()
            .map(|image| (image.image.to_string(), image.deployment))
            .collect()
    }

    #[test]
    fn pinned_digest_comes_first_and_the_tag_is_a_second_row() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let containers = json!([
            { "name": "app", "image": format!("{APP}:1.4") },
            { "name": "agent", "image": format!("{APP}:agent") },
        ]);
        // `versionConsistency` is disabled for the second container.
        let images = json!([
            { "containerName": "app", "image": format!("{APP}:1.4"), "imageDigest": digest },
            { "containerName": "agent", "image": format!("{APP}:agent") },
            { "containerName": "aws-guardduty-agent", "imageDigest": digest },
        ]);
        assert_eq!(
            rows_of(&containers, &images),
            [
                (format!("{APP}@{digest}"), Some(ImageDeployment::Current)),
                (format!("{APP}:agent"), None),
                (format!("{APP}:1.4"), Some(ImageDeployment::Next)),
            ]
        );
    }

    #[test]
    fn digest_of_the_task_definition_has_no_second_row() {
        let image = format!("{APP}:1.4@sha256:{}", "b".repeat(64));
        let containers = json!([{ "name": "app", "image": image }]);
        let images = json!([{ "containerName": "app", "imageDigest": format!("sha256:{}", "b".repeat(64)) }]);
        assert_eq!(rows_of(&containers, &images), [(image, None)]);
    }

    #[test]
    fn digest_that_is_not_valid_is_not_used() {
        let containers = json!([{ "name": "app", "image": format!("{APP}:1.4") }]);
        let images = json!([{ "containerName": "app", "imageDigest": "none" }]);
        assert_eq!(
            rows_of(&containers, &images),
            [(format!("{APP}:1.4"), None)]
        );
    }

    #[test]
    fn revisions_without_wanted_tasks_are_left_out() {
        let revision = |arn: &str, requested_task_count| CurrentServiceRevision {
            arn: arn.into(),
            requested_task_count,
        };
        assert_eq!(wanted(&[revision("old", 0), revision("new", 2)]), ["new"]);
        assert_eq!(wanted(&[revision("only", 0)]), ["only"]);
    }
}
