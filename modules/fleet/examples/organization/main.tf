# Probes the services of an organization every night, and any task of this account that fails to start.
#
#   pullprobe fleet bundle --output pullprobe.zip --binary pullprobe-linux-amd64
#   aws s3 cp pullprobe.zip s3://code-bucket/pullprobe.zip

provider "aws" {
  region = "us-east-1"
}

data "aws_caller_identity" "hub" {}

variable "external_id" {
  type        = string
  description = "Any text that others do not know"
  sensitive   = true
}

module "fleet" {
  source = "../../"

  external_id     = var.external_id
  code_bucket     = "code-bucket"
  code_key        = "pullprobe.zip"
  max_concurrency = 100
  dashboard       = true
}

# In the management account, or in that of a delegated administrator.
module "spokes" {
  source = "../../modules/spoke"

  external_id             = var.external_id
  hub_account             = data.aws_caller_identity.hub.account_id
  organizational_unit_ids = ["ou-abcd-12345678"]
}

module "on_failure" {
  source = "../../modules/on-failure"

  name        = "pullprobe-starts"
  code_bucket = "code-bucket"
  code_key    = "pullprobe.zip"
}

output "bucket" {
  value = module.fleet.bucket
}
