output "bucket" {
  description = "Bucket of the list and of the results"
  value       = aws_s3_bucket.fleet.id
}

output "topic_arn" {
  description = "Topic of the message about each run"
  value       = aws_sns_topic.fleet.arn
}

output "state_machine_arn" {
  description = "State machine of a run"
  value       = aws_sfn_state_machine.fleet.arn
}
