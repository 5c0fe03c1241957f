"""The digests that a service's current deployment pins come first, and its tags after them."""

import pytest

from pullprobe_testing.accounts import registry_host
from pullprobe_testing.ecs_standin import ACCOUNT, REGION, ApiError
from pullprobe_testing.launch_account import PROBE_IMAGE, record_revision

SERVICE = "--service", "web", "--probe-image", PROBE_IMAGE
APP = f"{registry_host(REGION)}/team/app"
OLD, NEW = (f"sha256:{digit * 64}" for digit in "ab")
SERVICE_ARN = f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/prod/web"


def images(launched, account):
    """Returns the images of the plan: reference -> deployment."""
    plan = launched.reports[account.subnets[0]]["plan"]
    return {image["image"]: image.get("deployment") for image in plan["images"]}


@pytest.mark.parametrize("lists_revisions", [True, False])
def test_digest_of_the_current_deployment_is_rehearsed_and_the_tag_after_it(
    operator, account, lists_revisions
):
    account.lists_revisions = lists_revisions
    record_revision(account, OLD)
    record_revision(account, NEW)

    launched = operator.launch(*SERVICE)

    assert launched.exit_code == 0, launched
    assert images(launched, account) == {f"{APP}@{NEW}": "current", f"{APP}:1.4": "next"}
    assert len(account.requests_of("DescribeServiceRevisions")) == 1
    assert len(account.requests_of("ListServiceDeployments")) == (0 if lists_revisions else 1)


def test_tasks_that_start_now_are_of_the_newest_revision(operator, account):
    account.is_deploying = True
    record_revision(account, OLD)
    record_revision(account, NEW)

    launched = operator.launch(*SERVICE)

    assert images(launched, account) == {f"{APP}@{NEW}": "current", f"{APP}:1.4": "next"}, launched


def test_service_without_revisions_is_rehearsed_by_its_tags(operator, account):
    launched = operator.launch(*SERVICE)

    assert launched.exit_code == 0 and launched.stderr.count("digest") == 0, launched
    assert images(launched, account) == {f"{APP}:1.4": None}
    assert not account.requests_of("DescribeServiceRevisions")


def test_another_task_definition_has_no_pinned_digests(operator, account):
    """A task definition that is not deployed yet, and a revision of an older one."""
    record_revision(account, OLD)
    named = operator.launch(*SERVICE, "--task-definition", "app")
    assert named.exit_code == 0 and images(named, account) == {f"{APP}:1.4": None}, named

    account.revisions.clear()
    record_revision(
        account, OLD, definition=f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/app:99"
    )
    older = operator.launch(*SERVICE)
    assert older.exit_code == 0 and images(older, account) == {f"{APP}:1.4": None}, older


@pytest.mark.parametrize("operation", ["DescribeServiceRevisions", "ListServiceDeployments"])
def test_missing_right_is_named_and_costs_no_verdict(operator, account, operation):
    account.lists_revisions = operation == "DescribeServiceRevisions"
    record_revision(account, OLD)
    message = (
        f"User: arn:aws:iam::{ACCOUNT}:user/dev is not authorized to perform: ecs:{operation} "
        f"because no identity-based policy allows the ecs:{operation} action"
    )
    account.errors[operation] = ApiError("AccessDeniedException", message)

    launched = operator.launch(*SERVICE)

    assert launched.exit_code == 0, launched
    assert images(launched, account) == {f"{APP}:1.4": None}
    revision = SERVICE_ARN.replace(":service/", ":service-revision/")
    arn = f"{revision}/*" if operation == "DescribeServiceRevisions" else SERVICE_ARN
    assert f'"Action":"ecs:{operation}"' in launched.stderr, launched
    assert f'"Resource":"{arn}"' in launched.stderr, launched


def test_runtime_monitoring_adds_its_agent_and_its_endpoint(operator, account):
    record_revision(account, OLD, guard_duty=True)

    launched = operator.launch(*SERVICE)

    assert launched.exit_code == 0, launched
    plan = launched.reports[account.subnets[0]]["plan"]
    agents = [image for image in plan["images"] if image.get("injected")]
    assert [agent["image"].split("/")[1].split(":")[0] for agent in agents] == [
        "aws-guardduty-agent-fargate"
    ]
    hosts = {check["host"] for check in plan["connections"]}
    assert hosts == {f"guardduty-data.{REGION}.amazonaws.com"}
