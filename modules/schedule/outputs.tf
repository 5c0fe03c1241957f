output "schedule_group" {
  description = "Name of the schedule group"
  value       = aws_scheduler_schedule_group.probe.name
}

output "log_group" {
  description = "Name of the log group to which the reports are written"
  value       = local.log_group
}

output "task_definition_arn" {
  description = "ARN of the probe's task definition"
  value       = aws_ecs_task_definition.probe.arn
}

output "alarms" {
  description = "Names of the alarms: those that see a failure, then those that miss a report"
  value       = concat(aws_cloudwatch_metric_alarm.failed[*].alarm_name, aws_cloudwatch_metric_alarm.no_data[*].alarm_name)
}
