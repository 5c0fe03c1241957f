# What `pullprobe fleet print --format terraform --dashboard` prints, with variables in place of the values.
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
        Sid    = "AssumeTheRolesOfTheSpokes"
        Effect = "Allow"
        Action = [
          "sts:AssumeRole",
          "sts:TagSession",
        ]
        Resource = ["arn:${data.aws_partition.current.partition}:iam::*:role/pullprobe-fleet"]
      },
      {
        Sid      = "FindEarlierResults"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = ["${aws_s3_bucket.fleet.arn}/results/*"]
      },
      {
        Sid    = "StoreResults"
        Effect = "Allow"
        Action = ["s3:PutObject"]
        Resource = [
          "${aws_s3_bucket.fleet.arn}/results/*",
          "${aws_s3_bucket.fleet.arn}/reports/*",
          "${aws_s3_bucket.fleet.arn}/comparisons/*",
          "${aws_s3_bucket.fleet.arn}/inspections/*",
        ]
      },
      {
        Sid      = "DistinguishAbsentFromDenied"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = [aws_s3_bucket.fleet.arn]
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
      PULLPROBE_FLEET_BUCKET      = aws_s3_bucket.fleet.id
      PULLPROBE_FLEET_NAME        = var.name
      PULLPROBE_FLEET_ROLE        = "pullprobe-fleet"
      PULLPROBE_FLEET_EXTERNAL_ID = var.external_id
      PULLPROBE_FLEET_CARRIER     = var.carrier
      PULLPROBE_FLEET_TOPIC       = aws_sns_topic.fleet.arn
    }
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.worker.name
  }
}

resource "aws_cloudwatch_log_group" "reduce" {
  name              = "/pullprobe/${var.name}/reduce"
  retention_in_days = 30
}

resource "aws_iam_role" "reduce" {
  name_prefix = "pullprobe-reduce-"
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

resource "aws_iam_role_policy" "reduce" {
  name = "least-privilege"
  role = aws_iam_role.reduce.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "FindReports"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = [aws_s3_bucket.fleet.arn]
      },
      {
        Sid    = "ReadReports"
        Effect = "Allow"
        Action = ["s3:GetObject"]
        Resource = [
          "${aws_s3_bucket.fleet.arn}/targets/*",
          "${aws_s3_bucket.fleet.arn}/results/*",
          "${aws_s3_bucket.fleet.arn}/reports/*",
          "${aws_s3_bucket.fleet.arn}/summaries/*",
        ]
      },
      {
        Sid    = "StoreTheComparison"
        Effect = "Allow"
        Action = ["s3:PutObject"]
        Resource = [
          "${aws_s3_bucket.fleet.arn}/comparisons/*",
          "${aws_s3_bucket.fleet.arn}/pages/*",
          "${aws_s3_bucket.fleet.arn}/summaries/*",
        ]
      },
      {
        Sid      = "PublishTheMessage"
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
        Resource = ["${aws_cloudwatch_log_group.reduce.arn}:*"]
      },
    ]
  })
}

resource "aws_lambda_function" "reduce" {
  function_name = "${var.name}-reduce"
  description   = "pullprobe fleet: reduce"
  runtime       = "provided.al2023"
  handler       = "bootstrap"
  architectures = ["x86_64"]
  s3_bucket     = var.code_bucket
  s3_key        = var.code_key
  memory_size   = 3008
  timeout       = 900
  role          = aws_iam_role.reduce.arn

  environment {
    variables = {
      PULLPROBE_FLEET_BUCKET      = aws_s3_bucket.fleet.id
      PULLPROBE_FLEET_NAME        = var.name
      PULLPROBE_FLEET_ROLE        = "pullprobe-fleet"
      PULLPROBE_FLEET_EXTERNAL_ID = var.external_id
      PULLPROBE_FLEET_CARRIER     = var.carrier
      PULLPROBE_FLEET_TOPIC       = aws_sns_topic.fleet.arn
    }
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.reduce.name
  }
}

resource "aws_iam_role" "state_machine" {
  name_prefix = "pullprobe-state-machine-"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Principal = {
          Service = "states.amazonaws.com"
        }
        Action = "sts:AssumeRole"
      },
    ]
  })
}

resource "aws_iam_role_policy" "state_machine" {
  name = "least-privilege"
  role = aws_iam_role.state_machine.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "InvokeTheFunctions"
        Effect = "Allow"
        Action = ["lambda:InvokeFunction"]
        Resource = [
          aws_lambda_function.worker.arn,
          aws_lambda_function.reduce.arn,
        ]
      },
      {
        Sid      = "StartTheMap"
        Effect   = "Allow"
        Action   = ["states:StartExecution"]
        Resource = ["arn:${data.aws_partition.current.partition}:states:*:${data.aws_caller_identity.current.account_id}:stateMachine:${var.name}"]
      },
      {
        Sid    = "WatchTheMap"
        Effect = "Allow"
        Action = [
          "states:DescribeExecution",
          "states:StopExecution",
        ]
        Resource = ["arn:${data.aws_partition.current.partition}:states:*:${data.aws_caller_identity.current.account_id}:execution:${var.name}/*"]
      },
      {
        Sid      = "ReadTheTargets"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = ["${aws_s3_bucket.fleet.arn}/targets/*"]
      },
      {
        Sid    = "WriteTheMapsResults"
        Effect = "Allow"
        Action = [
          "s3:AbortMultipartUpload",
          "s3:GetObject",
          "s3:ListMultipartUploadParts",
          "s3:PutObject",
        ]
        Resource = ["${aws_s3_bucket.fleet.arn}/map-runs/*"]
      },
    ]
  })
}

