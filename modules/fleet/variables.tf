variable "external_id" {
  type        = string
  description = "External ID of the roles in the member accounts: any text that others do not know"
}

variable "code_bucket" {
  type        = string
  description = "Bucket of the functions' code, in this Region"
}

variable "code_key" {
  type        = string
  description = "Key of the functions' code, a zip file of pullprobe fleet bundle"
}

variable "name" {
  type        = string
  description = "Name of the fleet, which becomes part of the names of its resources"
  default     = "pullprobe-fleet"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,29}$", var.name))
    error_message = "The name has 1 to 30 lower-case letters, digits and -, and begins with a letter."
  }
}

variable "carrier" {
  type        = string
  description = "What runs the probe in each subnet: auto, fargate or lambda"
  default     = "auto"

  validation {
    condition     = contains(["auto", "fargate", "lambda"], var.carrier)
    error_message = "The carrier is auto, fargate or lambda."
  }
}

variable "max_concurrency" {
  type        = number
  description = "Workers at the same time, from 1 to 1000"
  default     = 50
}

variable "tolerated_failures" {
  type        = number
  description = "Percentage of the targets whose workers may fail without a result"
  default     = 100
}

variable "schedule" {
  type        = string
  description = "Schedule expression of the run, in UTC"
  default     = "cron(0 3 * * ? *)"
}

variable "dashboard" {
  type        = bool
  description = "Whether there is a CloudWatch dashboard, which costs $3 a month beyond the three that are free"
  default     = false
}
