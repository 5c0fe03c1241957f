"""A fleet from one machine and as functions: results, comparison, what cannot be probed."""

import itertools
import json
import pathlib

import yaml

from pullprobe_testing.binaries import ROOT
from pullprobe_testing.cli import operator_environment, run, run_measured
from pullprobe_testing.ecs_standin import REGION, Scripted
from pullprobe_testing.fleet_account import (
    BUCKET,
    DENIED,
    MEMBER,
    OWN,
    SLOW,
    THROTTLED,
)
from pullprobe_testing.policies import actions_of
from pullprobe_testing.s3_standin import GeneratedBucket

REPORTS = ROOT / "tests/data/three-subnets.ndjson"

NO_S3 = (
    "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to copy: "
    "httpReadSeeker: failed open: failed to do request: Get "
    '"https://prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com/a": dial tcp '
    "52.217.1.1:443: i/o timeout"
)


def target(account, service="web", region=REGION):
    return {"account": account, "region": region, "cluster": "prod", "service": service}


def lines(targets):
    return "".join(json.dumps(item) + "\n" for item in targets)


def test_accounts_that_cannot_be_probed_are_results(front, fleet, results, tmp_path):
    front.deploy(OWN)
    front.deploy(MEMBER, behaviour=Scripted(exit_code=None, reason=NO_S3))
    front.deploy(SLOW, behaviour=Scripted(pending=90))
    file = tmp_path / "targets.jsonl"
    bad = [
        "x" * 200_000,
        json.dumps(target(OWN, region="eu-wset-1")),
        json.dumps(target(OWN)),
    ]
    accounts = (OWN, MEMBER, DENIED, THROTTLED, SLOW)
    file.write_text(lines(map(target, accounts)) + "\n".join(bad) + "\n")
    output = tmp_path / "out"

    flags = ["--external-id", "external-1", "--carrier", "fargate", "--target-timeout", "80s"]
    flags += ["--format", "json"]
    done = fleet("fleet", "run", "--targets", file, "--output", output, *flags, code=11)

    for words in ("line 6", "64 KiB", "eu-wset-1", "already; it is probed once"):
        assert words in done.stderr, done.stderr
    assert f"{MEMBER}: 1 of 1 targets, 2 of 2 subnets fail" in done.stderr, done.stderr
    found = results(output)
    assert {account: document["outcome"] for account, document in found.items()} == {
        OWN: "probed",
        MEMBER: "probed",
        DENIED: "role-not-assumed",
        THROTTLED: "throttled",
        SLOW: "timed-out",
    }
    assert "fleet print --spoke" in found[DENIED]["summary"]
    assert found[MEMBER]["failing"] == 2 and found[MEMBER]["exit_code"] == 11
    [report, *_] = (output / "reports").rglob(f"account={MEMBER}/**/*.ndjson")
    assert len(report.read_text().splitlines()) == 2
    comparison = json.loads(done.stdout)
    assert comparison["schema"] == "pullprobe/comparison/v1" and comparison["exit_code"] == 11
    [page] = (output / "pages").rglob("*.html")
    assert "<!doctype html>" in page.read_text()
    # What was started in the slow account was stopped, and every session has id and tag.
    assert front.standin.running() == []
    for call in front.sts_calls:
        assert call["ExternalId"] == "external-1"
        assert call["Tags.member.1.Key"] == "pullprobe:run"
    assert OWN not in {call["RoleArn"].split(":")[4] for call in front.sts_calls}


def test_gigabyte_in_one_line_is_a_sentence_and_the_next_line_is_a_target():
    piece = b"x" * (1 << 20)
    good = json.dumps(target(OWN)).encode() + b"\n"
    chunks = itertools.chain(itertools.repeat(piece, 1024), [b"\n", good])

    printed, errors, code, peak = run_measured("fleet", "targets", "--from", "-", chunks=chunks)

    assert json.loads(printed) == target(OWN) and code == 3
    assert "line 1" in errors and "64 KiB" in errors
    assert peak < 200 * 1024, f"{peak} KiB"


