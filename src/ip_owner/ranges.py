"""Prints ranges.txt: who owns AWS's public addresses, from the ranges that AWS publishes.

    curl -O https://ip-ranges.amazonaws.com/ip-ranges.json
    python3 src/ip_owner/ranges.py ip-ranges.json > src/ip_owner/ranges.txt

It also reads a table of service, region and prefix, separated by tabs, below a comment with the
syncToken. It prints one line for each service and region: first Amazon S3, whose ranges are part
of AMAZON as well. Adjacent and contained prefixes are merged. IPv6 is kept for S3 only: the rest
of AWS has 40 KB of it, and ECS resolves IPv4 names.
"""

import json
import re
import sys
from datetime import UTC, datetime
from ipaddress import collapse_addresses, ip_network
from pathlib import Path

SERVICES = ("S3", "AMAZON")


def published(text):
    """Returns the syncToken, and (service, region, prefix) of every range."""
    if not text.startswith("{"):
        rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
        return re.search(r"syncToken (\d+)", text).group(1), rows
    ranges = json.loads(text)
    ipv4 = [(p["service"], p["region"], p["ip_prefix"]) for p in ranges["prefixes"]]
    ipv6 = [(p["service"], p["region"], p["ipv6_prefix"]) for p in ranges["ipv6_prefixes"]]
    return ranges["syncToken"], ipv4 + ipv6


token, rows = published(Path(sys.argv[1]).read_text())
networks = {}
for service, region, prefix in rows:
    if service in SERVICES and (service == "S3" or ":" not in prefix):
        network = ip_network(prefix)
        networks.setdefault((SERVICES.index(service), region, network.version), []).append(network)

# A syncToken is the time of publication, in seconds since 1970.
date = datetime.fromtimestamp(int(token), UTC)
print(f"# {date:%Y-%m-%d}, syncToken {token}: AWS's ranges, by ranges.py")
for service, region in sorted({key[:2] for key in networks}):
    merged = [
        n
        for version in (4, 6)
        for n in collapse_addresses(networks.get((service, region, version), []))
    ]
    print(SERVICES[service], region, *merged)
