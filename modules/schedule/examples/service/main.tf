# Probes what the service `web` needs, every 15 minutes, in each of its subnets.
#
#   pullprobe install
#   pullprobe plan app.json --log-group /pullprobe/prod.web --format json >plan.json

provider "aws" {
  region = "us-east-1"
}

module "schedule" {
  source = "../../"

  name               = "prod.web"
  cluster            = "prod"
  subnets            = ["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"]
  security_groups    = ["sg-0123456789abcdef0"]
  plan               = file("${path.module}/plan.json")
  probe_image        = "123456789012.dkr.ecr.us-east-1.amazonaws.com/pullprobe:0.1.0"
  execution_role_arn = "arn:aws:iam::123456789012:role/ecsTaskExecutionRole"
  alarm_actions      = ["arn:aws:sns:us-east-1:123456789012:oncall"]
}

output "alarms" {
  value = module.schedule.alarms
}
