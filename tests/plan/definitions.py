"""Task definitions of every kind and size, for several partitions: the same ones in every run."""
import random

ACCOUNT = '123456789012'
REGIONS = {  # region: partition, domain
    'eu-west-1': ('aws', 'amazonaws.com'),
    'us-east-1': ('aws', 'amazonaws.com'),
    'ap-southeast-3': ('aws', 'amazonaws.com'),
    'cn-north-1': ('aws-cn', 'amazonaws.com.cn'),
    'us-gov-west-1': ('aws-us-gov', 'amazonaws.com'),
    'us-iso-east-1': ('aws-iso', 'c2s.ic.gov'),
}
ELSEWHERE = {'aws': 'us-west-2', 'aws-cn': 'cn-northwest-1', 'aws-us-gov': 'us-gov-east-1', 'aws-iso': 'us-iso-west-1'}
OTHER_IMAGES = ['nginx:1.27', 'ghcr.io/team/app:2', 'quay.io/team/app@sha256:' + '0' * 64, 'public.ecr.aws/nginx/nginx:1',
                'registry.example.com:5000/team/app:1', '10.20.30.40:5000/team/app:1']


def definition(seed):
    """A region, a task definition for it, and flags. The first is the smallest, the second has one of everything."""
    chance = random.Random(seed)
    region = list(REGIONS)[seed % len(REGIONS)]
    partition, domain = REGIONS[region]
    likely = {0: lambda _: False, 1: lambda _: True}.get(seed, lambda odds: chance.random() < odds)

    def arn(service, resource, where=region):
        return f'arn:{partition}:{service}:{where}:{ACCOUNT}:{resource}'

    def image(n):
        if n and likely(0.3):
            return chance.choice(OTHER_IMAGES)
        where = ELSEWHERE[partition] if n and likely(0.2) else region
        account = chance.choice([ACCOUNT, '210987654321'])
        name = chance.choice(['app', 'team/app', 'docker-hub/library/nginx', 'a-b_c.d/e'])
        return f'{account}.dkr.ecr.{where}.{domain}/{name}:{chance.randint(1, 9)}'

    def value_from():
        name = f'app/{chance.choice("abc")}{chance.randint(1, 99)}'
        where = ELSEWHERE[partition] if likely(0.15) else region
        return chance.choice([
            arn('secretsmanager', f'secret:{name}-AbCdEf', where),
            arn('secretsmanager', f'secret:{name}', where) + ':password::',
            arn('ssm', f'parameter/{name}', where),
            f'/{name}',
            f'/aws/reference/secretsmanager/{name}',
        ])

    def log(n):
        if n and likely(0.25):
            return {'logDriver': 'splunk', 'secretOptions': [{'name': 'splunk-token', 'valueFrom': '/splunk/token'}],
                    'options': {'splunk-url': 'https://splunk.example.com:8088'}}
        if routed and likely(0.5):
            return {'logDriver': 'awsfirelens', 'options': chance.choice([
                {'Name': 'cloudwatch_logs', 'region': region, 'log_group_name': '/ecs/app'},
                {'Name': 'kinesis_firehose', 'region': region, 'delivery_stream': 'app'},
                {'Name': 's3', 'region': region, 'bucket': 'log-bucket'},
                {'Name': 'datadog', 'TLS': 'on'},
                {'Name': 'of-our-own'},
            ])}
        options = {'awslogs-group': f'/ecs/app{n % 2}', 'awslogs-region': region, 'awslogs-stream-prefix': 'app'}
        if likely(0.3):
            options['awslogs-create-group'] = 'true'
        return {'logDriver': 'awslogs', 'options': options}

    def container(n):
        made = {'name': f'c{n}', 'image': image(n), 'essential': n == 0}
        if '.dkr.ecr' not in made['image'] and likely(0.4):
            made['repositoryCredentials'] = {'credentialsParameter': arn('secretsmanager', 'secret:registry-AbCdEf')}
        if likely(0.7):
            made['secrets'] = [{'name': f'S{k}', 'valueFrom': value_from()} for k in range(chance.randint(1, 8))]
        if likely(0.3):
            made['environmentFiles'] = [{'type': 's3', 'value': f'arn:{partition}:s3:::bucket-{n}/app{n}.env'}]
        if likely(0.7):
            made['logConfiguration'] = log(n)
        if routed and n == 0:
            made['firelensConfiguration'] = {'type': 'fluentbit'}
        return made

    def volume(n):
        config = {'fileSystemId': f'fs-{n:017x}', 'transitEncryption': 'ENABLED'}
        if likely(0.6):
            config['authorizationConfig'] = {'iam': 'ENABLED'}
            if n and likely(0.5):
                config['authorizationConfig']['accessPointId'] = f'fsap-{n:017x}'
        return {'name': f'v{n}', 'efsVolumeConfiguration': config}

    routed = likely(0.3)
    made = {
        'family': 'app',
        'networkMode': 'awsvpc',
        'requiresCompatibilities': ['FARGATE'],
        'cpu': '256',
        'memory': '512',
        'containerDefinitions': [container(n) for n in range({0: 1, 1: 10}.get(seed, chance.randint(1, 6)))],
    }
    if likely(0.7):
        made['executionRoleArn'] = f'arn:{partition}:iam::{ACCOUNT}:role/path/ecsTaskExecutionRole'
    if likely(0.5):
        made['taskRoleArn'] = f'arn:{partition}:iam::{ACCOUNT}:role/appRole'
    if likely(0.4):
        made['volumes'] = [volume(n) for n in range(chance.randint(1, 3))]
    flags = ['--enable-execute-command'] if likely(0.3) else []
    if partition == 'aws' and likely(0.4):
        flags += ['--service-connect', '--expect-injected', 'guardduty']
    return region, {'taskDefinition': made} if seed % 2 else made, flags