def test_million_foreign_objects_are_a_sentence_and_reports_are_compared():
    reports = [(line + "\n").encode() for line in REPORTS.read_text().splitlines()]
    keys = [f"a/foreign-{number}" for number in range(1_000_000)]
    keys += [f"a/reports/{number}.ndjson" for number in range(len(reports))]
    bucket = GeneratedBucket(keys, lambda key: reports[int(key.split("/")[-1].split(".")[0])])
    environment = operator_environment(bucket.url, REGION)

    done = run("compare", "s3://foreign/a/", "--format", "json", environment=environment)
    bucket.close()

    assert "1000000 objects were not read" in done.stderr, done.stderr
    comparison = json.loads(done.stdout)
    assert comparison["read"]["reports"] == len(reports)
    assert done.returncode == comparison["exit_code"]


def test_configuration_names_the_object_with_the_rights_of_the_spoke(front, fleet, tmp_path):
    configuration = front.read_configuration()
    subnets = front.deploy(MEMBER, behaviour=Scripted(exit_code=None, reason=NO_S3))
    file, output = tmp_path / "targets.jsonl", tmp_path / "out"
    file.write_text(lines([target(MEMBER)]))

    flags = ["--external-id", "external-1", "--carrier", "fargate", "--format", "json"]
    fleet("fleet", "run", "--targets", file, "--output", output, *flags, code=11)

    [stored] = (output / "results").rglob("*.json")
    result = json.loads(stored.read_text())
    inspection = json.loads(pathlib.Path(result["inspection"]).read_text())
    assert inspection["schema"] == "pullprobe/inspection/v1"
    assert {report["subnet"] for report in inspection["packets"]} == set(subnets)
    # The subnets have no way out, and the route table that lacks it is named.
    first = inspection["findings"][0]
    assert first["object"].startswith("rtb-"), first
    assert first["object"] in result["configuration"][0], result
    called = {*configuration.called, *front.standin.called_actions()}
    assert {"ec2:DescribeRouteTables", "ecs:RunTask"} <= called
    assert called - {"ecr:GetAuthorizationToken"} <= spoke_actions(), called - spoke_actions()


def spoke_actions():
    printed = run("fleet", "print", "--spoke", "--format", "cloudformation").stdout
    role = yaml.safe_load(printed)["Resources"]["SpokeRole"]["Properties"]
    return actions_of(role["Policies"][0]["PolicyDocument"]["Statement"])


def test_targets_come_from_the_organization_or_a_list(front, fleet, tmp_path):
    front.deploy(OWN, "web")
    front.deploy(MEMBER, "api")
    accounts = ["--accounts", f"{OWN},{MEMBER},{DENIED}", "--regions", REGION]
    done = fleet("fleet", "targets", *accounts, code=3)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found == [target(OWN), target(MEMBER, "api")]
    assert f"{DENIED} {REGION}: not read" in done.stderr

    organizations = front.client("organizations")
    organizations.create_organization(FeatureSet="ALL")
    done = fleet("fleet", "targets", "--regions", REGION)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [target(OWN)]

    csv = f"account,region,cluster,service\n{OWN},{REGION},prod,web\n12,{REGION},prod,web\n"
    done = fleet("fleet", "targets", "--from", "-", given=csv, code=3)
    assert json.loads(done.stdout) == target(OWN) and "line 3" in done.stderr


