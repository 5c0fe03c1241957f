output "topic_arn" {
  description = "Topic of the verdicts"
  value       = aws_sns_topic.fleet.arn
}
