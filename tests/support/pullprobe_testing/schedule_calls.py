"""The AWS operations that each `schedule` command calls, and their IAM actions."""

OPERATIONS = {
    "ecs": """
        DescribeServices DescribeTaskDefinition RegisterTaskDefinition
    """,
    "logs": """
        CreateLogGroup PutRetentionPolicy DescribeLogGroups DeleteLogGroup
    """,
    "cloudwatch": """
        DescribeAlarms PutMetricAlarm DeleteAlarms
    """,
    "scheduler": """
        GetScheduleGroup ListTagsForResource CreateScheduleGroup ListScheduleGroups ListSchedules
        GetSchedule CreateSchedule UpdateSchedule DeleteSchedule DeleteScheduleGroup
    """,
}
# operation -> IAM action
ACTIONS = {
    operation: f"{service}:{operation}"
    for service, operations in OPERATIONS.items()
    for operation in operations.split()
}
CREATE = set(
    """
    DescribeServices DescribeTaskDefinition RegisterTaskDefinition GetScheduleGroup
    ListTagsForResource CreateScheduleGroup ListSchedules GetSchedule CreateSchedule UpdateSchedule
    DeleteSchedule CreateLogGroup PutRetentionPolicy DescribeAlarms PutMetricAlarm DeleteAlarms
    DescribeLogGroups
    """.split()
)
LIST = set(
    """
    ListScheduleGroups ListTagsForResource ListSchedules GetSchedule DescribeAlarms
    """.split()
)
REMOVE = set(
    """
    GetScheduleGroup ListTagsForResource ListSchedules DeleteSchedule DeleteScheduleGroup
    DescribeAlarms DeleteAlarms DescribeLogGroups DeleteLogGroup
    """.split()
)
# Permissions without an operation of their own: to tag what is created, and to pass roles on.
WITHOUT_OPERATION = {
    "ecs:TagResource",
    "logs:TagResource",
    "cloudwatch:TagResource",
    "iam:PassRole",
}
