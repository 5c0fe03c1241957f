"""Says the no's that moto cannot say, in AWS's words, and only to requests that AWS would have read that far.

Every request of every subnet comes through here, from nginx over a Unix socket. nginx names the role and what is to go
wrong in two headers; without the second the request goes on to moto or docker-registry as it is. A refusal is for
requests whose signature is right: `botocore`'s signer is the judge of that, not anything the probe could share.
The wordings are AWS's own, with their sources in the pages of the causes.
"""
import base64
import datetime
import email.utils
import http.client
import http.server
import json
import os
import socketserver
import threading
import time
import uuid

import botocore.auth
import botocore.awsrequest
import botocore.credentials

from region import ACCOUNT, LAYER_BUCKET, REGION, ROLE, TASK_ID

PRINCIPAL = f'arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/{TASK_ID}'
SIGNED_AS = {'ecr.api': 'ecr', 'logs': 'logs', 'secretsmanager': 'secretsmanager', 'ssm': 'ssm'}
TOLERATED = 300  # seconds; AWS: "(20171218T081147Z - 5 min.)"

# cause -> the clause in which AWS names the policy that said no
POLICY = {
    'identity-policy-missing-action': 'because no identity-based policy allows the {action} action',
    'identity-policy-denies': 'with an explicit deny in an identity-based policy',
    'permissions-boundary-denies': 'because no permissions boundary allows the {action} action',
    'session-policy-denies': 'because no session policy allows the {action} action',
    'service-control-policy-denies': f'with an explicit deny in a service control policy: arn:aws:organizations::{ACCOUNT}:policy/o-y3vn941x7j/service_control_policy/p-kfhxcsd9',
    'resource-control-policy-denies': 'with an explicit deny in a resource control policy',
    'endpoint-policy-denies': 'because no VPC endpoint policy allows the {action} action',
    'resource-policy-denies': 'because no resource-based policy allows the {action} action',
    'permission-denied': '',
}
# step -> (role, action, resource)
REPOSITORY = f'arn:aws:ecr:{REGION}:{ACCOUNT}:repository/team/app'
STEP = {
    'token': ('ecr.api', 'ecr:GetAuthorizationToken', '*'),
    'manifest': ('ecr.dkr', 'ecr:BatchGetImage', REPOSITORY),
    'layer': ('ecr.dkr', 'ecr:GetDownloadUrlForLayer', REPOSITORY),
    'logs': ('logs', 'logs:CreateLogStream', f'arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/ecs/app:log-stream:pullprobe'),
    'secret': ('secretsmanager', 'secretsmanager:GetSecretValue', f'arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:prod/app'),
    'parameter': ('ssm', 'ssm:GetParameters', f'arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/prod/app/token'),
    'bytes': ('s3', 's3:GetObject', f'"arn:aws:s3:::{LAYER_BUCKET}/*"'),
}
PLAIN_S3 = 'plain'  # S3's older answer, which names no policy
# AWS's tokens are long: a session token has more than a thousand characters, a registry token nearly two thousand, and so
# real requests are longer than one packet. moto's are not; here the task is given longer ones.
LONG_SESSION_TOKEN = 'IQoJb3JpZ2luX2VjE' * 60
LONG_REGISTRY_PASSWORD = 'eyJwYXlsb2FkIjoi' * 85

def refusal(cause, step):
    """The behaviour of a server that refuses `step` because of `cause`: what goes into nginx's header."""
    return f'deny:{cause}:{step}'


