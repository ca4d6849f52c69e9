variable "bucket" {
  description = "The bucket."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "Must be a bucket's name."
  }
}

variable "create_bucket" {
  description = "Whether the module makes the bucket. Choose false where it exists."
  type        = bool
  default     = true
}

variable "prefix" {
  description = "What the keys of all objects begin with, such as audit/annals/. Empty for the whole bucket."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([\\]!#%-)+-.0->@-\\[\\^-z|~]+/)*$", var.prefix))
    error_message = "Must be empty, or a path that ends with a slash, without * ? $ \" \\ { } and spaces."
  }
}

variable "kms_key_arn" {
  description = "The KMS key that the bucket encrypts with. Empty where it encrypts with S3's own keys."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?$", var.kms_key_arn))
    error_message = "Must be empty, or the ARN of a KMS key (not of an alias)."
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
    condition     = can(regex("^/([!-~]+/)?$", var.role_path))
    error_message = "Must begin and end with a slash."
  }
}

variable "service_account_id" {
  description = "The account that Annals runs in."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.service_account_id))
    error_message = "Must be 12 digits."
  }
}

variable "external_id" {
  description = "What Annals sends whenever it assumes the role for you, and for nobody else."
  type        = string

  validation {
    # In two parts: a repetition counts to 1000 at most in Terraform's regular expressions.
    condition     = can(regex("^[A-Za-z0-9+=,.@:/_-]{2,}$", var.external_id)) && length(var.external_id) <= 1224
    error_message = "Must be the external ID as it is shown with the destination."
  }
}
