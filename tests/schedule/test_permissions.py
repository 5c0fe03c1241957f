"""The documented policies grant exactly what `schedule` calls, and its role is the printed one."""

import json

import yaml

from pullprobe_testing.policies import actions_of, documented_policy
from pullprobe_testing.schedule_account import ACCOUNT, PROBE_IMAGE, REGION, SCHEDULER
from pullprobe_testing.schedule_calls import WITHOUT_OPERATION
from pullprobe_testing.templates import resolve, resources_of_type


def test_documented_policy_grants_exactly_what_schedule_calls(account):
    account.create("--dashboard")
    account.create("--subnets", account.subnets[0])
    account.schedule("list")
    account.schedule("remove", "prod.web")

    granted = actions_of(documented_policy("MakeSchedules")["Statement"])
    assert granted - WITHOUT_OPERATION == account.proxy.called_actions()
    assert granted >= WITHOUT_OPERATION


def documented(sid):
    """Returns a documented policy, with the region of the tests."""
    return json.loads(json.dumps(documented_policy(sid)).replace("us-east-1", REGION))


def test_documented_scheduler_role_is_the_printed_one(account):
    flags = ["--cluster", "prod", "--service", "web", "--every", "15m"]
    flags += ["--probe-image", PROBE_IMAGE, "--format", "cloudformation"]
    template = yaml.safe_load(account.schedule("print", *flags).stdout)
    names = {
        "AWS::AccountId": ACCOUNT,
        "ScheduleGroup": "",
        "SchedulerRole.Arn": SCHEDULER,
        "ProbeTaskDefinition": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/pullprobe-*",
    }
    resources = resolve({"Resources": template["Resources"]}, names, ACCOUNT)
    [role] = resources_of_type(resources, "AWS::IAM::Role")

    printed = json.dumps(role["Policies"][0]["PolicyDocument"])
    printed = printed.replace("RunTheProbe", "RunTheScheduledProbe")
    assert documented("RunTheScheduledProbe") == json.loads(printed)
    trust = role["AssumeRolePolicyDocument"]
    [statement] = [{"Sid": "TrustTheScheduler", **trust["Statement"][0]}]
    assert documented("TrustTheScheduler") == {**trust, "Statement": [statement]}