class Judge:
    """The proxy on `socket`. `upstream` is where a role's requests go, `credentials()` what moto calls the role's."""

    def __init__(self, socket, upstream, credentials):
        self.upstream, self.credentials = upstream, credentials
        judge = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except (ConnectionError, TimeoutError):
                    self.close_connection = True

            def do_GET(self):
                judge.answer(self)

            do_HEAD = do_POST = do_PUT = do_GET

            def address_string(self):
                return 'nginx'

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(str(socket), Handler)
        os.chmod(socket, 0o777)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request):
        length = int(request.headers.get('Content-Length') or 0)
        body = request.rfile.read(length)
        role = request.headers['X-Lab-Role']
        behaviours = [part.split(':') for part in (request.headers.get('X-Lab-Behaviour') or '').split(',') if part]
        skew = sum(int(rest[0]) for name, *rest in behaviours if name == 'clock')
        said = None
        if role in SIGNED_AS:
            said = self._signature(request, role, body, skew)
        for name, *rest in behaviours:
            if name == 'hang' and concerns(request, rest):
                time.sleep(90)
            if name == 'slow' and concerns(request, rest[1:]):
                time.sleep(float(rest[0]))
            said = said or self._behave(request, role, name, rest)
        status, headers, content = said or self._forward(request, role, body)
        send(request, status, {**headers, 'Date': email.utils.formatdate(time.time() + skew, usegmt=True)}, content)

    def _behave(self, request, role, name, rest):
        if name == 'deny' and concerns(request, rest[1:]):
            return denial(role, rest[0], rest[1])
        if name == 'expired-token' and role in SIGNED_AS:
            return json_error('ExpiredTokenException', 'The security token included in the request is expired')
        if name == 'throttled':
            return json_error('ThrottlingException', 'Rate exceeded')
        if name == 'rate-limited':
            content = {'errors': [{'code': 'TOOMANYREQUESTS', 'message': 'You have reached your unauthenticated pull rate limit. '
                                                                         'https://www.docker.com/increase-rate-limit'}]}
            return 429, {'Content-Type': 'application/json', 'RateLimit-Limit': '100;w=21600', 'RateLimit-Remaining': '0;w=21600',
                         'Docker-RateLimit-Source': '203.0.113.10', 'Retry-After': '21600'}, json.dumps(content).encode()
        if name == 'broken':
            return 503, {'Content-Type': 'text/plain'}, b'Service Unavailable\n'
        if name == 'login':
            return 401, {'Docker-Distribution-Api-Version': 'registry/2.0', 'Content-Type': 'text/plain; charset=utf-8',
                         'Www-Authenticate': f'Basic realm="https://{request.headers["Host"]}/",service="ecr.amazonaws.com"'}, b'Not Authorized\n'
        if name == 'page':
            return 200, {'Content-Type': 'text/html'}, b'<html><title>Access to this site was blocked</title></html>'
        if name == 'kms':
            return json_error('AccessDeniedException', 'Access to KMS is not allowed')
        return None

    def _signature(self, request, role, body, skew):
        """AWS's own objections to a signature, in the order in which it makes them; none to a good one."""
        authorization = request.headers.get('Authorization') or ''
        fields = dict(part.strip().split('=', 1) for part in authorization.removeprefix('AWS4-HMAC-SHA256').split(',') if '=' in part)
        if 'Signature' not in fields:
            return json_error('MissingAuthenticationTokenException', 'Missing Authentication Token')
        stamp = request.headers['X-Amz-Date']
        now = datetime.datetime.fromtimestamp(time.time() + skew, datetime.timezone.utc)
        signed_at = datetime.datetime.strptime(stamp, '%Y%m%dT%H%M%SZ').replace(tzinfo=datetime.timezone.utc)
        if abs((now - signed_at).total_seconds()) > TOLERATED:
            return json_error('InvalidSignatureException', skewed(stamp, signed_at, now))
        key = self.credentials()
        if fields['Credential'].split('/')[0] != key['AccessKeyId']:
            return json_error('UnrecognizedClientException', 'The security token included in the request is invalid.')
        names = fields['SignedHeaders'].split(';')
        copy = botocore.awsrequest.AWSRequest(request.command, f'https://{request.headers["Host"]}{request.path}', data=body,
                                              headers={name: request.headers[name] for name in names})
        copy.context['timestamp'] = stamp
        signer = signer_of(key, role, key['SessionToken'] + LONG_SESSION_TOKEN)
        if signer.signature(signer.string_to_sign(copy, signer.canonical_request(copy)), copy) != fields['Signature']:
            return json_error('InvalidSignatureException', 'The request signature we calculated does not match the signature you provided. '
                              'Check your AWS Secret Access Key and signing method. Consult the service documentation for details.')
        return None

    def _forward(self, request, role, body):
        """Past the judge: to moto or the registry, unchanged."""
        connection = http.client.HTTPConnection(*self.upstream[role], timeout=60)
        headers = {name: value for name, value in request.headers.items() if not name.startswith('X-Lab') and name != 'Connection'}
        if role in SIGNED_AS:
            headers = self._with_the_short_token(request, role, body, headers)
        connection.request(request.command, request.path, body or None, headers)
        answer = connection.getresponse()
        content = answer.read()
        kept = {name: value for name, value in answer.getheaders()
                if name.lower() not in ('date', 'server', 'connection', 'transfer-encoding')}
        connection.close()
        if role == 'ecr.api' and answer.status == 200 and b'"authorizationToken"' in content:
            said = json.loads(content)
            for token in said['authorizationData']:
                token['authorizationToken'] = base64.b64encode(f'AWS:{LONG_REGISTRY_PASSWORD}'.encode()).decode()
            content = json.dumps(said).encode()
        return answer.status, kept, content

    def _with_the_short_token(self, request, role, body, headers):
        """moto knows the token that it handed out, so what was signed with the long one is signed again with that."""
        key = self.credentials()
        again = botocore.awsrequest.AWSRequest(request.command, f'https://{request.headers["Host"]}{request.path}', data=body, headers={
            name: headers[name] for name in headers if name.lower() in ('x-amz-target', 'content-type', 'host')})
        signer_of(key, role, key['SessionToken']).add_auth(again)
        unsigned = {name: value for name, value in headers.items() if name.lower() not in ('authorization', 'x-amz-date', 'x-amz-security-token')}
        return {**unsigned, **{name: value for name, value in again.headers.items() if name.lower() not in ('content-length', 'content-type', 'host', 'x-amz-target')}}


