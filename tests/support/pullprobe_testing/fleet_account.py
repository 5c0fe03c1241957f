"""An organization of three accounts with services, in front of moto and the ECS stand-in.

fleet ──▶ FleetFront ──┬─ ECS, ECR, Logs, functions: EcsStandin
                       └─ STS, S3, SNS, Organizations, EC2, IAM: moto_server
"""

import http.client
import json
import urllib.parse

import boto3
import botocore.config

from pullprobe_testing import images, pace
from pullprobe_testing.accounts import create_network, create_service, register_task_definition
from pullprobe_testing.ecs_standin import REGION, EcsStandin, Scripted
from pullprobe_testing.loopback_http import Handler, LoopbackServer

OWN, MEMBER, DENIED, THROTTLED, SLOW = (
    "123456789012",
    "111122223333",
    "222233334444",
    "333344445555",
    "444455556666",
)
BUCKET = "fleet-results"
VERSION = "0.1.0"
ERROR = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<Error><Type>Sender</Type><Code>{}</Code><Message>{}</Message></Error>
<RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId></ErrorResponse>"""


class FleetFront:
    """Answers for some roles itself; everything else goes to the ECS stand-in or to moto."""

    def __init__(self, moto):
        moto.reset()
        self.moto, self.sts_calls, self.actions = moto, [], set()
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
        self.standin.close()
        assert self.standin.schema_violations == []

    def client(self, service, account=None, region=REGION):
        """Returns a boto3 client of moto, in another account through its role."""
        keys = {"aws_access_key_id": "operator", "aws_secret_access_key": "operator"}
        if account:
            role = f"arn:aws:iam::{account}:role/pullprobe-fleet"
            issued = self.client("sts").assume_role(RoleArn=role, RoleSessionName="test")
            keys = {
                "aws_access_key_id": issued["Credentials"]["AccessKeyId"],
                "aws_secret_access_key": issued["Credentials"]["SecretAccessKey"],
                "aws_session_token": issued["Credentials"]["SessionToken"],
            }
        config = botocore.config.Config(proxies={})
        return boto3.client(
            service, endpoint_url=self.moto.url, region_name=region, config=config, **keys
        )

    def deploy(self, account, service="web", behaviour=None, count=2):
        """Creates a service with `count` subnets, and the probe's image. Returns the subnets."""
        of = None if account == OWN else account
        subnets, group = create_network(self.client("ec2", of), count)
        ecs = self.client("ecs", of)
        image = f"{account}.dkr.ecr.{REGION}.amazonaws.com/team/app:1.4"
        definition = register_task_definition(ecs, [{"name": "app", "image": image}])
        create_service(ecs, subnets, group, definition, service)
        ecr = self.client("ecr", of)
        ecr.create_repository(repositoryName="pullprobe")
        manifest = {"schemaVersion": 2, "mediaType": images.MANIFEST, "layers": []}
        ecr.put_image(
            repositoryName="pullprobe", imageTag=VERSION, imageManifest=json.dumps(manifest)
        )
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
                return 403, ERROR.format("AccessDenied", message).encode(), {}
            if account == THROTTLED:
                return 400, ERROR.format("Throttling", "Rate exceeded").encode(), {}
        of_ecs = target.startswith(("AmazonEC2Container", "Logs_")) or "/functions" in path
        url = self.standin.url if of_ecs else self.moto.url
        connection = http.client.HTTPConnection(url.split("//")[1], timeout=pace.limit(60))
        kept = {name: value for name, value in headers.items() if name != "Connection"}
        connection.request(method, path, body, kept)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        unwanted = ("date", "server", "connection", "transfer-encoding", "content-length")
        headers = {
            name: value for name, value in answer.getheaders() if name.lower() not in unwanted
        }
        return answer.status, content, headers

    def objects(self, prefix=""):
        """Returns the keys in the bucket."""
        listed = self.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for item in listed.get("Contents", [])]

    def read(self, key):
        return self.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
