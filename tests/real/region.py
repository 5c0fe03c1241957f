"""A region of AWS on this machine, as one subnet sees it: real servers behind the real names, in a private network.

    10.0.0.2       the VPC's resolver                    unbound
    10.0.9.11-15   interface endpoints, TLS on 443       nginx -> moto_server, docker-registry
    198.18.0.10    S3, public as it always is            nginx -> moto_server
    169.254.170.2  the task's credentials and metadata   a page of Python

Requests are judged as AWS judges them: moto checks every signature against the role's secret key and every action
against its policies, the registry takes only the token that GetAuthorizationToken handed out, S3 refuses a request
with two kinds of credentials.
"""
import base64
import contextlib
import json
import pathlib
import shutil
import tempfile
import time
import urllib.request
import uuid

import boto3
import botocore.config

import namespace
from certificates import Authority
from images import Repository
from servers import Dns, Moto, Registry, TaskEndpoint, Tls, missing_programs

ACCOUNT, REGION = '123456789012', 'us-east-1'
REGISTRY_HOST = f'{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com'
S3_HOST = f's3.{REGION}.amazonaws.com'
LAYER_BUCKET = f'prod-{REGION}-starport-layer-bucket'
IMAGE = f'{REGISTRY_HOST}/team/app:1.4'
LOG_GROUP = '/ecs/app'

RESOLVER, TASK_ENDPOINT, TASK_ADDRESS = '10.0.0.2', '169.254.170.2', '10.0.1.10'
ADDRESS = {'ecr.api': '10.0.9.11', 'ecr.dkr': '10.0.9.12', 'logs': '10.0.9.13', 'secretsmanager': '10.0.9.14',
           'ssm': '10.0.9.15', 's3': '198.18.0.10'}
SECOND_DKR_ADDRESS = '10.0.9.22'  # nobody there, until a test gives it to a name
HOST = {'ecr.api': f'api.ecr.{REGION}.amazonaws.com', 'ecr.dkr': f'dkr.ecr.{REGION}.amazonaws.com', 's3': S3_HOST,
        **{service: f'{service}.{REGION}.amazonaws.com' for service in ('logs', 'secretsmanager', 'ssm')}}

ROLE = 'ecsTaskExecutionRole'
ROLE_ARN = f'arn:aws:iam::{ACCOUNT}:role/{ROLE}'
TASK_ID = '0d4f29a1b7c04e8fa1e2c9f3b5a6d7e8'
TASK_ARN = f'arn:aws:ecs:{REGION}:{ACCOUNT}:task/prod/{TASK_ID}'
METADATA_PATH = f'/v4/{TASK_ID}-2886439692'

# What AWS's AmazonECSTaskExecutionRolePolicy allows, and what a task with secrets needs besides.
EXECUTION_POLICY = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Resource': '*', 'Action': [
    'ecr:GetAuthorizationToken', 'ecr:BatchCheckLayerAvailability', 'ecr:GetDownloadUrlForLayer', 'ecr:BatchGetImage',
    'logs:CreateLogStream', 'logs:PutLogEvents', 'secretsmanager:GetSecretValue', 'ssm:GetParameters']}]}

# ECR's own words for a repository that is not there. docker-registry says MANIFEST_UNKNOWN for that too.
ECR_LOCATIONS = """
        auth_basic "ecr.amazonaws.com";
        auth_basic_user_file {passwords};
        location /v2/team/ {{ proxy_pass {upstream}; }}
        location /v2/ {{
            default_type application/json;
            return 404 '{{"errors":[{{"code":"NAME_UNKNOWN","message":"The repository with name \\'app\\' does not exist in the registry with id \\'123456789012\\'"}}]}}';
        }}
"""
# S3 refuses a signed URL that comes with an Authorization header: a client that forwards the registry's must notice.
S3_LOCATIONS = """
        location / {{
            set $credentials "";
            if ($http_authorization) {{ set $credentials "header"; }}
            if ($args ~ "X-Amz-Signature=") {{ set $credentials "$credentials query"; }}
            if ($credentials = "header query") {{
                return 400 '<?xml version="1.0" encoding="UTF-8"?>\\n<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>';
            }}
            proxy_pass {upstream};
        }}
"""
S3_ACCESS_DENIED = """
        default_type application/xml;
        location / { return 403 '<?xml version="1.0" encoding="UTF-8"?>\\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message><RequestId>C3D13FE58DE4C810</RequestId><HostId>FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD</HostId></Error>'; }
"""


