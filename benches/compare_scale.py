"""benches/compare-scale [VANTAGES]   `pullprobe compare` of many vantages, one in seven failing.

Each vantage has one report of the demo, of its own account, Region, VPC and subnet. Prints seconds,
peak memory and the size of each output; the bars are those of 100,000 vantages: 60 s and 500 MB.
Needs `cargo build --release`, and /usr/bin/time of Debian.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = pathlib.Path(os.environ.get("PULLPROBE_COMPARE", TARGET / "release" / "pullprobe"))
FAULT = "s3-gateway-missing"
SUBNETS_OF_VPC, VPCS_OF_REGION = 6, 10
REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2")
KIB_OF_MB, MEGABYTE = 1e3 / 1.024, 1e6


def demo(fault):
    """Returns the text of a report of the demo, with marks for what differs between vantages."""
    flags = ["--fault", fault] if fault else []
    command = [BINARY, "demo", *flags, "--format", "json"]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    report = json.loads(lines[0])
    report["vantage"] |= {
        "subnet_cidr": "10.0.1.0/24",
        "address": "10.0.1.10",
        "region": "REGION",
        "availability_zone": "REGIONa",
        "task_arn": "arn:aws:ecs:REGION:ACCOUNT:task/demo/1",
    }
    report["run"] |= {"id": "run-NUMBER", "started_at": "2026-11-27T03:00:00Z"}
    report["run"]["labels"] = {"subnet": "subnet-NUMBER", "account": "ACCOUNT"}
    return json.dumps(report, separators=(",", ":"))


def write(file, vantages):
    healthy, broken = demo(None), demo(FAULT)
    with file.open("w") as out:
        for number in range(vantages):
            vpc = number // SUBNETS_OF_VPC
            region = REGIONS[vpc // VPCS_OF_REGION % len(REGIONS)]
            account = 100_000_000_000 + vpc // VPCS_OF_REGION // len(REGIONS)
            text = broken if number % 7 == 0 else healthy
            for mark, value in (
                ("REGION", region),
                ("ACCOUNT", str(account)),
                ("NUMBER", f"{number:08x}"),
                # The addresses of the endpoints differ from VPC to VPC.
                ("127.0.9.", f"10.{vpc % 250}.9."),
            ):
                text = text.replace(mark, value)
            out.write(text + "\n")


def main():
    vantages = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory(dir=os.environ.get("SCALE_DIRECTORY")) as name:
        directory = pathlib.Path(name)
        file = directory / "reports.ndjson"
        write(file, vantages)
        size = file.stat().st_size / MEGABYTE
        print(f"{vantages} vantages, {size:.0f} MB", flush=True)
        for output in ("text", "json", "html"):
            usage = directory / "usage"
            time = ["/usr/bin/time", "--quiet", "--format", "%e %U %S %M", "--output", usage]
            command = [*time, BINARY, "compare", "--format", output, file]
            with (directory / output).open("w") as out:
                subprocess.run(command, stdout=out, check=False)
            wall, user, system, peak = usage.read_text().splitlines()[-1].split()
            seconds = float(user) + float(system)
            written = (directory / output).stat().st_size / MEGABYTE
            print(
                f"{output:5} {seconds:6.1f} s of a processor ({wall} s, bar: 60)   "
                f"{int(peak) / KIB_OF_MB:6.0f} MB peak (bar: 500)   {size / seconds:5.0f} MB/s   "
                f"{written:.1f} MB written",
                flush=True,
            )


if __name__ == "__main__":
    main()
