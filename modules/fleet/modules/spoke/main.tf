# What `pullprobe fleet print --format terraform --spoke` prints, with variables in place of the values.
# Made by `REFRESH_DOCS=1 cargo test --test modules`: change the program and not this file.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

resource "aws_iam_role" "spoke" {
  name        = "pullprobe-fleet"
  description = "pullprobe fleet probes the tasks of this account"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Principal = {
          AWS = "arn:${data.aws_partition.current.partition}:iam::${var.hub_account}:root"
        }
        Action = "sts:AssumeRole"
        Condition = {
          StringEquals = {
            "sts:ExternalId" = var.external_id
          }
        }
      },
      {
        Effect = "Allow"
        Principal = {
          AWS = "arn:${data.aws_partition.current.partition}:iam::${var.hub_account}:root"
        }
        Action = "sts:TagSession"
        Condition = {
          "ForAllValues:StringEquals" = {
            "aws:TagKeys" = ["pullprobe:run"]
          }
        }
      },
    ]
  })
}

resource "aws_iam_role_policy" "spoke" {
  name = "probe"
  role = aws_iam_role.spoke.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "ListServices"
        Effect = "Allow"
        Action = [
          "ecs:ListClusters",
          "ecs:ListServices",
        ]
        Resource = ["*"]
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

resource "aws_cloudformation_stack_set" "spokes" {
  count            = length(var.organizational_unit_ids) > 0 ? 1 : 0
  name             = "${var.name}-spokes"
  permission_model = "SERVICE_MANAGED"
  capabilities     = ["CAPABILITY_NAMED_IAM"]
  template_body = jsonencode({
    Resources = {
      SpokeRole = {
        Type = "AWS::IAM::Role"
        Properties = {
          RoleName = "pullprobe-fleet"
          AssumeRolePolicyDocument = {
            Version = "2012-10-17"
            Statement = [
              {
                Effect = "Allow"
                Principal = {
                  AWS = "arn:${data.aws_partition.current.partition}:iam::${var.hub_account}:root"
                }
                Action = "sts:AssumeRole"
                Condition = {
                  StringEquals = {
                    "sts:ExternalId" = var.external_id
                  }
                }
              },
              {
                Effect = "Allow"
                Principal = {
                  AWS = "arn:${data.aws_partition.current.partition}:iam::${var.hub_account}:root"
                }
                Action = "sts:TagSession"
                Condition = {
                  "ForAllValues:StringEquals" = {
                    "aws:TagKeys" = ["pullprobe:run"]
                  }
                }
              },
            ]
          }
          Policies = [
            {
              PolicyName = "probe"
              PolicyDocument = {
                Version = "2012-10-17"
                Statement = [
                  {
                    Sid    = "ListServices"
                    Effect = "Allow"
                    Action = [
                      "ecs:ListClusters",
                      "ecs:ListServices",
                    ]
                    Resource = ["*"]
                  },
                  {
                    Sid    = "ReadTheService"
                    Effect = "Allow"
                    Action = [
                      "ecs:DescribeServices",
                      "ecs:ListServiceDeployments",
                    ]
                    Resource = [
                      {
                        "Fn::Sub" = "arn:$${AWS::Partition}:ecs:*:$${AWS::AccountId}:service/*"
                      },
                    ]
                  },
                  {
                    Sid    = "ReadItsDigests"
                    Effect = "Allow"
                    Action = ["ecs:DescribeServiceRevisions"]
                    Resource = [
                      {
                        "Fn::Sub" = "arn:$${AWS::Partition}:ecs:*:$${AWS::AccountId}:service-revision/*"
                      },
                    ]
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
                    Sid    = "LaunchTheProbe"
                    Effect = "Allow"
                    Action = ["ecs:RunTask"]
                    Resource = [
                      {
                        "Fn::Sub" = "arn:$${AWS::Partition}:ecs:*:$${AWS::AccountId}:task-definition/pullprobe-*"
                      },
                    ]
                  },
                  {
                    Sid    = "WatchAndStopIt"
                    Effect = "Allow"
                    Action = [
                      "ecs:DescribeTasks",
                      "ecs:StopTask",
                    ]
                    Resource = [
                      {
                        "Fn::Sub" = "arn:$${AWS::Partition}:ecs:*:$${AWS::AccountId}:task/*"
                      },
                    ]
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
                      {
                        "Fn::Sub" = "arn:$${AWS::Partition}:ecs:*:$${AWS::AccountId}:task-definition/pullprobe-*"
                      },
                      {
                        "Fn::Sub" = "arn:$${AWS::Partition}:ecs:*:$${AWS::AccountId}:task/*"
                      },
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
                    Sid    = "PassTheRole"
                    Effect = "Allow"
                    Action = ["iam:PassRole"]
                    Resource = [
                      {
                        "Fn::Sub" = "arn:$${AWS::Partition}:iam::$${AWS::AccountId}:role/*"
                      },
                    ]
                    Condition = {
                      StringEquals = {
                        "iam:PassedToService" = ["ecs-tasks.amazonaws.com"]
                      }
                    }
                  },
                  {
                    Sid    = "ReadTheReport"
                    Effect = "Allow"
                    Action = ["logs:GetLogEvents"]
                    Resource = [
                      {
                        "Fn::Sub" = "arn:$${AWS::Partition}:logs:*:$${AWS::AccountId}:log-group:*:log-stream:*/pullprobe/*"
                      },
                    ]
                  },
                  {
                    Sid    = "FindItsImage"
                    Effect = "Allow"
                    Action = ["ecr:BatchGetImage"]
                    Resource = [
                      {
                        "Fn::Sub" = "arn:$${AWS::Partition}:ecr:*:$${AWS::AccountId}:repository/pullprobe"
                      },
                    ]
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
                    Resource = [
                      {
                        "Fn::Sub" = "arn:$${AWS::Partition}:lambda:*:$${AWS::AccountId}:function:pullprobe-*"
                      },
                    ]
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
                    Sid    = "FindItsRole"
                    Effect = "Allow"
                    Action = ["iam:GetRole"]
                    Resource = [
                      {
                        "Fn::Sub" = "arn:$${AWS::Partition}:iam::$${AWS::AccountId}:role/pullprobe-lambda"
                      },
                    ]
                  },
                  {
                    Sid    = "PassItsRole"
                    Effect = "Allow"
                    Action = ["iam:PassRole"]
                    Resource = [
                      {
                        "Fn::Sub" = "arn:$${AWS::Partition}:iam::$${AWS::AccountId}:role/pullprobe-lambda"
                      },
                    ]
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
                    Resource = [
                      {
                        "Fn::Sub" = "arn:$${AWS::Partition}:iam::$${AWS::AccountId}:role/*"
                      },
                    ]
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
              }
            },
          ]
        }
      }
    }
  })

  auto_deployment {
    enabled                          = true
    retain_stacks_on_account_removal = false
  }
}

resource "aws_cloudformation_stack_set_instance" "spokes" {
  count          = length(var.organizational_unit_ids) > 0 ? 1 : 0
  stack_set_name = aws_cloudformation_stack_set.spokes[0].name

  deployment_targets {
    organizational_unit_ids = var.organizational_unit_ids
  }
}