class Region:
    """The whole of it. Parts that a test may break are attributes: `region.servers['ecr.dkr'].stopped()`, `region.dns.knows(…)`."""

    def __init__(self, directory):
        absent = missing_programs()
        if absent:
            raise RuntimeError(f"not installed: {', '.join(absent)} (`tests/run tools` installs them)")
        self.directory = pathlib.Path(directory)
        self.directory.chmod(0o755)  # the probe runs as nobody and reads the CA bundle here
        resolv_conf = self.directory / 'resolv.conf'
        resolv_conf.write_text(f'nameserver {RESOLVER}\nsearch ec2.internal\n')
        namespace.enter([RESOLVER, TASK_ENDPOINT, TASK_ADDRESS, SECOND_DKR_ADDRESS, *ADDRESS.values()], resolv_conf)
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
        self.authority = Authority(at / 'ca', 'Amazon of this machine')
        self.ca_bundle = at / 'ca' / 'root.pem'
        # An intercepting proxy signs with a CA of its own: trusted on the laptops, unknown to the puller.
        self.corporate = Authority(at / 'corporate', 'Example Corp Web Gateway')

        self.moto, self.s3_moto = Moto(at, 'aws', 5000), Moto(at, 's3', 5001)
        self.registry = Registry(at, 5002, LAYER_BUCKET, S3_HOST, '127.0.0.1', self.ca_bundle)
        self.dns = Dns(at, RESOLVER, {HOST[role]: [address] for role, address in ADDRESS.items()})
        self.registry_passwords = at / 'registry-passwords'
        # moto's token for an account; `{PLAIN}` is nginx's way to say that what follows is the password itself.
        self.registry_token = f'{ACCOUNT}-auth-token'
        self.registry_passwords.write_text(f'AWS:{{PLAIN}}{self.registry_token}\n')

        locations = {role: f'location / {{ proxy_pass {self.moto.url}; }}' for role in ADDRESS}
        locations['ecr.dkr'] = ECR_LOCATIONS.format(passwords=self.registry_passwords, upstream=self.registry.url)
        locations['s3'] = S3_LOCATIONS.format(upstream=self.s3_moto.url)
        names = {role: [host] for role, host in HOST.items()}
        names['ecr.dkr'] = [f'*.{HOST["ecr.dkr"]}', HOST['ecr.dkr']]
        names['s3'] = [f'*.{S3_HOST}', S3_HOST]
        self.servers = {role: Tls(at, role, ADDRESS[role], self.authority.issue(role, names[role]), locations[role])
                        for role in ADDRESS}
        registry_s3 = Tls(at, 's3-of-the-registry', '127.0.0.1', self.servers['s3'].certificate, locations['s3'])

        first = [self.dns, self.moto, self.s3_moto, registry_s3, *self.servers.values()]
        for server in first:
            self._running.callback(server.stop)
            server.start()
        for server in first:
            server.ready()
        self.client('s3', self.s3_moto).create_bucket(Bucket=LAYER_BUCKET)
        self._running.callback(self.registry.stop)
        self.registry.start().ready()

    def _fill(self):
        """What a team has in its account before it deploys: images, a log group, secrets, the execution role."""
        self.repository = Repository(f'http://127.0.0.1:{self.registry.peer[1]}', 'team/app')
        self.repository.push('1.4')
        self.repository.push('arm-only', architectures=('arm64',))
        self.repository.push_single('arm-manifest', 'arm64')

        self.client('logs').create_log_group(logGroupName=LOG_GROUP)
        self.secret_value = f'canary-{uuid.uuid4()}'
        self.secret = self.client('secretsmanager').create_secret(
            Name='prod/app', SecretString=f'{{"username":"app","password":"{self.secret_value}"}}')['ARN']
        self.plain_secret = self.client('secretsmanager').create_secret(Name='prod/plain', SecretString=self.secret_value)['ARN']
        self.client('ssm').put_parameter(Name='/prod/app/token', Type='SecureString', Value=self.secret_value)
        self.parameter = f'arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/prod/app/token'

        iam = self.client('iam')
        iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps({'Version': '2012-10-17', 'Statement': [
            {'Effect': 'Allow', 'Principal': {'Service': 'ecs-tasks.amazonaws.com'}, 'Action': 'sts:AssumeRole'}]}))
        iam.put_role_policy(RoleName=ROLE, PolicyName='execution', PolicyDocument=json.dumps(EXECUTION_POLICY))
        self.role_credentials = self.client('sts').assume_role(RoleArn=ROLE_ARN, RoleSessionName=TASK_ID)['Credentials']
        iam.create_user(UserName='operator')
        iam.put_user_policy(UserName='operator', PolicyName='all', PolicyDocument=json.dumps(
            {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': '*', 'Resource': '*'}]}))
        key = iam.create_access_key(UserName='operator')['AccessKey']
        self._operator = key['AccessKeyId'], key['SecretAccessKey']
        # From here on moto verifies every signature and every permission.
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            urllib.request.Request(f'{self.moto.url}/moto-api/reset-auth', b'0', {'Content-Type': 'text/plain'})).close()

        self.credentials_path = f'/v2/credentials/{uuid.uuid4()}'
        self.task_endpoint = TaskEndpoint(TASK_ENDPOINT, {
            self.credentials_path: self.credentials_document(), METADATA_PATH: container_metadata(),
            f'{METADATA_PATH}/task': task_metadata()})
        self._running.callback(self.task_endpoint.stop)

    def credentials_document(self, **changed):
        """What the credentials endpoint answers."""
        key = self.role_credentials
        return {'RoleArn': ROLE_ARN, 'AccessKeyId': key['AccessKeyId'], 'SecretAccessKey': key['SecretAccessKey'],
                'Token': key['SessionToken'], 'Expiration': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + 6 * 3600)),
                **changed}

    def task_environment(self):
        """What Fargate puts into a container's environment."""
        return {'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI': self.credentials_path,
                'ECS_CONTAINER_METADATA_URI_V4': f'http://{TASK_ENDPOINT}{METADATA_PATH}',
                'AWS_EXECUTION_ENV': 'AWS_ECS_FARGATE', 'AWS_REGION': REGION, 'AWS_DEFAULT_REGION': REGION,
                'HOSTNAME': 'ip-10-0-1-10.ec2.internal', 'HOME': '/', 'PATH': '/usr/bin:/bin'}

    def client(self, service, server=None, region=REGION):
        """A boto3 client that talks to moto directly: the operator looking at the account from elsewhere."""
        access, secret = getattr(self, '_operator', ('anyone', 'anything'))
        return boto3.client(service, endpoint_url=(server or self.moto).url, region_name=region, aws_access_key_id=access,
                            aws_secret_access_key=secret, config=botocore.config.Config(proxies={}))

    def log_messages(self, group=LOG_GROUP):
        """Every message of every stream of a log group, in order of the streams and of time."""
        logs = self.client('logs')
        streams = [stream['logStreamName'] for stream in logs.describe_log_streams(logGroupName=group)['logStreams']]
        return {stream: [event['message'] for event in logs.get_log_events(
            logGroupName=group, logStreamName=stream, startFromHead=True)['events']] for stream in streams}

    def layer_key(self, digest):
        """Where docker-registry keeps a blob in its bucket."""
        algorithm, value = digest.split(':')
        return f'docker/registry/v2/blobs/{algorithm}/{value[:2]}/{value}/data'

    def bucket_delete(self, digest):
        """A blob vanishes from the layer bucket; the registry goes on redirecting to it."""
        self.client('s3', self.s3_moto).delete_object(Bucket=LAYER_BUCKET, Key=self.layer_key(digest))

    def bucket_alter(self, digest):
        """One byte near the end of a blob is another one now."""
        s3, key = self.client('s3', self.s3_moto), self.layer_key(digest)
        content = bytearray(s3.get_object(Bucket=LAYER_BUCKET, Key=key)['Body'].read())
        content[-100] ^= 1
        s3.put_object(Bucket=LAYER_BUCKET, Key=key, Body=bytes(content))

    @contextlib.contextmanager
    def serves(self, host, address, locations=None, names=None):
        """One more HTTPS server, behind `host` and all below it; it leads to moto unless told otherwise."""
        locations = locations or f'location / {{ proxy_pass {self.moto.url}; }}'
        certificate = self.authority.issue(host, names or [host, f'*.{host}'])
        with namespace.address(address), contextlib.closing(Tls(self.directory, host, address, certificate, locations)) as server:
            server.start().ready()
            with self.dns.knows({host: [address]}):
                yield server

    def silent(self, *roles):
        """Packets to these services are dropped."""
        return namespace.silent(*(ADDRESS[role] for role in roles))

    def silent_address(self, *addresses):
        """Packets to these addresses are dropped."""
        return namespace.silent(*addresses)

    @contextlib.contextmanager
    def unknown_name(self, role):
        """The resolver says NXDOMAIN for this service."""
        with self.dns.knows({HOST[role]: None}):
            yield

    @contextlib.contextmanager
    def role_denied(self, action):
        """The execution role's policy has an explicit deny for one action."""
        iam = self.client('iam')
        iam.put_role_policy(RoleName=ROLE, PolicyName='deny', PolicyDocument=json.dumps(
            {'Version': '2012-10-17', 'Statement': [{'Effect': 'Deny', 'Action': action, 'Resource': '*'}]}))
        try:
            yield
        finally:
            iam.delete_role_policy(RoleName=ROLE, PolicyName='deny')

    def secrets(self):
        """Every string that must never be seen outside the probe."""
        return {'registry password': self.registry_token,
                'registry token': base64.b64encode(f'AWS:{self.registry_token}'.encode()).decode(),
                'secret access key': self.role_credentials['SecretAccessKey'],
                'session token': self.role_credentials['SessionToken'],
                'secret value': self.secret_value, 'signed query': 'X-Amz-Signature=', 'authorization': 'AWS4-HMAC-SHA256'}


