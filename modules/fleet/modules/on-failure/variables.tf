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
  description = "Name of the resources, which becomes part of the names of each"
  default     = "pullprobe-fleet"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,29}$", var.name))
    error_message = "The name has 1 to 30 lower-case letters, digits and -, and begins with a letter."
  }
}

variable "dashboard" {
  type        = bool
  description = "Whether there is a CloudWatch dashboard, which costs $3 a month beyond the three that are free"
  default     = false
}
