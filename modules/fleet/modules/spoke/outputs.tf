output "role_arn" {
  description = "Role in this account"
  value       = aws_iam_role.spoke.arn
}
