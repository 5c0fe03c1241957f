# What `pullprobe fleet print --format terraform --on-failure --dashboard` prints, with variables in place of the values.
# Made by `REFRESH_DOCS=1 cargo test --test modules`: change the program and not this file.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

resource "aws_s3_bucket" "fleet" {
  bucket_prefix = "${var.name}-"
}

resource "aws_s3_bucket_public_access_block" "fleet" {
  bucket                  = aws_s3_bucket.fleet.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_lifecycle_configuration" "fleet" {
  bucket = aws_s3_bucket.fleet.id

  rule {
    id     = "reports"
    status = "Enabled"

    filter {
      prefix = "reports/"
    }

    expiration {
      days = 90
    }
  }

  rule {
    id     = "results"
    status = "Enabled"

    filter {
      prefix = "results/"
    }

    expiration {
      days = 90
    }
  }

  rule {
    id     = "comparisons"
    status = "Enabled"

    filter {
      prefix = "comparisons/"
    }

    expiration {
      days = 90
    }
  }

  rule {
    id     = "inspections"
    status = "Enabled"

    filter {
      prefix = "inspections/"
    }

    expiration {
      days = 90
    }
  }

  rule {
    id     = "pages"
    status = "Enabled"

    filter {
      prefix = "pages/"
    }

    expiration {
      days = 90
    }
  }

  rule {
    id     = "map-runs"
    status = "Enabled"

    filter {
      prefix = "map-runs/"
    }

    expiration {
      days = 90
    }
  }

  rule {
    id     = "claims"
    status = "Enabled"

    filter {
      prefix = "claims/"
    }

    expiration {
      days = 90
    }
  }
}

resource "aws_sns_topic" "fleet" {
  name_prefix  = "${var.name}-"
  display_name = "pullprobe"
}

resource "aws_cloudwatch_log_group" "worker" {
  name              = "/pullprobe/${var.name}/worker"
  retention_in_days = 30
}

resource "aws_iam_role" "worker" {
  name_prefix = "pullprobe-worker-"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Principal = {
          Service = "lambda.amazonaws.com"
        }
        Action = "sts:AssumeRole"
      },
    ]
  })
}

