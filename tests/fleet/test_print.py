"""`fleet print` prints templates that the tools accept, with the rights that are used only."""

import json
import re

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


def dashboard_of(part):
    """Returns the body with the values of a deployed stack, and its name."""
    template = yaml.safe_load(printed(part, "cloudformation", "--dashboard"))
    [board] = resources_of_type(template, "AWS::CloudWatch::Dashboard")
    text = board["DashboardBody"]["Fn::Sub"]
    for name in set(re.findall(r"\$\{([^}]+)\}", text)):
        assert name in template["Resources"] or name == "AWS::Region"
        text = text.replace("${" + name + "}", f"the {name}")
    return board["DashboardName"], json.loads(text)


def test_dashboard_is_an_option_with_its_price():
    for part, name in (("hub", "pullprobe-fleet"), ("on-failure", "pullprobe-fleet-failed-starts")):
        assert "$3.00  1 dashboard" in printed(part, "cloudformation", "--dashboard")
        assert "ashboard" not in printed(part)
        assert "ashboard" not in printed(part, "terraform")
        found, body = dashboard_of(part)
        assert found == name
        for widget in body["widgets"]:
            assert widget["properties"]["region"] == "the AWS::Region"
    graphs = [widget for widget in dashboard_of("hub")[1]["widgets"] if widget["type"] == "metric"]
    metrics = [metric for widget in graphs for metric in widget["properties"]["metrics"]]
    assert ["PullProbe", "Failing", "Fleet", "pullprobe-fleet"] in [m[:4] for m in metrics]
    assert ["AWS/Lambda", "Errors", "FunctionName", "the WorkerFunction"] in [
        m[:4] for m in metrics
    ]


@pytest.mark.parametrize("part", ["hub", "on-failure"])
def test_template_with_a_dashboard_is_accepted_by_both_tools(part):
    text = printed(
        part, "cloudformation", "--dashboard", "--code", "s3://code-bucket/pullprobe.zip"
    )
    assert lint_errors(text, REGION) == []
    module = hcl2.loads(printed(part, "terraform", "--dashboard"))
    kinds = {kind.strip('"') for block in module["resource"] for kind in block}
    assert "aws_cloudwatch_dashboard" in kinds
    assert {"aws_region"} <= {kind.strip('"') for block in module["data"] for kind in block}


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


def test_roles_have_the_actions_of_launch_and_inspect_and_no_other():
    documented = {
        action
        for sid in ("ReadTheService", "RunItAsAFunction")
        for action in actions_of(documented_policy(sid)["Statement"])
    } - ONLY_GC
    documented |= actions_of(documented_policy("ReadTheRole")["Statement"])
    assert role_actions("spoke", "SpokeRole") == documented | {
        "ecs:ListClusters",
        "ecs:ListServices",
    }
    own = {"s3:GetObject", "s3:PutObject", "s3:ListBucket", "sns:Publish"}
    log = {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert role_actions("on-failure", "WorkerRole") == documented | own | log
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