def container_metadata():
    return task_metadata()['Containers'][0]


def task_metadata():
    """`${ECS_CONTAINER_METADATA_URI_V4}/task` in the shape that Fargate platform version 1.4 gives it."""
    return {
        'Cluster': f'arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/prod', 'TaskARN': TASK_ARN, 'Family': 'app', 'Revision': '7',
        'DesiredStatus': 'RUNNING', 'KnownStatus': 'RUNNING', 'Limits': {'CPU': 0.25, 'Memory': 512},
        'PullStartedAt': '2026-07-29T07:35:51.031284568Z', 'PullStoppedAt': '2026-07-29T07:35:55.478277684Z',
        'AvailabilityZone': 'us-east-1a', 'LaunchType': 'FARGATE',
        'Containers': [{
            'DockerId': f'{TASK_ID}-2886439692', 'Name': 'app', 'DockerName': 'app', 'Image': IMAGE,
            'ImageID': 'sha256:79ab9c392fd2923886cd7d56fdbc7d3ee2c99c71849122b5afd5a8e31220ad13',
            'Labels': {'com.amazonaws.ecs.cluster': f'arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/prod',
                       'com.amazonaws.ecs.container-name': 'app', 'com.amazonaws.ecs.task-arn': TASK_ARN,
                       'com.amazonaws.ecs.task-definition-family': 'app', 'com.amazonaws.ecs.task-definition-version': '7'},
            'DesiredStatus': 'RUNNING', 'KnownStatus': 'RUNNING', 'Limits': {'CPU': 2},
            'CreatedAt': '2026-07-29T07:35:56.728610677Z', 'StartedAt': '2026-07-29T07:35:56.728610677Z', 'Type': 'NORMAL',
            'ContainerARN': f'arn:aws:ecs:{REGION}:{ACCOUNT}:container/prod/{TASK_ID}/b31c78c2-9905-4b57-bfc1-e9f8a3689607',
            'Networks': [{'NetworkMode': 'awsvpc', 'IPv4Addresses': [TASK_ADDRESS], 'AttachmentIndex': 0,
                          'MACAddress': '0a:ae:b6:d3:34:7d', 'IPv4SubnetCIDRBlock': '10.0.1.0/24',
                          'DomainNameServers': [RESOLVER], 'DomainNameSearchList': ['ec2.internal'],
                          'PrivateDNSName': 'ip-10-0-1-10.ec2.internal', 'SubnetGatewayIpv4Address': '10.0.1.1/24'}],
            'Snapshotter': 'overlayfs'}],
        'ClockDrift': {'ClockErrorBound': 0.556966, 'ReferenceTimestamp': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
                       'ClockSynchronizationStatus': 'SYNCHRONIZED'},
        'EphemeralStorageMetrics': {'Utilized': 281, 'Reserved': 20496}}


@contextlib.contextmanager
def open_region():
    """A region for the length of a `with`; its logs are kept when something went wrong."""
    directory = tempfile.mkdtemp(prefix='pullprobe-region-')
    try:
        with contextlib.closing(Region(directory)) as region:
            yield region
    except BaseException:
        print(f'the logs of the servers are in {directory}')
        raise
    shutil.rmtree(directory, ignore_errors=True)
