# Allows Annals to put audit events into a bucket of this account, and nothing else. Creates a role that only the account of
# Annals can assume, with this external ID, and the bucket if it does not exist.

terraform {
  required_version = ">= 1.3"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

data "aws_partition" "current" {}

resource "aws_s3_bucket" "audit_events" {
  count = var.create_bucket ? 1 : 0

  bucket = var.bucket
}

resource "aws_s3_bucket_public_access_block" "audit_events" {
  count = var.create_bucket ? 1 : 0

  bucket                  = aws_s3_bucket.audit_events[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "audit_events" {
  count = var.create_bucket && var.kms_key_arn != "" ? 1 : 0

  bucket = aws_s3_bucket.audit_events[0].id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_iam_role" "annals" {
  name        = var.role_name
  path        = var.role_path
  description = "Allows Annals to put audit events into a bucket."

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = "arn:${data.aws_partition.current.partition}:iam::${var.service_account_id}:root" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "sts:ExternalId" = var.external_id } }
    }]
  })
}

resource "aws_iam_role_policy" "put_audit_events" {
  name = "put-audit-events"
  role = aws_iam_role.annals.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "s3:PutObject"
      Resource = "arn:${data.aws_partition.current.partition}:s3:::${var.bucket}/${var.prefix}*"
    }]
  })
}

resource "aws_iam_role_policy" "encrypt_audit_events" {
  count = var.kms_key_arn != "" ? 1 : 0

  name = "encrypt-audit-events"
  role = aws_iam_role.annals.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "kms:GenerateDataKey"
      Resource  = var.kms_key_arn
      Condition = { StringLike = { "kms:ViaService" = "s3.*.${data.aws_partition.current.dns_suffix}" } }
    }]
  })
}
