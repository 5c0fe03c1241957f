"""The least time that a healthy run can take: its chain of exchanges on open connections.

Each exchange needs the answer of the one before: token, index, manifest, blob, bytes of the blob,
log event. Prints seconds. Runs inside a subnet of the lab, started by `benches/by_hand.py`.
"""

import http.client
import json
import ssl
import sys
import time
import urllib.parse

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from pullprobe_testing.region import (
    HOST,
    LAYER_BUCKET,
    LOG_GROUP,
    REGION,
    REGISTRY_HOST,
    S3_HOST,
)

BLOB_BYTES = 32 * 1024  # what the probe reads of a layer
MANIFESTS = ", ".join(
    [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
    ]
)


def main():
    trust = ssl.create_default_context(cafile=sys.argv[1])
    layers = f"{LAYER_BUCKET}.{S3_HOST}"
    hosts = [HOST["ecr.api"], REGISTRY_HOST, layers, HOST["logs"]]
    connections = {host: http.client.HTTPSConnection(host, context=trust) for host in hosts}
    for connection in connections.values():
        connection.connect()
    credentials = botocore.session.get_session().get_credentials()

    def exchange(host, method, path, body=None, headers=()):
        connections[host].request(method, path, body, dict(headers))
        response = connections[host].getresponse()
        return response, response.read()

    def call(service, host, operation, parameters):
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": operation}
        body = json.dumps(parameters)
        request = AWSRequest("POST", f"https://{host}/", headers=headers, data=body)
        SigV4Auth(credentials, service, REGION).add_auth(request)
        return json.loads(exchange(host, "POST", "/", body, request.headers.items())[1] or "{}")

    stream = {"logGroupName": LOG_GROUP, "logStreamName": f"floor-{time.time_ns()}"}
    call("logs", HOST["logs"], "Logs_20140328.CreateLogStream", stream)

    began = time.monotonic()
    operation = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
    token = call("ecr", HOST["ecr.api"], operation, {})["authorizationData"][0]
    login = {"Authorization": f"Basic {token['authorizationToken']}", "Accept": MANIFESTS}

    def registry(path):
        return exchange(REGISTRY_HOST, "GET", f"/v2/team/app/{path}", headers=login.items())

    index = json.loads(registry("manifests/1.4")[1])
    manifest = json.loads(registry(f"manifests/{index['manifests'][0]['digest']}")[1])
    redirect, _ = registry(f"blobs/{manifest['layers'][0]['digest']}")
    location = urllib.parse.urlsplit(redirect.headers["Location"])
    path = f"{location.path}?{location.query}"
    prefix = {"Range": f"bytes=0-{BLOB_BYTES - 1}"}
    exchange(layers, "GET", path, headers=prefix.items())
    event = {"timestamp": time.time_ns() // 1_000_000, "message": "x"}
    call("logs", HOST["logs"], "Logs_20140328.PutLogEvents", {**stream, "logEvents": [event]})
    print(time.monotonic() - began)


main()