def signer_of(key, role, token):
    return botocore.auth.SigV4Auth(botocore.credentials.Credentials(key['AccessKeyId'], key['SecretAccessKey'], token), SIGNED_AS[role], REGION)


def concerns(request, where):
    """Whether a behaviour that names a step is about this request: manifests and blobs share a host."""
    return (where or ['']) [0] not in ('manifest', 'layer') or ('/manifests/' in request.path) == (where[0] == 'manifest')


def denial(role, cause, step):
    _, action, resource = STEP[step]
    if cause == PLAIN_S3:
        message = 'Access Denied'
    else:
        message = f'User: {PRINCIPAL} is not authorized to perform: {action} on resource: {resource} {POLICY[cause].format(action=action)}'.strip()
    if role == 's3':
        xml = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>{message.replace(chr(34), "&quot;")}</Message><RequestId>835EB39A43ACC922</RequestId><HostId>pomMsqh5</HostId></Error>'
        return 403, {'Content-Type': 'application/xml'}, xml.encode()
    if role == 'ecr.dkr':
        content = json.dumps({'errors': [{'code': 'DENIED', 'message': message}]}).encode()
        return 403, {'Content-Type': 'application/json; charset=utf-8', 'Docker-Distribution-Api-Version': 'registry/2.0'}, content
    return json_error('AccessDeniedException', message)


def json_error(code, message):
    """An error of a JSON protocol: HTTP 400, whatever it is."""
    content = json.dumps({'__type': code, 'message': message}).encode()
    return 400, {'Content-Type': 'application/x-amz-json-1.1', 'x-amzn-RequestId': str(uuid.uuid4())}, content


def skewed(stamp, signed_at, now):
    form = '%Y%m%dT%H%M%SZ'
    if signed_at < now:
        edge = now - datetime.timedelta(seconds=TOLERATED)
        return f'Signature expired: {stamp} is now earlier than {edge.strftime(form)} ({now.strftime(form)} - 5 min.)'
    edge = now + datetime.timedelta(seconds=TOLERATED)
    return f'Signature not yet current: {stamp} is still later than {edge.strftime(form)} ({now.strftime(form)} + 5 min.)'


def send(request, status, headers, content):
    request.send_response_only(status)
    for name, value in headers.items():
        if not (request.command == 'HEAD' and name.lower() == 'content-length'):
            if name.lower() != 'content-length':
                request.send_header(name, value)
    length = headers.get('Content-Length', len(content)) if request.command == 'HEAD' else len(content)
    request.send_header('Content-Length', str(length))
    request.end_headers()
    if request.command != 'HEAD':
        request.wfile.write(content)