def test_functions_probe_record_and_reduce(front, fleet, function):
    subnets = front.deploy(MEMBER, behaviour=Scripted(exit_code=None, reason=NO_S3))
    targets = [target(MEMBER), target(DENIED), target(THROTTLED), target(SLOW)]
    s3 = front.client("s3")
    key = "targets/targets.jsonl"
    s3.put_object(Bucket=BUCKET, Key=key, Body=lines(targets).encode())
    run = {"run": "night-1", "date": "2026-11-27T03:00:00Z"}
    probe = {"fleet": "probe", **run}

    first = function({**probe, "target": targets[0]})
    assert first.error_type is None and first.document["outcome"] == "probed", first.answer
    assert first.document["failing"] == 2
    started = len(front.standin.requests_of("RunTask"))
    # The same target of the same run is not probed again.
    assert function({**probe, "target": targets[0]}).document == first.document
    assert len(front.standin.requests_of("RunTask")) == started
    assert function({**probe, "target": targets[1]}).document["outcome"] == "role-not-assumed"
    throttled = function({**probe, "target": targets[2]})
    assert throttled.error_type == "Pullprobe.Throttled"
    for item, error in ((targets[2], "Pullprobe.Throttled"), (targets[3], "States.Timeout")):
        event = {"fleet": "no-result", **run, "target": item}
        event["error"] = {"Error": error, "Cause": "as the state machine says"}
        answer = function(event).document
        assert answer["outcome"] in ("throttled", "timed-out"), answer

    queue = front.client("sqs").create_queue(QueueName="messages")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{OWN}:messages"
    front.client("sns").subscribe(TopicArn=function.topic, Protocol="sqs", Endpoint=arn)
    reduced = function({"fleet": "reduce", **run, "targets": key}).document
    assert (reduced["vantages"], reduced["failing"], reduced["no_report"]) == (2, 2, 3), reduced
    assert {at["name"].split(",")[0] for at in reduced["worst"]} == set(subnets)
    metrics = json.loads(function.output().splitlines()[-1])
    assert (metrics["Vantages"], metrics["Failing"], metrics["NoReport"]) == (2, 2, 3)
    assert metrics["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["Fleet"]]
    [message] = front.client("sqs").receive_message(QueueUrl=queue)["Messages"]
    text = json.loads(message["Body"])["Message"]
    assert "2 of 2 vantages" in text or "All 2 vantages" in text, text
    assert "no run of the previous week" in text and DENIED in text

    # The next night the subnets are healthy, and the message says so.
    for subnet in subnets:
        front.standin.behaviours[subnet] = Scripted()
    tomorrow = {"run": "night-2", "date": "2026-11-28T03:00:00Z"}
    function({"fleet": "probe", **tomorrow, "target": targets[0]})
    function({"fleet": "reduce", **tomorrow, "targets": key})
    [message] = front.client("sqs").receive_message(QueueUrl=queue)["Messages"]
    text = json.loads(message["Body"])["Message"]
    assert "Since 2026-11-27" in text and "recovered" in text, text

    # What is stored can be compared again, and foreign files are named.
    s3.put_object(Bucket=BUCKET, Key="reports/notes.txt", Body=b"foreign")
    done = fleet("compare", f"s3://{BUCKET}/reports/", "--format", "json")
    comparison = json.loads(done.stdout)
    assert comparison["read"]["reports"] == 4 and len(comparison["vantages"]) == 2
    assert {change["after"] for change in comparison["changes"] if change["fact"] == "verdict"} == {
        "pass"
    }
    assert "1 objects were not read" in done.stderr
    done = fleet("compare", f"s3://{BUCKET}/targets/none", code=2)
    assert "no object with reports" in done.stderr


def test_failed_start_is_probed_once_an_hour(front, function):
    subnets = front.deploy(OWN, behaviour=Scripted(exit_code=None, reason=NO_S3), count=1)
    cluster = f"arn:aws:ecs:{REGION}:{OWN}:cluster/prod"
    event = {
        "source": "aws.ecs",
        "detail-type": "ECS Service Action",
        "resources": [f"arn:aws:ecs:{REGION}:{OWN}:service/prod/web"],
        "detail": {"eventName": "SERVICE_TASK_START_IMPAIRED", "clusterArn": cluster},
    }
    first = function(event)
    assert first.error_type is None, first.answer
    assert first.document["service"] == "web" and first.document["status"] == "fail"
    assert first.document["causes"], first.document
    started = len(front.standin.requests_of("RunTask"))
    assert started == len(subnets)
    assert "within the last hour" in function(event).document["ignored"]
    assert len(front.standin.requests_of("RunTask")) == started
    assert len(front.objects("claims/")) == 1
    own = {
        "source": "aws.ecs",
        "detail-type": "ECS Task State Change",
        "detail": {
            "clusterArn": cluster,
            "taskArn": f"arn:aws:ecs:{REGION}:{OWN}:task/prod/1",
            "startedBy": "pullprobe/failed-1",
            "group": "family:pullprobe-1",
            "stopCode": "TaskFailedToStart",
        },
    }
    assert "ignored" in function(own).document
