# Allows Annals to put audit events into a bucket of this account, and nothing else. Creates a role that only the account of
# Annals can assume, with this external ID, and the bucket if it does not exist. The role cannot replace what it put.

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

locals {
  bucket_arn = "arn:${data.aws_partition.current.partition}:s3:::${var.bucket}"

  # Keys of audit events have a folder below the prefix. The object of a connection test has none, and is replaced.
  audit_events = "${local.bucket_arn}/${var.prefix}*/*"

  bucket_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "s3:*"
        Resource  = [local.bucket_arn, "${local.bucket_arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "s3:PutObject"
        Resource  = local.audit_events
        # A condition names the role, because a principal would not apply to a role that is deleted and created again.
        Condition = {
          ArnEquals = { "aws:PrincipalArn" = aws_iam_role.annals.arn }
          Null      = { "s3:if-none-match" = "true" }
        }
      },
    ]
  })
}

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

resource "aws_s3_bucket_versioning" "audit_events" {
  count = var.create_bucket ? 1 : 0

  bucket = aws_s3_bucket.audit_events[0].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_object_lock_configuration" "audit_events" {
  count = var.create_bucket && var.object_lock_mode != "" ? 1 : 0

  # Object Lock needs a bucket with versioning.
  bucket = aws_s3_bucket_versioning.audit_events[0].id

  rule {
    default_retention {
      mode = var.object_lock_mode
      days = var.object_lock_days
    }
  }
}

resource "aws_s3_bucket_policy" "audit_events" {
  count = var.create_bucket && var.create_bucket_policy ? 1 : 0

  bucket = aws_s3_bucket.audit_events[0].id
  policy = local.bucket_policy
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
    Statement = [
      {
        Effect   = "Allow"
        Action   = "s3:PutObject"
        Resource = "${local.bucket_arn}/${var.prefix}*"
      },
      # Not even the role can replace audit events, in a bucket with any policy.
      {
        Effect    = "Deny"
        Action    = "s3:PutObject"
        Resource  = local.audit_events
        Condition = { Null = { "s3:if-none-match" = "true" } }
      },
    ]
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
