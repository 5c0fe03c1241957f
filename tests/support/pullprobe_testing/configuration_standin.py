"""A stand-in in front of moto for the calls of `inspect` that moto lacks.

moto 5.2.5 answers them with HTTP 500. The answers here have the shape of AWS's API reference:

- ec2:DescribeVpcBlockPublicAccessOptions and …Exclusions
- route53resolver:ListFirewallRuleGroupAssociations, route53profiles:ListProfileAssociations
- ecr:DescribePullThroughCacheRules
- ecs:ListServiceDeployments: none, as for a service that was not deployed since ECS records them
- route53:ListHostedZonesByVPC: no zone, if a test says so, because a moto that verifies signatures
  does not accept those of Route 53's REST API
- iam:SimulatePrincipalPolicy: denied, unless a test sets an answer, so that the policies are read

moto's ec2:ModifyVpcEndpoint leaves out private DNS and the routes to a gateway endpoint, which this
stand-in adds.
"""

import http.client
import json
import urllib.parse
from xml.etree import ElementTree

from pullprobe_testing import pace
from pullprobe_testing.loopback_http import Handler, LoopbackServer

HOP_HEADERS = {"content-length", "connection", "transfer-encoding", "date", "server"}
READS = ("Describe", "Get", "List", "Simulate", "BatchGet")


def ec2_error(code, message):
    return (
        f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
        "<RequestID>1</RequestID></Response>"
    ).encode()


def query_error(code, message):
    return (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>"
        f"<Message>{message}</Message></Error></ErrorResponse>"
    ).encode()


def denial(action, headers):
    """Returns AWS's answer to a call that the operator may not make."""
    message = f"You are not authorized to perform: {action}"
    if "x-amz-target" in headers:
        body = {"__type": "AccessDeniedException", "message": message}
        return 400, {}, json.dumps(body).encode()
    if action.startswith("ec2:"):
        return 403, {}, ec2_error("UnauthorizedOperation", message)
    return 403, {}, query_error("AccessDenied", message)


def block_public_access(mode):
    return (
        "<DescribeVpcBlockPublicAccessOptionsResponse><vpcBlockPublicAccessOptions>"
        "<awsAccountId>123456789012</awsAccountId><awsRegion>us-east-1</awsRegion>"
        f"<state>update-complete</state><internetGatewayBlockMode>{mode}</internetGatewayBlockMode>"
        "</vpcBlockPublicAccessOptions></DescribeVpcBlockPublicAccessOptionsResponse>"
    ).encode()


