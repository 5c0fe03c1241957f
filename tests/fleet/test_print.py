"""`fleet print` prints templates that the tools accept, with the rights that are used only."""

import json

import hcl2
import pytest
import yaml

from pullprobe_testing.cli import run
from pullprobe_testing.ecs_standin import REGION
from pullprobe_testing.policies import actions_of, documented_policy
from pullprobe_testing.templates import lint_errors, resources_of_type

PARTS = {"hub": [], "spoke": ["--spoke"], "on-failure": ["--on-failure"]}
ONLY_GC = {
    "ecs:ListTasks",
    "ecs:ListTaskDefinitions",
    "ecs:DeregisterTaskDefinition",
    "scheduler:ListScheduleGroups",
    "scheduler:ListSchedules",
    "scheduler:GetSchedule",
    "lambda:ListFunctions",
    "lambda:ListTags",
}


def printed(part, output="cloudformation", *flags):
    done = run("fleet", "print", "--format", output, *PARTS[part], *flags)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("part", PARTS)
def test_template_is_accepted_by_cfn_lint(part):
    text = printed(part, "cloudformation", "--code", "s3://code-bucket/pullprobe.zip")
    assert lint_errors(text, REGION) == []
    for stack_set in resources_of_type(yaml.safe_load(text), "AWS::CloudFormation::StackSet"):
        assert lint_errors(stack_set["TemplateBody"], REGION) == []


@pytest.mark.parametrize("part", PARTS)
def test_module_is_accepted_by_hcl2(part):
    module = hcl2.loads(printed(part, "terraform"))
    kinds = {kind.strip('"') for block in module["resource"] for kind in block}
    assert "aws_iam_role" in kinds
    assert ("aws_sfn_state_machine" in kinds) == (part == "hub")


def role_actions(part, role):
    resources = yaml.safe_load(printed(part))["Resources"]
    [policy] = resources[role]["Properties"]["Policies"]
    return actions_of(policy["PolicyDocument"]["Statement"])


def test_roles_have_the_actions_of_launch_and_no_other():
    documented = {
        action
        for sid in ("ReadTheService", "RunItAsAFunction")
        for action in actions_of(documented_policy(sid)["Statement"])
    } - ONLY_GC
    assert role_actions("spoke", "SpokeRole") == documented | {
        "ecs:ListClusters",
        "ecs:ListServices",
    }
    own = {"s3:GetObject", "s3:PutObject", "s3:ListBucket", "sns:Publish"}
    log = {"logs:CreateLogStream", "logs:PutLogEvents"}
    like = {"ec2:DescribeNetworkInterfaces"}
    assert role_actions("on-failure", "WorkerRole") == documented | own | log | like
    assert role_actions("hub", "WorkerRole") == (own - {"sns:Publish"}) | log | {
        "sts:AssumeRole",
        "sts:TagSession",
    }
    assert role_actions("hub", "ReduceRole") == own | log
    assert role_actions("hub", "ScheduleRole") == {"states:StartExecution"}


def test_state_machine_maps_over_the_list_and_repeats_only_throttling():
    flags = ["--max-concurrency", "20", "--tolerated-failures", "5"]
    template = yaml.safe_load(printed("hub", "cloudformation", *flags))
    [machine] = resources_of_type(template, "AWS::StepFunctions::StateMachine")
    states = machine["Definition"]["States"]
    targets = states["ProbeTargets"]
    assert (targets["MaxConcurrency"], targets["ToleratedFailurePercentage"]) == (20, 5)
    assert targets["ItemReader"]["ReaderConfig"] == {"InputType": "JSONL"}
    inner = targets["ItemProcessor"]
    assert inner["ProcessorConfig"]["Mode"] == "DISTRIBUTED"
    for state in (*inner["States"].values(), states["Reduce"]):
        [retry] = state["Retry"]
        throttling = ["Pullprobe.Throttled", "Lambda.TooManyRequestsException"]
        assert (retry["ErrorEquals"], retry["JitterStrategy"]) == (throttling, "FULL")
    # Every name between braces is one of the substitutions.
    text = json.dumps(machine["Definition"])
    for name in machine["DefinitionSubstitutions"]:
        text = text.replace("${" + name + "}", "")
    assert "${" not in text and "{{" not in text
    assert "a month" in printed("hub") and "4000 subnets" in printed("hub")
