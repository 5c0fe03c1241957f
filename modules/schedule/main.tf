# What `pullprobe schedule print --format terraform` prints, with variables in place of the values.
# Made by `REFRESH_DOCS=1 cargo test --test modules`: change the program and not this file.

data "aws_region" "current" {}

data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}

resource "aws_scheduler_schedule_group" "probe" {
  name = "pullprobe-${var.name}"
}

resource "aws_cloudwatch_log_group" "probe" {
  count             = var.create_log_group ? 1 : 0
  name              = local.log_group
  retention_in_days = var.retention_days
}

resource "aws_ecs_task_definition" "probe" {
  cpu                      = "256"
  execution_role_arn       = var.execution_role_arn
  family                   = local.family
  memory                   = "512"
  network_mode             = "awsvpc"
  requires_compatibilities = ["FARGATE"]
  tags = {
    purpose = "image pull rehearsal"
  }
  task_role_arn = var.execution_role_arn

  runtime_platform {
    cpu_architecture        = var.cpu_architecture
    operating_system_family = "LINUX"
  }
  container_definitions = jsonencode([
    {
      essential              = true
      image                  = var.probe_image
      name                   = "pullprobe"
      readonlyRootFilesystem = true
    },
  ])
}

resource "aws_iam_role" "scheduler" {
  name_prefix = "pullprobe-scheduler-"
  description = "EventBridge Scheduler runs the probe: ${var.name}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Principal = {
          Service = "scheduler.amazonaws.com"
        }
        Action = "sts:AssumeRole"
        Condition = {
          StringEquals = {
            "aws:SourceAccount" = data.aws_caller_identity.current.account_id
          }
          ArnEquals = {
            "aws:SourceArn" = "arn:${data.aws_partition.current.partition}:scheduler:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:schedule-group/pullprobe-${var.name}"
          }
        }
      },
    ]
  })
}

resource "aws_iam_role_policy" "scheduler" {
  name = "run-the-probe"
  role = aws_iam_role.scheduler.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "RunTheProbe"
        Effect   = "Allow"
        Action   = "ecs:RunTask"
        Resource = aws_ecs_task_definition.probe.arn
        Condition = {
          ArnEquals = {
            "ecs:cluster" = "arn:${data.aws_partition.current.partition}:ecs:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:cluster/${var.cluster}"
          }
        }
      },
      {
        Sid      = "TagItsTask"
        Effect   = "Allow"
        Action   = "ecs:TagResource"
        Resource = "arn:${data.aws_partition.current.partition}:ecs:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:task/${var.cluster}/*"
        Condition = {
          StringEquals = {
            "ecs:CreateAction" = "RunTask"
          }
        }
      },
      {
        Sid      = "PassTheRole"
        Effect   = "Allow"
        Action   = "iam:PassRole"
        Resource = var.execution_role_arn
        Condition = {
          StringEquals = {
            "iam:PassedToService" = "ecs-tasks.amazonaws.com"
          }
        }
      },
    ]
  })
}

resource "aws_scheduler_schedule" "probe" {
  count               = length(var.subnets)
  description         = "pullprobe: ${var.name} from ${var.subnets[count.index]}"
  group_name          = aws_scheduler_schedule_group.probe.name
  name                = var.subnets[count.index]
  schedule_expression = "rate(${var.interval_minutes} minutes)"
  state               = "ENABLED"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = "arn:${data.aws_partition.current.partition}:ecs:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}:cluster/${var.cluster}"
    input    = local.inputs[count.index]
    role_arn = aws_iam_role.scheduler.arn

    ecs_parameters {
      enable_ecs_managed_tags = true
      launch_type             = "FARGATE"
      tags = {
        "pullprobe:schedule" = var.name
      }
      task_count          = 1
      task_definition_arn = aws_ecs_task_definition.probe.arn

      network_configuration {
        assign_public_ip = var.assign_public_ip
        security_groups  = var.security_groups
        subnets          = [var.subnets[count.index]]
      }
    }

    retry_policy {
      maximum_event_age_in_seconds = var.interval_minutes * 60
      maximum_retry_attempts       = 3
    }
  }
  depends_on = [aws_iam_role_policy.scheduler]
}

resource "aws_cloudwatch_metric_alarm" "failed" {
  count               = length(var.subnets)
  actions_enabled     = true
  alarm_actions       = var.alarm_actions
  alarm_description   = "${var.name}: the probe in ${var.subnets[count.index]} found a problem that keeps tasks from starting; its report is in the log group ${local.log_group}"
  alarm_name          = "pullprobe-${var.name}/${var.subnets[count.index]}/failed"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  dimensions = {
    Region   = data.aws_region.current.id
    Schedule = "${var.name}/${var.subnets[count.index]}"
  }
  evaluation_periods = 1
  metric_name        = "Failed"
  namespace          = "PullProbe"
  ok_actions         = var.alarm_actions
  period             = var.interval_minutes * 60
  statistic          = "Maximum"
  tags = {
    "pullprobe:schedule" = var.name
  }
  threshold          = 1
  treat_missing_data = "ignore"
}

resource "aws_cloudwatch_metric_alarm" "no_data" {
  count               = length(var.subnets)
  actions_enabled     = true
  alarm_actions       = var.alarm_actions
  alarm_description   = "${var.name}: no report from ${var.subnets[count.index]} for ${var.interval_minutes * 3} minutes; the probe did not start or cannot reach CloudWatch Logs. Run pullprobe launch to find the cause"
  alarm_name          = "pullprobe-${var.name}/${var.subnets[count.index]}/no-data"
  comparison_operator = "LessThanThreshold"
  dimensions = {
    Region   = data.aws_region.current.id
    Schedule = "${var.name}/${var.subnets[count.index]}"
  }
  evaluation_periods = 3
  metric_name        = "Failed"
  namespace          = "PullProbe"
  ok_actions         = var.alarm_actions
  period             = var.interval_minutes * 60
  statistic          = "SampleCount"
  tags = {
    "pullprobe:schedule" = var.name
  }
  threshold          = 1
  treat_missing_data = "breaching"
}

locals {
  family    = "pullprobe-${replace(var.name, "/[^0-9A-Za-z_-]/", "-")}"
  log_group = "/pullprobe/${var.name}"
  inputs = [for subnet in var.subnets : jsonencode({
    containerOverrides = [{
      environment = [
        { name = "PULLPROBE_LABEL", value = "schedule=${var.name}/${subnet},subnet=${subnet}" },
        { name = "PULLPROBE_DEADLINE", value = "30000ms" },
        { name = "PULLPROBE_PLAN", value = var.plan },
      ]
      name = "pullprobe"
    }]
  })]
}