resource "aws_iam_role_policy" "worker" {
  name = "least-privilege"
  role = aws_iam_role.worker.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "ProbeEachServiceOnceAnHour"
        Effect = "Allow"
        Action = [
          "s3:GetObject",
          "s3:PutObject",
        ]
        Resource = ["${aws_s3_bucket.fleet.arn}/claims/*"]
      },
      {
        Sid      = "StoreReports"
        Effect   = "Allow"
        Action   = ["s3:PutObject"]
        Resource = ["${aws_s3_bucket.fleet.arn}/reports/*"]
      },
      {
        Sid      = "DistinguishAbsentFromDenied"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = [aws_s3_bucket.fleet.arn]
      },
      {
        Sid      = "PublishTheVerdict"
        Effect   = "Allow"
        Action   = ["sns:Publish"]
        Resource = [aws_sns_topic.fleet.arn]
      },
      {
        Sid    = "WriteItsLog"
        Effect = "Allow"
        Action = [
          "logs:CreateLogStream",
          "logs:PutLogEvents",
        ]
        Resource = ["${aws_cloudwatch_log_group.worker.arn}:*"]
      },
      {
        Sid    = "ReadTheService"
        Effect = "Allow"
        Action = [
          "ecs:DescribeServices",
          "ecs:ListServiceDeployments",
        ]
        Resource = ["arn:${data.aws_partition.current.partition}:ecs:*:${data.aws_caller_identity.current.account_id}:service/*"]
      },
      {
        Sid      = "ReadItsDigests"
        Effect   = "Allow"
        Action   = ["ecs:DescribeServiceRevisions"]
        Resource = ["arn:${data.aws_partition.current.partition}:ecs:*:${data.aws_caller_identity.current.account_id}:service-revision/*"]
      },
      {
        Sid    = "FindTheInstances"
        Effect = "Allow"
        Action = [
          "ecs:DescribeCapacityProviders",
          "ecs:DescribeContainerInstances",
          "ecs:ListContainerInstances",
        ]
        Resource = ["*"]
      },
      {
        Sid      = "LaunchTheProbe"
        Effect   = "Allow"
        Action   = ["ecs:RunTask"]
        Resource = ["arn:${data.aws_partition.current.partition}:ecs:*:${data.aws_caller_identity.current.account_id}:task-definition/pullprobe-*"]
      },
      {
        Sid    = "WatchAndStopIt"
        Effect = "Allow"
        Action = [
          "ecs:DescribeTasks",
          "ecs:StopTask",
        ]
        Resource = ["arn:${data.aws_partition.current.partition}:ecs:*:${data.aws_caller_identity.current.account_id}:task/*"]
      },
      {
        Sid    = "ItsTaskDefinition"
        Effect = "Allow"
        Action = [
          "ecs:DescribeTaskDefinition",
          "ecs:ListTaskDefinitionFamilies",
          "ecs:RegisterTaskDefinition",
        ]
        Resource = ["*"]
      },
      {
        Sid    = "TagBoth"
        Effect = "Allow"
        Action = ["ecs:TagResource"]
        Resource = [
          "arn:${data.aws_partition.current.partition}:ecs:*:${data.aws_caller_identity.current.account_id}:task-definition/pullprobe-*",
          "arn:${data.aws_partition.current.partition}:ecs:*:${data.aws_caller_identity.current.account_id}:task/*",
        ]
        Condition = {
          StringEquals = {
            "ecs:CreateAction" = [
              "RegisterTaskDefinition",
              "RunTask",
            ]
          }
        }
      },
      {
        Sid      = "PassTheRole"
        Effect   = "Allow"
        Action   = ["iam:PassRole"]
        Resource = ["arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:role/*"]
        Condition = {
          StringEquals = {
            "iam:PassedToService" = ["ecs-tasks.amazonaws.com"]
          }
        }
      },
      {
        Sid      = "ReadTheReport"
        Effect   = "Allow"
        Action   = ["logs:GetLogEvents"]
        Resource = ["arn:${data.aws_partition.current.partition}:logs:*:${data.aws_caller_identity.current.account_id}:log-group:*:log-stream:*/pullprobe/*"]
      },
      {
        Sid      = "FindItsImage"
        Effect   = "Allow"
        Action   = ["ecr:BatchGetImage"]
        Resource = ["arn:${data.aws_partition.current.partition}:ecr:*:${data.aws_caller_identity.current.account_id}:repository/pullprobe"]
      },
      {
        Sid    = "RunItAsAFunction"
        Effect = "Allow"
        Action = [
          "lambda:CreateFunction",
          "lambda:DeleteFunction",
          "lambda:GetFunction",
          "lambda:InvokeFunction",
          "lambda:TagResource",
        ]
        Resource = ["arn:${data.aws_partition.current.partition}:lambda:*:${data.aws_caller_identity.current.account_id}:function:pullprobe-*"]
      },
      {
        Sid    = "ReadItsSubnets"
        Effect = "Allow"
        Action = [
          "ec2:DescribeSecurityGroups",
          "ec2:DescribeSubnets",
          "ec2:DescribeVpcs",
          "ec2:GetSecurityGroupsForVpc",
        ]
        Resource = ["*"]
      },
      {
        Sid      = "FindItsRole"
        Effect   = "Allow"
        Action   = ["iam:GetRole"]
        Resource = ["arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:role/pullprobe-lambda"]
      },
      {
        Sid      = "PassItsRole"
        Effect   = "Allow"
        Action   = ["iam:PassRole"]
        Resource = ["arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:role/pullprobe-lambda"]
        Condition = {
          StringEquals = {
            "iam:PassedToService" = ["lambda.amazonaws.com"]
          }
        }
      },
      {
        Sid    = "ReadTheNetwork"
        Effect = "Allow"
        Action = [
          "ec2:DescribeDhcpOptions",
          "ec2:DescribeInternetGateways",
          "ec2:DescribeManagedPrefixLists",
          "ec2:DescribeNatGateways",
          "ec2:DescribeNetworkAcls",
          "ec2:DescribeNetworkInterfaces",
          "ec2:DescribeRouteTables",
          "ec2:DescribeVpcAttribute",
          "ec2:DescribeVpcBlockPublicAccessExclusions",
          "ec2:DescribeVpcBlockPublicAccessOptions",
          "ec2:DescribeVpcEndpoints",
          "ec2:GetManagedPrefixListEntries",
          "route53:ListHostedZonesByVPC",
          "route53:ListResourceRecordSets",
          "route53profiles:ListProfileAssociations",
          "route53resolver:GetResolverRule",
          "route53resolver:ListFirewallRuleGroupAssociations",
          "route53resolver:ListResolverRuleAssociations",
          "sts:GetCallerIdentity",
        ]
        Resource = ["*"]
      },
      {
        Sid    = "ReadTheTasksRole"
        Effect = "Allow"
        Action = [
          "iam:GetRole",
          "iam:GetRolePolicy",
          "iam:ListAttachedRolePolicies",
          "iam:ListRolePolicies",
          "iam:SimulatePrincipalPolicy",
        ]
        Resource = ["arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:role/*"]
      },
      {
        Sid    = "ReadItsPolicies"
        Effect = "Allow"
        Action = [
          "iam:GetPolicy",
          "iam:GetPolicyVersion",
        ]
        Resource = ["*"]
      },
      {
        Sid    = "ReadTheObjects"
        Effect = "Allow"
        Action = [
          "ecr:DescribeImages",
          "ecr:DescribePullThroughCacheRules",
          "ecr:DescribeRepositories",
          "ecr:GetRegistryPolicy",
          "ecr:GetRepositoryPolicy",
          "logs:DescribeLogGroups",
          "secretsmanager:DescribeSecret",
          "secretsmanager:GetResourcePolicy",
          "ssm:DescribeParameters",
        ]
        Resource = ["*"]
      },
    ]
  })
}

