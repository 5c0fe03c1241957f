"""One AWS region on this machine, as one subnet sees it: real servers behind the real host names.

    10.0.0.2       the VPC's resolver                          unbound
    10.0.9.11-15   interface VPC endpoints, TLS on port 443    nginx -> moto_server, docker-registry
    198.18.0.10    S3, public as it always is                  nginx -> moto_server
    169.254.170.2  credentials and metadata of the task        TaskEndpoint

Requests are checked as AWS checks them: moto verifies every signature with the role's secret key
and every action with its policies, the registry accepts only the token of GetAuthorizationToken,
and S3 refuses a request with two kinds of credentials.
"""

import base64
import contextlib
import json
import pathlib
import shutil
import tempfile
import time
import uuid

import boto3
import botocore.config

from pullprobe_testing import namespace
from pullprobe_testing.certificates import Authority
from pullprobe_testing.images import Repository
from pullprobe_testing.policies import policy, trust_policy
from pullprobe_testing.servers import (
    Dns,
    Moto,
    Registry,
    TaskEndpoint,
    TlsServer,
    missing_programs,
)

ACCOUNT, REGION = "123456789012", "us-east-1"
REGISTRY_HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
S3_HOST = f"s3.{REGION}.amazonaws.com"
LAYER_BUCKET = f"prod-{REGION}-starport-layer-bucket"
IMAGE = f"{REGISTRY_HOST}/team/app:1.4"
LOG_GROUP = "/ecs/app"

RESOLVER, TASK_ENDPOINT, TASK_ADDRESS = "10.0.0.2", "169.254.170.2", "10.0.1.10"
ADDRESS = {
    "ecr.api": "10.0.9.11",
    "ecr.dkr": "10.0.9.12",
    "logs": "10.0.9.13",
    "secretsmanager": "10.0.9.14",
    "ssm": "10.0.9.15",
    "s3": "198.18.0.10",
}
SECOND_DKR_ADDRESS = "10.0.9.22"  # has no server; tests point names at it
HOST = {
    "ecr.api": f"api.ecr.{REGION}.amazonaws.com",
    "ecr.dkr": f"dkr.ecr.{REGION}.amazonaws.com",
    "s3": S3_HOST,
    **{
        service: f"{service}.{REGION}.amazonaws.com"
        for service in ("logs", "secretsmanager", "ssm")
    },
}

ROLE = "ecsTaskExecutionRole"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
TASK_ID = "0d4f29a1b7c04e8fa1e2c9f3b5a6d7e8"
TASK_ARN = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/prod/{TASK_ID}"
IMAGE_ID = "sha256:79ab9c392fd2923886cd7d56fdbc7d3ee2c99c71849122b5afd5a8e31220ad13"
METADATA_PATH = f"/v4/{TASK_ID}-2886439692"

# What AWS's AmazonECSTaskExecutionRolePolicy allows, and what a task with secrets needs besides.
EXECUTION_POLICY = policy(
    [
        "ecr:GetAuthorizationToken",
        "ecr:BatchCheckLayerAvailability",
        "ecr:GetDownloadUrlForLayer",
        "ecr:BatchGetImage",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "secretsmanager:GetSecretValue",
        "ssm:GetParameters",
    ]
)

NAME_UNKNOWN = {
    "code": "NAME_UNKNOWN",
    "message": f"The repository with name 'app' does not exist in the registry with id '{ACCOUNT}'",
}


def ecr_locations(passwords, upstream):
    """Returns nginx's clauses for ECR's registry: one password file, one namespace of repositories.

    ECR's error for a missing repository is given here; docker-registry has the one for a missing
    tag.
    """
    return f"""
        add_header Docker-Distribution-Api-Version registry/2.0 always;
        auth_basic "ecr.amazonaws.com";
        auth_basic_user_file {passwords};
        location /v2/team/ {{ proxy_pass {upstream}; }}
        location /v2/ {{
            default_type application/json;
            return 404 {nginx_string(json.dumps({"errors": [NAME_UNKNOWN]}))};
        }}
"""


def s3_locations(upstream):
    """Returns nginx's clauses for S3.

    S3 refuses a pre-signed URL that comes with an Authorization header, so a client that passes on
    the registry's header fails.
    """
    refusal = s3_error("InvalidArgument", "Only one auth mechanism allowed")
    return f"""
        location / {{
            set $credentials "";
            if ($http_authorization) {{ set $credentials "header"; }}
            if ($args ~ "X-Amz-Signature=") {{ set $credentials "$credentials query"; }}
            if ($credentials = "header query") {{ return 400 {nginx_string(refusal)}; }}
            proxy_pass {upstream};
        }}
"""


