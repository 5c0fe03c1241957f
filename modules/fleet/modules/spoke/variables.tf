variable "external_id" {
  type        = string
  description = "External ID of the roles in the member accounts: any text that others do not know"
}

variable "hub_account" {
  type        = string
  description = "ID of the account of the hub, whose worker assumes the role"
}

variable "organizational_unit_ids" {
  type        = list(string)
  description = "IDs of the organizational units whose accounts get the role; empty for this account alone"
  default     = []
}

variable "name" {
  type        = string
  description = "Name of the fleet, which becomes part of the name of the stack set"
  default     = "pullprobe-fleet"
}