resource "aws_sfn_state_machine" "fleet" {
  name     = var.name
  role_arn = aws_iam_role.state_machine.arn
  definition = jsonencode({
    Comment = "Written by pullprobe fleet print: probes each target of a list, then compares all reports"
    StartAt = "ProbeTargets"
    States = {
      ProbeTargets = {
        ItemProcessor = {
          ProcessorConfig = {
            ExecutionType = "STANDARD"
            Mode          = "DISTRIBUTED"
          }
          StartAt = "Probe"
          States = {
            Probe = {
              Catch = [
                {
                  ErrorEquals = ["States.ALL"]
                  Next        = "Record"
                  ResultPath  = "$.error"
                },
              ]
              End        = true
              OutputPath = "$.Payload"
              Parameters = {
                FunctionName = aws_lambda_function.worker.arn
                "Payload.$"  = "$"
              }
              Resource = "arn:${data.aws_partition.current.partition}:states:::lambda:invoke"
              Retry = [
                {
                  BackoffRate = 2
                  ErrorEquals = [
                    "Pullprobe.Throttled",
                    "Lambda.TooManyRequestsException",
                  ]
                  IntervalSeconds = 5
                  JitterStrategy  = "FULL"
                  MaxAttempts     = 5
                  MaxDelaySeconds = 120
                },
              ]
              TimeoutSeconds = 930
              Type           = "Task"
            }
            Record = {
              End        = true
              OutputPath = "$.Payload"
              Parameters = {
                FunctionName = aws_lambda_function.worker.arn
                Payload = {
                  "date.$"   = "$.date"
                  "error.$"  = "$.error"
                  fleet      = "no-result"
                  "run.$"    = "$.run"
                  "target.$" = "$.target"
                }
              }
              Resource = "arn:${data.aws_partition.current.partition}:states:::lambda:invoke"
              Retry = [
                {
                  BackoffRate = 2
                  ErrorEquals = [
                    "Pullprobe.Throttled",
                    "Lambda.TooManyRequestsException",
                  ]
                  IntervalSeconds = 5
                  JitterStrategy  = "FULL"
                  MaxAttempts     = 5
                  MaxDelaySeconds = 120
                },
              ]
              TimeoutSeconds = 930
              Type           = "Task"
            }
          }
        }
        ItemReader = {
          Parameters = {
            Bucket  = aws_s3_bucket.fleet.id
            "Key.$" = "$.targets"
          }
          ReaderConfig = {
            InputType = "JSONL"
          }
          Resource = "arn:${data.aws_partition.current.partition}:states:::s3:getObject"
        }
        ItemSelector = {
          "date.$"   = "$$.Execution.StartTime"
          fleet      = "probe"
          "run.$"    = "$$.Execution.Name"
          "target.$" = "$$.Map.Item.Value"
        }
        Label          = "Targets"
        MaxConcurrency = var.max_concurrency
        Next           = "Reduce"
        ResultPath     = "$.map"
        ResultWriter = {
          Parameters = {
            Bucket = aws_s3_bucket.fleet.id
            Prefix = "map-runs"
          }
          Resource = "arn:${data.aws_partition.current.partition}:states:::s3:putObject"
        }
        ToleratedFailurePercentage = var.tolerated_failures
        Type                       = "Map"
      }
      Reduce = {
        End        = true
        OutputPath = "$.Payload"
        Parameters = {
          FunctionName = aws_lambda_function.reduce.arn
          Payload = {
            "date.$"    = "$$.Execution.StartTime"
            fleet       = "reduce"
            "run.$"     = "$$.Execution.Name"
            "targets.$" = "$.targets"
          }
        }
        Resource = "arn:${data.aws_partition.current.partition}:states:::lambda:invoke"
        Retry = [
          {
            BackoffRate = 2
            ErrorEquals = [
              "Pullprobe.Throttled",
              "Lambda.TooManyRequestsException",
            ]
            IntervalSeconds = 5
            JitterStrategy  = "FULL"
            MaxAttempts     = 5
            MaxDelaySeconds = 120
          },
        ]
        TimeoutSeconds = 930
        Type           = "Task"
      }
    }
  })
}

