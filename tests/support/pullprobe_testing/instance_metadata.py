"""The metadata of an EC2 instance, version 2, as far as the probe reads it."""

import json

from pullprobe_testing.loopback_http import Handler, LoopbackServer

ADDRESS = "169.254.169.254"  # on an instance
MAC = "02:29:96:8f:6a:2d"


def instance_metadata(region, subnet, address, role=None, credentials=None):
    """Returns path -> value. Without a role the instance has no instance profile."""
    values = {
        "placement/region": region,
        "placement/availability-zone": f"{region}b",
        "mac": MAC,
        "local-ipv4": address,
        f"network/interfaces/macs/{MAC}/subnet-ipv4-cidr-block": subnet,
    }
    if role:
        values["iam/security-credentials/"] = role
        values[f"iam/security-credentials/{role}"] = json.dumps({"Code": "Success", **credentials})
    return values


def serve(values, address=("127.0.0.1", 0)):
    """Returns a server of these values. Without a token it answers nothing."""

    class InstanceMetadataHandler(Handler):
        def do_PUT(self):
            self.read_body()
            is_token = self.path == "/latest/api/token"
            self.respond(200 if is_token else 404, b"TOKEN", "text/plain")

        def do_GET(self):
            value = values.get(self.path.removeprefix("/latest/meta-data/"))
            if self.headers.get("X-aws-ec2-metadata-token") != "TOKEN":
                return self.respond(401, b"", "text/plain")
            return self.respond(200 if value else 404, (value or "").encode(), "text/plain")

    return LoopbackServer(InstanceMetadataHandler, address)