S3_IDS = (
    "<RequestId>C3D13FE58DE4C810</RequestId>"
    "<HostId>FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD</HostId>"
)


def s3_error(code, message, ids=S3_IDS):
    """Returns S3's XML for an error, with the IDs that it always has."""
    declaration = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return f"{declaration}<Error><Code>{code}</Code><Message>{message}</Message>{ids}</Error>"


def nginx_string(text):
    """Returns `text` as a quoted string of nginx's configuration."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


S3_ACCESS_DENIED = f"""
        default_type application/xml;
        location / {{
            return 403 {nginx_string(s3_error("AccessDenied", "Access Denied"))};
        }}
"""


class Region:
    """All servers of the region. Tests break parts of it for a while, each with a context manager.

    For example `region.servers["ecr.dkr"].stopped()` or `region.dns.with_zones({...})`.
    """

    def __init__(self, directory):
        absent = missing_programs()
        if absent:
            raise RuntimeError(f"not installed: {', '.join(absent)}. Run tests/run tools")
        self.directory = pathlib.Path(directory)
        self.directory.chmod(0o755)  # the probe runs as nobody and reads the CA bundle here
        resolv_conf = self.directory / "resolv.conf"
        resolv_conf.write_text(f"nameserver {RESOLVER}\nsearch ec2.internal\n")
        namespace.enter(
            [RESOLVER, TASK_ENDPOINT, TASK_ADDRESS, SECOND_DKR_ADDRESS, *ADDRESS.values()],
            resolv_conf,
        )
        self._running = contextlib.ExitStack()
        try:
            self._start()
            self._fill()
        except BaseException:
            self.close()
            raise

    def close(self):
        self._running.close()

    def _start(self):
        at = self.directory
        # With much shorter names the certificate chain of `logs` would fit the lab's small links.
        self.authority = Authority(at / "ca", "Amazon Simulated Services")
        self.ca_bundle = at / "ca" / "root.pem"
        # The CA of an intercepting proxy: laptops trust it, the image puller does not.
        self.corporate = Authority(at / "corporate", "Example Corp Web Gateway")

        self.moto, self.s3_moto = Moto(at, "aws", 5000), Moto(at, "s3", 5001)
        self.registry = Registry(at, 5002, LAYER_BUCKET, S3_HOST, "127.0.0.1", self.ca_bundle)
        self.dns = Dns(at, RESOLVER, {HOST[key]: [address] for key, address in ADDRESS.items()})
        self.registry_passwords = at / "registry-passwords"
        # moto's token for an account. `{PLAIN}` tells nginx that the password follows in plain
        # text.
        self.registry_token = f"{ACCOUNT}-auth-token"
        self.registry_passwords.write_text(f"AWS:{{PLAIN}}{self.registry_token}\n")

        locations = dict.fromkeys(ADDRESS, f"location / {{ proxy_pass {self.moto.url}; }}")
        locations["ecr.dkr"] = ecr_locations(self.registry_passwords, self.registry.url)
        locations["s3"] = s3_locations(self.s3_moto.url)
        names = {key: [host] for key, host in HOST.items()}
        names["ecr.dkr"] = [f"*.{HOST['ecr.dkr']}", HOST["ecr.dkr"]]
        names["s3"] = [f"*.{S3_HOST}", S3_HOST]
        self.servers = {
            key: TlsServer(at, key, address, self.authority.issue(key, names[key]), locations[key])
            for key, address in ADDRESS.items()
        }
        registry_s3 = TlsServer(
            at, "s3-of-registry", "127.0.0.1", self.servers["s3"].certificate, locations["s3"]
        )

        first = [self.dns, self.moto, self.s3_moto, registry_s3, *self.servers.values()]
        for server in first:
            self._running.callback(server.stop)
            server.start()
        for server in first:
            server.ready()
        self.client("s3", self.s3_moto).create_bucket(Bucket=LAYER_BUCKET)
        self._running.callback(self.registry.stop)
        self.registry.start().ready()

    def _fill(self):
        """Creates images, a log group, secrets and an execution role, as before a deployment."""
        self.repository = Repository(f"http://127.0.0.1:{self.registry.peer[1]}", "team/app")
        self.repository.push("1.4")
        self.repository.push("arm-only", architectures=("arm64",))
        self.repository.push_single("arm-manifest", "arm64")

        self.client("logs").create_log_group(logGroupName=LOG_GROUP)
        self.secret_value = f"canary-{uuid.uuid4()}"
        self.secret = self.client("secretsmanager").create_secret(
            Name="prod/app", SecretString=f'{{"username":"app","password":"{self.secret_value}"}}'
        )["ARN"]
        self.plain_secret = self.client("secretsmanager").create_secret(
            Name="prod/plain", SecretString=self.secret_value
        )["ARN"]
        self.client("ssm").put_parameter(
            Name="/prod/app/token", Type="SecureString", Value=self.secret_value
        )
        self.parameter = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/prod/app/token"

        iam = self.client("iam")
        trust = json.dumps(trust_policy("ecs-tasks"))
        iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust)
        self._put_role_policy("execution", EXECUTION_POLICY)
        session = self.client("sts").assume_role(RoleArn=ROLE_ARN, RoleSessionName=TASK_ID)
        self.role_credentials = session["Credentials"]
        iam.create_user(UserName="operator")
        iam.put_user_policy(
            UserName="operator", PolicyName="all", PolicyDocument=json.dumps(policy("*"))
        )
        key = iam.create_access_key(UserName="operator")["AccessKey"]
        self.operator_keys = key["AccessKeyId"], key["SecretAccessKey"]
        # From here on moto verifies every signature and every permission.
        self.moto.post("reset-auth", b"0", {"Content-Type": "text/plain"})

        self.credentials_path = f"/v2/credentials/{uuid.uuid4()}"
        self.task_endpoint = TaskEndpoint(
            TASK_ENDPOINT,
            {
                self.credentials_path: self.credentials_document(),
                METADATA_PATH: container_metadata(),
                f"{METADATA_PATH}/task": task_metadata(),
            },
        )
        self._running.callback(self.task_endpoint.stop)

    def credentials_document(self, **changed):
        """Returns the response of the credentials endpoint."""
        key = self.role_credentials
        return {
            "RoleArn": ROLE_ARN,
            "AccessKeyId": key["AccessKeyId"],
            "SecretAccessKey": key["SecretAccessKey"],
            "Token": key["SessionToken"],
            "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 6 * 3600)),
            **changed,
        }

    def task_environment(self):
        """Returns what Fargate puts into a container's environment."""
        return {
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": self.credentials_path,
            "ECS_CONTAINER_METADATA_URI_V4": f"http://{TASK_ENDPOINT}{METADATA_PATH}",
            "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "HOSTNAME": "ip-10-0-1-10.ec2.internal",
            "HOME": "/",
            "PATH": "/usr/bin:/bin",
        }

    def client(self, service, server=None, region=REGION):
        """Returns a boto3 client that talks to moto directly, with the operator's keys."""
        access, secret = getattr(self, "operator_keys", ("unchecked", "unchecked"))
        return boto3.client(
            service,
            endpoint_url=(server or self.moto).url,
            region_name=region,
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            config=botocore.config.Config(proxies={}),
        )

    def log_messages(self, group=LOG_GROUP):
        """Returns the messages of every stream of a log group, in the order of time."""
        logs = self.client("logs")

        def messages(stream):
            events = logs.get_log_events(
                logGroupName=group, logStreamName=stream, startFromHead=True
            )["events"]
            return [event["message"] for event in events]

        streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
        return {name: messages(name) for name in (stream["logStreamName"] for stream in streams)}

    def layer_key(self, digest):
        """Returns the key under which docker-registry stores a blob in its bucket."""
        algorithm, value = digest.split(":")
        return f"docker/registry/v2/blobs/{algorithm}/{value[:2]}/{value}/data"

    def bucket_delete(self, digest):
        """Deletes a blob from the layer bucket; the registry still redirects to it."""
        self.client("s3", self.s3_moto).delete_object(
            Bucket=LAYER_BUCKET, Key=self.layer_key(digest)
        )

    def bucket_alter(self, digest):
        """Changes one byte near the end of a blob."""
        s3, key = self.client("s3", self.s3_moto), self.layer_key(digest)
        content = bytearray(s3.get_object(Bucket=LAYER_BUCKET, Key=key)["Body"].read())
        content[-100] ^= 1
        s3.put_object(Bucket=LAYER_BUCKET, Key=key, Body=bytes(content))

    @contextlib.contextmanager
    def serves(self, host, address, locations=None, names=None):
        """Runs one more HTTPS server for `host` and the names below it; by default for moto."""
        locations = locations or f"location / {{ proxy_pass {self.moto.url}; }}"
        certificate = self.authority.issue(host, names or [host, f"*.{host}"])
        server = TlsServer(self.directory, host, address, certificate, locations)
        with namespace.extra_address(address), contextlib.closing(server):
            server.start().ready()
            with self.dns.with_zones({host: [address]}):
                yield server

    def silent(self, *dependencies):
        """Drops packets to these dependencies for a while."""
        return namespace.silent(*(ADDRESS[key] for key in dependencies))

    def silent_address(self, *addresses):
        """Drops packets to these addresses for a while."""
        return namespace.silent(*addresses)

    def unknown_name(self, dependency):
        """Answers NXDOMAIN for the name of this dependency for a while."""
        return self.dns.with_zones({HOST[dependency]: None})

    @contextlib.contextmanager
    def role_policy(self, document, name="test"):
        """Adds a policy to the execution role for a while."""
        self._put_role_policy(name, document)
        try:
            yield
        finally:
            self.client("iam").delete_role_policy(RoleName=ROLE, PolicyName=name)

    def role_denied(self, action):
        """Denies one action explicitly in the execution role's policy for a while."""
        return self.role_policy(policy(action, effect="Deny"))

    @contextlib.contextmanager
    def role_limited_to(self, actions):
        """Allows the execution role these actions only, for a while."""
        self._put_role_policy("execution", policy(actions))
        try:
            yield
        finally:
            self._put_role_policy("execution", EXECUTION_POLICY)

    def _put_role_policy(self, name, document):
        self.client("iam").put_role_policy(
            RoleName=ROLE, PolicyName=name, PolicyDocument=json.dumps(document)
        )

    def secrets(self):
        """Returns the strings that the probe must never reveal, by what they are."""
        return {
            "registry password": self.registry_token,
            "registry token": base64.b64encode(f"AWS:{self.registry_token}".encode()).decode(),
            "secret access key": self.role_credentials["SecretAccessKey"],
            "session token": self.role_credentials["SessionToken"],
            "secret value": self.secret_value,
            "signed query": "X-Amz-Signature=",
            "authorization": "AWS4-HMAC-SHA256",
        }


