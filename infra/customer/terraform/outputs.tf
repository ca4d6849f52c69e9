output "bucket" {
  description = "The bucket name for the destination."
  value       = var.bucket
}

output "role_arn" {
  description = "The role ARN for the destination."
  value       = aws_iam_role.annals.arn
}
