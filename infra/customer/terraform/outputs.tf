output "bucket" {
  description = "The bucket, as the destination names it."
  value       = var.bucket
}

output "role_arn" {
  description = "The role, as the destination names it."
  value       = aws_iam_role.annals.arn
}