resource "aws_iam_role" "schedule" {
  name_prefix = "pullprobe-schedule-"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Principal = {
          Service = "scheduler.amazonaws.com"
        }
        Action = "sts:AssumeRole"
      },
    ]
  })
}

resource "aws_iam_role_policy" "schedule" {
  name = "least-privilege"
  role = aws_iam_role.schedule.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "StartTheRun"
        Effect   = "Allow"
        Action   = ["states:StartExecution"]
        Resource = [aws_sfn_state_machine.fleet.arn]
      },
    ]
  })
}

resource "aws_scheduler_schedule" "fleet" {
  description         = "pullprobe fleet: the nightly run"
  schedule_expression = var.schedule

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_sfn_state_machine.fleet.arn
    role_arn = aws_iam_role.schedule.arn
    input    = "{\"targets\":\"targets/targets.jsonl\"}"
  }
}

resource "aws_glue_catalog_database" "fleet" {
  name = replace(var.name, "-", "_")
}

resource "aws_glue_catalog_table" "reports" {
  name          = "reports"
  database_name = aws_glue_catalog_database.fleet.name
  table_type    = "EXTERNAL_TABLE"
  parameters = {
    EXTERNAL                    = "TRUE"
    "projection.enabled"        = "true"
    "projection.date.type"      = "date"
    "projection.date.format"    = "yyyy-MM-dd"
    "projection.date.range"     = "2026-01-01,NOW"
    "storage.location.template" = "s3://${aws_s3_bucket.fleet.id}/reports/date=$${date}/"
  }

  partition_keys {
    name = "date"
    type = "string"
  }

  storage_descriptor {
    location      = "s3://${aws_s3_bucket.fleet.id}/reports/"
    input_format  = "org.apache.hadoop.mapred.TextInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"

    ser_de_info {
      serialization_library = "org.openx.data.jsonserde.JsonSerDe"
    }

    columns {
      name = "run"
      type = "struct<id:string,version:string,started_at:string,elapsed_ms:bigint,labels:map<string,string>>"
    }

    columns {
      name = "vantage"
      type = "struct<region:string,availability_zone:string,subnet_cidr:string,address:string,task_arn:string,cluster:string,carrier:string>"
    }

    columns {
      name = "verdict"
      type = "struct<status:string,exit_code:int,summary:string>"
    }

    columns {
      name = "findings"
      type = "array<struct<cause:string,family:string,dependency:string,confidence:string,summary:string,remedy:string>>"
    }

    columns {
      name = "observations"
      type = "array<struct<id:string,dependency:string,host:string,phase:string,outcome:string,failure:string,elapsed_ms:bigint>>"
    }

    columns {
      name = "identity"
      type = "struct<role_arn:string,source:string>"
    }
  }
}

resource "aws_cloudwatch_dashboard" "fleet" {
  count          = var.dashboard ? 1 : 0
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = [
      {
        height = 6
        properties = {
          metrics = [
            [
              "PullProbe",
              "Failing",
              "Fleet",
              var.name,
              {
                label = "subnets in which a task would not start"
              },
            ],
            [
              "PullProbe",
              "NoReport",
              "Fleet",
              var.name,
              {
                label = "targets without a complete report"
              },
            ],
          ]
          period = 86400
          region = data.aws_region.current.id
          stat   = "Maximum"
          title  = "What fails"
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
          metrics = [[
            "PullProbe",
            "Vantages",
            "Fleet",
            var.name,
            {
              label = "subnets with a report"
            },
          ]]
          period = 86400
          region = data.aws_region.current.id
          stat   = "Maximum"
          title  = "What was probed"
          view   = "timeSeries"
          yAxis = {
            left = {
              min = 0
            }
          }
        }
        type  = "metric"
        width = 12
        x     = 12
        y     = 0
      },
      {
        height = 6
        properties = {
          metrics = [
            [
              "AWS/States",
              "ExecutionsSucceeded",
              "StateMachineArn",
              aws_sfn_state_machine.fleet.arn,
              {
                label = "succeeded"
              },
            ],
            [
              "AWS/States",
              "ExecutionsFailed",
              "StateMachineArn",
              aws_sfn_state_machine.fleet.arn,
              {
                label = "failed"
              },
            ],
            [
              "AWS/States",
              "ExecutionsTimedOut",
              "StateMachineArn",
              aws_sfn_state_machine.fleet.arn,
              {
                label = "timed out"
              },
            ],
          ]
          period = 86400
          region = data.aws_region.current.id
          stat   = "Sum"
          title  = "Runs"
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
        y     = 6
      },
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
        x     = 12
        y     = 6
      },
      {
        height = 6
        properties = {
          query  = "SOURCE '/pullprobe/${var.name}/reduce' | filter ispresent(NoReport) | fields @timestamp, Vantages, Failing, NoReport | sort @timestamp desc | limit 30"
          region = data.aws_region.current.id
          title  = "The last runs"
          view   = "table"
        }
        type  = "log"
        width = 24
        x     = 0
        y     = 12
      },
    ]
  })
}
