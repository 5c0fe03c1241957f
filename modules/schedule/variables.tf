variable "name" {
  type        = string
  description = "Name of the schedules, such as prod.web; group, alarms and log group are named after it"

  validation {
    condition     = can(regex("^[0-9A-Za-z_.-]{1,50}$", var.name))
    error_message = "The name has 1 to 50 letters, digits, dots, hyphens and underscores."
  }
}

variable "cluster" {
  type        = string
  description = "Name of the cluster in which the probe runs"
}

variable "subnets" {
  type        = list(string)
  description = "Subnets of the tasks; each has a schedule and two alarms"
}

variable "security_groups" {
  type        = list(string)
  description = "Security groups of the tasks"
}

variable "assign_public_ip" {
  type        = bool
  description = "Whether the tasks have a public IP address"
  default     = false
}

variable "plan" {
  type        = string
  description = "What the probe contacts: the output of pullprobe plan FILE --log-group /pullprobe/NAME --format json"

  validation {
    condition     = try(jsondecode(var.plan).schema, "") == "pullprobe/plan/v1"
    error_message = "The plan is what pullprobe plan --format json prints."
  }
}

variable "probe_image" {
  type        = string
  description = "Image of the probe in your own Amazon ECR, as pullprobe install prints it"
}

variable "execution_role_arn" {
  type        = string
  description = "ARN of the task execution role of the tasks, which the probe also has as its task role"
}

variable "cpu_architecture" {
  type        = string
  description = "CPU architecture of the tasks: X86_64 or ARM64"
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "The architecture is X86_64 or ARM64."
  }
}

variable "interval_minutes" {
  type        = number
  description = "Minutes between two runs, from 5 to 1440"
  default     = 15

  validation {
    condition     = var.interval_minutes >= 5 && var.interval_minutes <= 1440
    error_message = "The interval is from 5 minutes to 1440, which is a day."
  }
}

variable "alarm_actions" {
  type        = list(string)
  description = "ARNs of the Amazon SNS topics that are notified when an alarm changes its state"
  default     = []
}

variable "retention_days" {
  type        = number
  description = "Days to keep the reports; a retention period that CloudWatch Logs supports"
  default     = 30
}

variable "create_log_group" {
  type        = bool
  description = "Whether to create the log group; false if it exists"
  default     = true
}