resource "aws_lambda_function" "worker" {
  function_name = "${var.name}-worker"
  description   = "pullprobe fleet: worker"
  runtime       = "provided.al2023"
  handler       = "bootstrap"
  architectures = ["x86_64"]
  s3_bucket     = var.code_bucket
  s3_key        = var.code_key
  memory_size   = 512
  timeout       = 900
  role          = aws_iam_role.worker.arn

  environment {
    variables = {
      PULLPROBE_FLEET_BUCKET = aws_s3_bucket.fleet.id
      PULLPROBE_FLEET_NAME   = var.name
      PULLPROBE_FLEET_TOPIC  = aws_sns_topic.fleet.arn
    }
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.worker.name
  }
}

resource "aws_cloudwatch_event_rule" "failed_task" {
  description = "pullprobe: a task failed to start"
  event_pattern = jsonencode({
    detail = {
      group = [
        {
          "anything-but" = {
            prefix = "family:pullprobe-"
          }
        },
      ]
      lastStatus = ["STOPPED"]
      startedBy = [
        {
          "anything-but" = {
            prefix = "pullprobe/"
          }
        },
        {
          exists = false
        },
      ]
      stopCode = ["TaskFailedToStart"]
    }
    "detail-type" = ["ECS Task State Change"]
    source        = ["aws.ecs"]
  })
}

resource "aws_cloudwatch_event_target" "failed_task" {
  rule = aws_cloudwatch_event_rule.failed_task.name
  arn  = aws_lambda_function.worker.arn
}

resource "aws_lambda_permission" "failed_task" {
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.worker.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.failed_task.arn
}

resource "aws_cloudwatch_event_rule" "impaired_service" {
  description = "pullprobe: a task failed to start"
  event_pattern = jsonencode({
    detail = {
      eventName = ["SERVICE_TASK_START_IMPAIRED"]
    }
    "detail-type" = ["ECS Service Action"]
    source        = ["aws.ecs"]
  })
}

resource "aws_cloudwatch_event_target" "impaired_service" {
  rule = aws_cloudwatch_event_rule.impaired_service.name
  arn  = aws_lambda_function.worker.arn
}

resource "aws_lambda_permission" "impaired_service" {
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.worker.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.impaired_service.arn
}

resource "aws_lambda_function_event_invoke_config" "worker" {
  function_name                = aws_lambda_function.worker.function_name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 900
}

resource "aws_cloudwatch_dashboard" "fleet" {
  count          = var.dashboard ? 1 : 0
  dashboard_name = "${var.name}-failed-starts"
  dashboard_body = jsonencode({
    widgets = [
      {
        height = 6
        properties = {
          metrics = [
            [
              "AWS/Lambda",
              "Invocations",
              "FunctionName",
              aws_lambda_function.worker.function_name,
              {
                label = "invoked"
              },
            ],
            [
              "AWS/Lambda",
              "Errors",
              "FunctionName",
              aws_lambda_function.worker.function_name,
              {
                label = "failed"
              },
            ],
            [
              "AWS/Lambda",
              "Throttles",
              "FunctionName",
              aws_lambda_function.worker.function_name,
              {
                label = "throttled"
              },
            ],
          ]
          period = 3600
          region = data.aws_region.current.id
          stat   = "Sum"
          title  = "Workers"
          view   = "timeSeries"
          yAxis = {
            left = {
              min = 0
            }
          }
        }
        type  = "metric"
        width = 12
        x     = 0
        y     = 0
      },
      {
        height = 6
        properties = {
          query  = "SOURCE '/pullprobe/${var.name}/worker' | filter pullprobe = 'failed-start' | fields @timestamp, service, status, causes.0, summary | sort @timestamp desc | limit 50"
          region = data.aws_region.current.id
          title  = "Tasks that did not start"
          view   = "table"
        }
        type  = "log"
        width = 24
        x     = 0
        y     = 6
      },
    ]
  })
}
