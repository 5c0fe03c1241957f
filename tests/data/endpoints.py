"""Prints endpoints.tsv: host names of the services that pullprobe calls, from AWS's own data.

    pip install botocore==1.43.11 && python3 tests/data/endpoints.py > tests/data/endpoints.tsv

botocore ships two sources: `endpoints.json`, and the endpoint rule sets that the SDKs evaluate
today. The table has the answers of both for every region and variant, because some differ.
"""

import gzip
import json
from pathlib import Path
from urllib.parse import urlparse

import botocore
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import EndpointProviderError, EndpointVariantError
from botocore.regions import EndpointResolver

DATA = Path(botocore.__file__).parent / "data"
# Name in endpoints.json -> name of the rule set; `ssmmessages` has no client and so no rule set.
SERVICES = {
    "api.ecr": "ecr",
    "s3": "s3",
    "logs": "logs",
    "secretsmanager": "secretsmanager",
    "ssm": "ssm",
    "kms": "kms",
    "sts": "sts",
    "ssmmessages": None,
    "ecs": "ecs",
    "scheduler": "scheduler",
    "ec2": "ec2",
    "kinesis": "kinesis",
    "firehose": "firehose",
}
VARIANTS = {
    "plain": (False, False),
    "fips": (True, False),
    "dual": (False, True),
    "fips+dual": (True, True),
}


def rule_set(client):
    """Returns the newest endpoint rule set of a client."""
    newest = max((DATA / client).iterdir())
    return json.loads(gzip.decompress((newest / "endpoint-rule-set-1.json.gz").read_bytes()))


def by_endpoints(service, partition, region, fips, dual):
    """Returns the host name by endpoints.json, or `-`."""
    try:
        found = RESOLVER.construct_endpoint(
            service, region, partition, use_fips_endpoint=fips, use_dualstack_endpoint=dual
        )
    except EndpointVariantError:
        return "-"
    return found["hostname"].replace(region, "{region}")


def by_rules(provider, client, region, fips, dual):
    """Returns the host name by the rule set, or `-`."""
    if provider is None:
        return "-"
    parameters = {"Region": region, "UseFIPS": fips, "UseDualStack": dual}
    if client == "sts":
        parameters["UseGlobalEndpoint"] = False
    try:
        return urlparse(provider.resolve_endpoint(**parameters).url).netloc.replace(
            region, "{region}"
        )
    except EndpointProviderError:
        return "-"


RESOLVER = EndpointResolver(json.loads((DATA / "endpoints.json").read_text()))
partitions = json.loads((DATA / "partitions.json").read_text())
regions = {
    p["id"]: sorted(r for r in p["regions"] if not r.endswith("-global"))
    for p in partitions["partitions"]
}

print(
    f"# botocore {botocore.__version__}: by endpoints.py; "
    "`*` is every region of the partition, `-` is no answer"
)
for p in partitions["partitions"]:
    outputs = p["outputs"]
    print(
        "partition",
        p["id"],
        outputs["dnsSuffix"],
        outputs["dualStackDnsSuffix"],
        " ".join(regions[p["id"]]),
        sep="\t",
    )

print("# service, variant, partition, name by endpoints.json, name by rule set, regions")
for service, client in SERVICES.items():
    provider = client and EndpointProvider(rule_set(client), partitions)
    for variant, flags in VARIANTS.items():
        for partition, members in regions.items():
            names = {}
            for region in members:
                both = (
                    by_endpoints(service, partition, region, *flags),
                    by_rules(provider, client, region, *flags),
                )
                names.setdefault(both, []).append(region)
            for (endpoints, rules), where in names.items():
                print(
                    service,
                    variant,
                    partition,
                    endpoints,
                    rules,
                    "*" if where == members else " ".join(where),
                    sep="\t",
                )