class ConfigurationStandin:
    """Listens on loopback and forwards to `upstream` what moto has.

    block_mode   mode of VPC Block Public Access
    exclusions   (resource ARN, mode) of its exclusions
    denied       actions that are denied, such as `ec2:DescribeNetworkAcls`
    simulation   the body of SimulatePrincipalPolicy's response, or None
    has_zones    whether moto answers for Route 53; without it there is no zone
    edits        action -> function of the response's bytes
    called       every action that pullprobe called
    """

    def __init__(self, upstream):
        self.upstream = upstream
        self.block_mode, self.exclusions, self.denied = "off", [], set()
        self.simulation, self.edits, self.called, self.firewalls = None, {}, [], []
        self.private_dns, self.on_route_table = set(), None
        self.profiles, self.cache_rules, self.has_zones = [], [], True
        standin = self

        class StandinHandler(Handler):
            def do_GET(self):
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, more, content = standin.answer(
                    self.command, self.path, headers, self.read_body()
                )
                kept = {k: v for k, v in more.items() if k.lower() not in HOP_HEADERS}
                self.respond(status, content, content_type=None, headers=kept)

            do_POST = do_PUT = do_DELETE = do_GET

        self._server = LoopbackServer(StandinHandler)
        self.url, self.close = self._server.url, self._server.close

    @staticmethod
    def action_of(path, headers, body):
        scope = headers.get("authorization", "").partition("Credential=")[2].split("/")
        service = scope[3] if len(scope) > 3 else "?"
        if "x-amz-target" in headers:
            return f"{service}:{headers['x-amz-target'].split('.')[-1]}"
        fields = dict(urllib.parse.parse_qsl(body.decode(errors="replace")))
        if "Action" in fields:
            return f"{service}:{fields['Action']}"
        if "hostedzonesbyvpc" in path:
            return "route53:ListHostedZonesByVPC"
        if "profileassociations" in path:
            return "route53profiles:ListProfileAssociations"
        return f"{service}:ListResourceRecordSets"

    def own_answer(self, action):
        """Returns the body for a call that moto lacks, else None."""
        name = action.split(":")[1]
        if name == "DescribeVpcBlockPublicAccessOptions":
            return block_public_access(self.block_mode)
        if name == "DescribeVpcBlockPublicAccessExclusions":
            items = "".join(
                f"<item><exclusionId>vpcbpa-exclude-{n}</exclusionId><resourceArn>{arn}</resourceArn>"
                f"<internetGatewayExclusionMode>{mode}</internetGatewayExclusionMode>"
                "<state>create-complete</state></item>"
                for n, (arn, mode) in enumerate(self.exclusions)
            )
            return (
                f"<R><vpcBlockPublicAccessExclusionSet>{items}</vpcBlockPublicAccessExclusionSet></R>"
            ).encode()
        if name == "ListHostedZonesByVPC" and not self.has_zones:
            return b"<Response><HostedZoneSummaries/></Response>"
        if name == "ListServiceDeployments":
            return json.dumps({"serviceDeployments": []}).encode()
        if name == "ListFirewallRuleGroupAssociations":
            return json.dumps({"FirewallRuleGroupAssociations": self.firewalls}).encode()
        if name == "ListProfileAssociations":
            return json.dumps({"ProfileAssociations": self.profiles}).encode()
        if name == "DescribePullThroughCacheRules":
            return json.dumps({"pullThroughCacheRules": self.cache_rules}).encode()
        return None

    def answer(self, method, path, headers, body):
        action = self.action_of(path, headers, body)
        if headers.get("user-agent", "").startswith("pullprobe/"):
            self.called.append(action)
        if action in self.denied or (
            action == "iam:SimulatePrincipalPolicy" and self.simulation is None
        ):
            return denial(action, headers)
        if action == "iam:SimulatePrincipalPolicy":
            return 200, {}, self.simulation
        own = self.own_answer(action)
        if own is not None:
            return 200, {}, own
        connection = http.client.HTTPConnection(*self.upstream, timeout=pace.limit(30))
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        content = response.read()
        if action == "ec2:ModifyVpcEndpoint" and response.status == 200:
            self.complete_modification(dict(urllib.parse.parse_qsl(body.decode())))
        if action == "ec2:DescribeVpcEndpoints":
            content = self.with_private_dns(content)
        if action in self.edits:
            content = self.edits[action](content)
        return response.status, dict(response.getheaders()), content

    def complete_modification(self, fields):
        endpoint = fields["VpcEndpointId"]
        if fields.get("PrivateDnsEnabled") == "true":
            self.private_dns.add(endpoint)
        for name, table in fields.items():
            if name.startswith("AddRouteTableId"):
                self.on_route_table(endpoint, table)

    def with_private_dns(self, content):
        """Returns the response with the flag of the endpoints whose private DNS was enabled."""
        root = ElementTree.fromstring(content)
        namespace = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
        for item in root.iter(f"{namespace}item"):
            if item.findtext(f"{namespace}vpcEndpointId") in self.private_dns:
                item.find(f"{namespace}privateDnsEnabled").text = "true"
        return ElementTree.tostring(root)

    @property
    def changes(self):
        """Returns the actions that were called and do not only read."""
        return [a for a in self.called if not a.split(":")[1].startswith(READS)]
