output "bucket" {
  description = "The bucket name for the destination."
  value       = var.bucket
}

output "bucket_policy" {
  description = "The statements for the bucket's policy, if the module does not set it."
  value       = local.bucket_policy
}

output "role_arn" {
  description = "The role ARN for the destination."
  value       = aws_iam_role.annals.arn
}
