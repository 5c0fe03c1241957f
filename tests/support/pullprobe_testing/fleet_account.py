"""An organization of accounts with services, in front of moto and the ECS stand-in.

fleet ──▶ FleetFront ──┬─ ECS, ECR, Logs, functions: EcsStandin
                       ├─ what `inspect` reads: ConfigurationStandin, where a test has one
                       └─ STS, S3, SNS, Organizations, EC2, IAM: moto_server
"""

import http.client
import json
import urllib.parse

from pullprobe_testing import pace
from pullprobe_testing.accounts import (
    create_image,
    create_network,
    create_service,
    moto_client,
    register_task_definition,
)
from pullprobe_testing.cli import OPERATOR_KEYS
from pullprobe_testing.configuration_standin import ConfigurationStandin
from pullprobe_testing.ecr_standin import VERSION
from pullprobe_testing.ecs_standin import REGION, EcsStandin, Scripted
from pullprobe_testing.loopback_http import Handler, LoopbackServer
from pullprobe_testing.recording_proxy import HOP_HEADERS, query_error

OWN, MEMBER, DENIED, THROTTLED, SLOW = (
    "123456789012",
    "111122223333",
    "222233334444",
    "333344445555",
    "444455556666",
)
BUCKET = "fleet-results"
# Services whose objects only `inspect` reads. The stand-in for ECS asks for those of ECR itself.
CONFIGURATION = {
    "ec2",
    "iam",
    "route53",
    "route53resolver",
    "route53profiles",
    "secretsmanager",
    "ssm",
}


class FleetFront:
    """Answers for some roles itself; everything else goes to the ECS stand-in or to moto.

    logs           a boto3 client for the reports, if tasks write them elsewhere
    configuration  a ConfigurationStandin; without one, what only `inspect` reads is refused
    """

    def __init__(self, moto):
        moto.reset()
        self.moto, self.sts_calls, self.logs, self.configuration = moto, [], None, None
        self.standin = EcsStandin(moto.peer, {})
        front = self

        class FrontHandler(Handler):
            def forward(self):
                body = self.read_body()
                status, content, headers = front.answer(
                    self.command, self.path, dict(self.headers), body
                )
                self.respond(status, content, headers.pop("Content-Type", None), headers)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward

        self._server = LoopbackServer(FrontHandler)
        self.url = self._server.url

    def close(self):
        self._server.close()
        if self.configuration:
            self.configuration.close()
        self.standin.close()
        assert self.standin.schema_violations == []

    def client(self, service, keys=OPERATOR_KEYS, region=REGION):
        """Returns a boto3 client of moto."""
        return moto_client(service, self.moto.url, region, keys)

    def read_configuration(self):
        """Lets the role of an account read what `inspect` reads; returns the stand-in."""
        self.configuration = ConfigurationStandin(self.moto.peer)
        self.standin.configuration = self.configuration
        return self.configuration

    def keys_of(self, account):
        """Returns the operator's keys, or for another account those of its role."""
        if account == OWN:
            return OPERATOR_KEYS
        role = f"arn:aws:iam::{account}:role/pullprobe-fleet"
        issued = self.client("sts").assume_role(RoleArn=role, RoleSessionName="test")
        names = "AccessKeyId", "SecretAccessKey", "SessionToken"
        return tuple(issued["Credentials"][name] for name in names)

    def deploy(
        self, account, service="web", behaviour=None, count=2, region=REGION, container=None
    ):
        """Creates a service with `count` subnets, and the probe's image. Returns the subnets."""
        keys = self.keys_of(account)
        subnets, group = create_network(self.client("ec2", keys, region), count)
        ecs = self.client("ecs", keys, region)
        image = f"{account}.dkr.ecr.{region}.amazonaws.com/team/app:1.4"
        container = {"name": "app", **(container or {"image": image})}
        definition = register_task_definition(ecs, [container])
        create_service(ecs, subnets, group, definition, service)
        create_image(self.client("ecr", keys, region), "pullprobe", VERSION)
        for subnet in subnets:
            self.standin.behaviours[subnet] = behaviour or Scripted()
        return subnets

    def answer(self, method, path, headers, body):
        target = {name.lower(): value for name, value in headers.items()}.get("x-amz-target", "")
        form = dict(urllib.parse.parse_qsl(body.decode(errors="replace")))
        if form.get("Action") == "AssumeRole":
            self.sts_calls.append(form)
            account = form["RoleArn"].split(":")[4]
            if account == DENIED:
                message = "is not authorized to perform: sts:AssumeRole"
                return 403, query_error("AccessDenied", message), {}
            if account == THROTTLED:
                return 400, query_error("Throttling", "Rate exceeded"), {}
        if self.logs and target == "Logs_20140328.GetLogEvents":
            found = self.logs.get_log_events(**json.loads(body))
            del found["ResponseMetadata"]
            return 200, json.dumps(found).encode(), {}
        lower = {name.lower(): value for name, value in headers.items()}
        action = ConfigurationStandin.action_of(path, lower, body)
        if self.configuration and action.split(":")[0] in CONFIGURATION:
            status, more, content = self.configuration.answer(method, path, lower, body)
            return status, content, {k: v for k, v in more.items() if k.lower() not in HOP_HEADERS}
        of_ecs = target.startswith(("AmazonEC2Container", "Logs_")) or "/functions" in path
        url = self.standin.url if of_ecs else self.moto.url
        connection = http.client.HTTPConnection(url.split("//")[1], timeout=pace.limit(60))
        kept = {name: value for name, value in headers.items() if name != "Connection"}
        connection.request(method, path, body, kept)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        headers = {
            name: value for name, value in answer.getheaders() if name.lower() not in HOP_HEADERS
        }
        return answer.status, content, headers

    def objects(self, prefix=""):
        """Returns the keys in the bucket."""
        listed = self.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for item in listed.get("Contents", [])]
