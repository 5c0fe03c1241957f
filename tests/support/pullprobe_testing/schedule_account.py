"""The account of the schedule tests: one service in two subnets, behind a recording proxy."""

from pullprobe_testing import cli
from pullprobe_testing.accounts import (
    ACCOUNT,
    create_network,
    create_service,
    moto_client,
    register_task_definition,
    registry_host,
)
from pullprobe_testing.recording_proxy import RecordingProxy

REGION = "eu-west-1"
REPOSITORY = registry_host(REGION)
PROBE_IMAGE = f"{REPOSITORY}/pullprobe:0.1.0"
SCHEDULER = f"arn:aws:iam::{ACCOUNT}:role/scheduler"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:oncall"
MAX_COMMAND = 60  # seconds


class ScheduleAccount:
    """An emptied account of moto, its boto3 clients, and the operator's command line."""

    def __init__(self, moto):
        moto.reset()
        self.ec2, self.ecs, self.logs, self.scheduler, self.cloudwatch = (
            moto_client(name, moto.url, REGION)
            for name in ("ec2", "ecs", "logs", "scheduler", "cloudwatch")
        )
        subnets, self.group = create_network(self.ec2, 2)
        self.subnets = sorted(subnets)
        app = {"name": "app", "image": f"{REPOSITORY}/team/app:1.4", "essential": True}
        definition = register_task_definition(self.ecs, [app])
        create_service(self.ecs, self.subnets, self.group, definition)
        self.proxy = RecordingProxy(moto.peer, self.alarms)

    def pullprobe(self, *arguments, code=0):
        """Runs a command, which must end with this exit code."""
        environment = cli.operator_environment(self.proxy.url, REGION)
        done = cli.run(*arguments, environment=environment, timeout=MAX_COMMAND)
        assert done.returncode == code, done
        return done

    def schedule(self, *arguments, code=0):
        return self.pullprobe("schedule", *arguments, code=code)

    def create(self, *more, every="15m", code=0):
        """Runs `schedule create` for the service."""
        flags = ["--cluster", "prod", "--service", "web", "--every", every]
        flags += ["--scheduler-role", SCHEDULER, "--probe-image", PROBE_IMAGE]
        return self.schedule("create", *flags, "--alarm-action", TOPIC, *more, code=code)

    def alarms(self):
        return self.cloudwatch.describe_alarms()["MetricAlarms"]

    def log_groups(self):
        return self.logs.describe_log_groups()["logGroups"]

    def resources(self):
        """Returns the names of all schedule groups, schedules, alarms and log groups."""
        found = self.scheduler.list_schedule_groups()["ScheduleGroups"]
        groups = [group["Name"] for group in found if group["Name"] != "default"]
        schedules = [
            (schedule["GroupName"], schedule["Name"])
            for schedule in self.scheduler.list_schedules()["Schedules"]
        ]
        alarms = [alarm["AlarmName"] for alarm in self.alarms()]
        logs = [group["logGroupName"] for group in self.log_groups()]
        return groups, sorted(schedules), sorted(alarms), sorted(logs)


NOTHING = [], [], [], []  # what `resources` returns of an empty account