def container_metadata():
    return task_metadata()["Containers"][0]


def task_metadata():
    """Returns `${ECS_CONTAINER_METADATA_URI_V4}/task` as Fargate platform version 1.4 has it."""
    container_arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}:container/prod/{TASK_ID}"
    return {
        "Cluster": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/prod",
        "TaskARN": TASK_ARN,
        "Family": "app",
        "Revision": "7",
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": {"CPU": 0.25, "Memory": 512},
        "PullStartedAt": "2026-07-29T07:35:51.031284568Z",
        "PullStoppedAt": "2026-07-29T07:35:55.478277684Z",
        "AvailabilityZone": "us-east-1a",
        "LaunchType": "FARGATE",
        "Containers": [
            {
                "DockerId": f"{TASK_ID}-2886439692",
                "Name": "app",
                "DockerName": "app",
                "Image": IMAGE,
                "ImageID": IMAGE_ID,
                "Labels": {
                    "com.amazonaws.ecs.cluster": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/prod",
                    "com.amazonaws.ecs.container-name": "app",
                    "com.amazonaws.ecs.task-arn": TASK_ARN,
                    "com.amazonaws.ecs.task-definition-family": "app",
                    "com.amazonaws.ecs.task-definition-version": "7",
                },
                "DesiredStatus": "RUNNING",
                "KnownStatus": "RUNNING",
                "Limits": {"CPU": 2},
                "CreatedAt": "2026-07-29T07:35:56.728610677Z",
                "StartedAt": "2026-07-29T07:35:56.728610677Z",
                "Type": "NORMAL",
                "ContainerARN": f"{container_arn}/b31c78c2-9905-4b57-bfc1-e9f8a3689607",
                "Networks": [
                    {
                        "NetworkMode": "awsvpc",
                        "IPv4Addresses": [TASK_ADDRESS],
                        "AttachmentIndex": 0,
                        "MACAddress": "0a:ae:b6:d3:34:7d",
                        "IPv4SubnetCIDRBlock": "10.0.1.0/24",
                        "DomainNameServers": [RESOLVER],
                        "DomainNameSearchList": ["ec2.internal"],
                        "PrivateDNSName": "ip-10-0-1-10.ec2.internal",
                        "SubnetGatewayIpv4Address": "10.0.1.1/24",
                    }
                ],
                "Snapshotter": "overlayfs",
            }
        ],
        "ClockDrift": {
            "ClockErrorBound": 0.556966,
            "ReferenceTimestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "ClockSynchronizationStatus": "SYNCHRONIZED",
        },
        "EphemeralStorageMetrics": {"Utilized": 281, "Reserved": 20496},
    }


@contextlib.contextmanager
def open_region():
    """Runs a region for the length of a `with`; keeps the servers' logs if an error ends it."""
    directory = tempfile.mkdtemp(prefix="pullprobe-region-")
    try:
        with contextlib.closing(Region(directory)) as region:
            yield region
    except BaseException:
        print(f"the logs of the servers are in {directory}")
        raise
    shutil.rmtree(directory, ignore_errors=True)
