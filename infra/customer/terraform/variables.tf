variable "bucket" {
  description = "The name of the bucket."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "Must be a bucket's name."
  }
}

variable "create_bucket" {
  description = "Whether to create the bucket. Choose false if it exists."
  type        = bool
  default     = true
}

variable "prefix" {
  description = "The prefix of all object keys, such as audit/annals/. Empty for no prefix."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([\\]!#%-)+-.0->@-\\[\\^-z|~]+/)*$", var.prefix))
    error_message = "Must be empty, or a path that ends with a slash, without * ? $ \" \\ { } and spaces."
  }
}

variable "kms_key_arn" {
  description = "The ARN of the bucket's KMS key. Empty if the bucket encrypts with S3's own keys."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?$", var.kms_key_arn))
    error_message = "Must be empty, or the ARN of a KMS key (not of an alias)."
  }
}

variable "create_bucket_policy" {
  description = "Whether a new bucket gets a policy that requires TLS and denies replacing audit events. It replaces any policy that the bucket has: choose false if you manage the bucket's policy elsewhere, and add the statements of the output bucket_policy to it."
  type        = bool
  default     = true
}

variable "object_lock_mode" {
  description = "S3 Object Lock of a new bucket. Empty for none. GOVERNANCE can be bypassed with a special permission, COMPLIANCE cannot be bypassed by anyone."
  type        = string
  default     = ""

  validation {
    condition     = contains(["", "GOVERNANCE", "COMPLIANCE"], var.object_lock_mode)
    error_message = "Must be empty, GOVERNANCE or COMPLIANCE."
  }
}

variable "object_lock_days" {
  description = "How many days Object Lock keeps each object. It has no effect without object_lock_mode."
  type        = number
  default     = 365

  validation {
    condition     = var.object_lock_days >= 1 && var.object_lock_days <= 36500
    error_message = "Must be between 1 and 36500."
  }
}

variable "role_name" {
  description = "The name of the role."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9+=,.@_-]{1,64}$", var.role_name))
    error_message = "Must be the name of an IAM role."
  }
}

variable "role_path" {
  description = "The path of the role."
  type        = string
  default     = "/"

  validation {
    condition     = can(regex("^/([!-#%-)+->@-~]+/)?$", var.role_path))
    error_message = "Must begin and end with a slash, without * ? $."
  }
}

variable "service_account_id" {
  description = "The account of Annals."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.service_account_id))
    error_message = "Must be 12 digits."
  }
}

variable "external_id" {
  description = "The external ID that Annals sends with each request for you, and for nobody else."
  type        = string

  validation {
    # In two parts, because Terraform's regular expressions allow at most 1000 repetitions.
    condition     = can(regex("^[A-Za-z0-9+=,.@:/_-]{2,}$", var.external_id)) && length(var.external_id) <= 1224
    error_message = "Must be the external ID that is shown with the destination."
  }
}
