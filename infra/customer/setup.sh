#!/usr/bin/env bash
# Allows Annals to put audit events into a bucket of this account, and nothing else. It creates a role that only the account
# of Annals can assume, with this external ID, and the bucket if it does not exist. The role cannot replace what it put.
#
#   BUCKET=… ROLE_NAME=… SERVICE_ACCOUNT_ID=… EXTERNAL_ID=… REGION=… bash setup.sh
#
# It needs the AWS CLI with an administrator's credentials, for example in AWS CloudShell. It can run more than once: it
# updates the role's trust policy and its two policies, and changes nothing else. It never replaces a bucket's policy.
set -euo pipefail
export LC_ALL=C AWS_PAGER=""

# The bucket, and the region in which it is created if it does not exist. CREATE_BUCKET=false: it is never created.
BUCKET="${BUCKET:-}"
REGION="${REGION:-}"
CREATE_BUCKET="${CREATE_BUCKET:-true}"
# A new bucket gets versioning, and a policy that requires TLS and denies replacing audit events. PROTECT_BUCKET=true: so does
# a bucket that exists, unless it has a policy.
PROTECT_BUCKET="${PROTECT_BUCKET:-false}"
# S3 Object Lock of a new bucket, and how many days it keeps each object. GOVERNANCE can be bypassed with a special permission,
# COMPLIANCE cannot be bypassed by anyone. Empty: no Object Lock.
OBJECT_LOCK_MODE="${OBJECT_LOCK_MODE:-}"
OBJECT_LOCK_DAYS="${OBJECT_LOCK_DAYS:-365}"
# The prefix of all object keys, such as audit/annals/. Empty: no prefix.
PREFIX="${PREFIX:-}"
# The ARN of the bucket's KMS key. Empty: the bucket encrypts with S3's own keys.
KMS_KEY_ARN="${KMS_KEY_ARN:-}"
# The role and its account. ACCOUNT_ID empty: the account of the credentials.
ROLE_NAME="${ROLE_NAME:-}"
ROLE_PATH="${ROLE_PATH:-/}"
ACCOUNT_ID="${ACCOUNT_ID:-}"
# The account of Annals, and the external ID that Annals sends with each request for you, and for nobody else.
SERVICE_ACCOUNT_ID="${SERVICE_ACCOUNT_ID:-}"
EXTERNAL_ID="${EXTERNAL_ID:-}"

fail() {
  printf '%s\n' "$1" >&2
  exit 1
}

# check NAME PATTERN EXPECTED: fails if the variable's value does not match the pattern.
check() {
  [[ ${!1} =~ $2 ]] || fail "$1 must be $3."
}

check BUCKET '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$' "a bucket's name"
check REGION '^([a-z0-9-]+)?$' "an AWS region"
check CREATE_BUCKET '^(true|false)$' "true or false"
check PROTECT_BUCKET '^(true|false)$' "true or false"
check OBJECT_LOCK_MODE '^(GOVERNANCE|COMPLIANCE)?$' "empty, GOVERNANCE or COMPLIANCE"
check OBJECT_LOCK_DAYS '^[1-9][0-9]{0,4}$' "a number of days"
check PREFIX '^([]!#%-)+-.0->@-[^-z|~]+/)*$' "empty, or a path that ends with a slash, without * ? \$ \" \\ { } and spaces"
check KMS_KEY_ARN '^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?$' "empty, or the ARN of a KMS key"
check ROLE_NAME '^[A-Za-z0-9+=,.@_-]{1,64}$' "the name of an IAM role"
check ROLE_PATH '^/([!-#%-)+->@-~]+/)?$' "a path that begins and ends with a slash, without * ? \$"
check ACCOUNT_ID '^([0-9]{12})?$' "empty, or 12 digits"
check SERVICE_ACCOUNT_ID '^[0-9]{12}$' "12 digits"
check EXTERNAL_ID '^[A-Za-z0-9+=,.@:/_-]{2,}$' "the external ID that is shown with the destination"

identity=$(aws sts get-caller-identity --query Arn --output text)
IFS=: read -r _ PARTITION _ _ account _ <<<"$identity"
[[ -z $ACCOUNT_ID || $account == "$ACCOUNT_ID" ]] ||
  fail "These credentials belong to account $account, but the destination's role is in account $ACCOUNT_ID."
case $PARTITION in
  aws-cn) DNS_SUFFIX=amazonaws.com.cn ;;
  aws-eusc) DNS_SUFFIX=amazonaws.eu ;;
  *) DNS_SUFFIX=amazonaws.com ;;
esac
role_arn="arn:$PARTITION:iam::$account:role$ROLE_PATH$ROLE_NAME"
# A role's path can have characters that JSON escapes.
json_role_arn=$(printf '%s' "$role_arn" | sed 's/["\\]/\\&/g')

trust_policy() {
  cat <<TRUST_POLICY
{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Principal": {"AWS": "arn:${PARTITION}:iam::${SERVICE_ACCOUNT_ID}:root"},
      "Action": "sts:AssumeRole",
      "Condition": {"StringEquals": {"sts:ExternalId": "${EXTERNAL_ID}"}}
    }
  ]
}
TRUST_POLICY
}

permission_policy() {
  cat <<PERMISSION_POLICY
{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": "s3:PutObject",
      "Resource": "arn:${PARTITION}:s3:::${BUCKET}/${PREFIX}*"
    },
    {
      "Effect": "Deny",
      "Action": "s3:PutObject",
      "Resource": "arn:${PARTITION}:s3:::${BUCKET}/${PREFIX}*/*",
      "Condition": {"Null": {"s3:if-none-match": "true"}}
    }
  ]
}
PERMISSION_POLICY
}

# Keys of audit events have a folder below the prefix. The object of a connection test has none, and is replaced. A condition
# names the role, because a principal would not apply to a role that is deleted and created again.
bucket_policy() {
  cat <<BUCKET_POLICY
{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Deny",
      "Principal": {"AWS": "*"},
      "Action": "s3:*",
      "Resource": ["arn:${PARTITION}:s3:::${BUCKET}", "arn:${PARTITION}:s3:::${BUCKET}/*"],
      "Condition": {"Bool": {"aws:SecureTransport": "false"}}
    },
    {
      "Effect": "Deny",
      "Principal": {"AWS": "*"},
      "Action": "s3:PutObject",
      "Resource": "arn:${PARTITION}:s3:::${BUCKET}/${PREFIX}*/*",
      "Condition": {
        "ArnEquals": {"aws:PrincipalArn": "${json_role_arn}"},
        "Null": {"s3:if-none-match": "true"}
      }
    }
  ]
}
BUCKET_POLICY
}

kms_policy() {
  cat <<KMS_POLICY
{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": "kms:GenerateDataKey",
      "Resource": "${KMS_KEY_ARN}",
      "Condition": {"StringLike": {"kms:ViaService": "s3.*.${DNS_SUFFIX}"}}
    }
  ]
}
KMS_POLICY
}

if [[ $CREATE_BUCKET == true ]] &&
  ! aws s3api head-bucket --bucket "$BUCKET" --expected-bucket-owner "$account" >/dev/null 2>&1; then
  [[ -n $REGION ]] || fail "REGION must be set, because the bucket $BUCKET does not exist yet."
  location=()
  [[ $REGION == us-east-1 ]] || location=(--create-bucket-configuration "LocationConstraint=$REGION")
  aws s3api create-bucket --bucket "$BUCKET" --region "$REGION" ${location[@]+"${location[@]}"} >/dev/null
  aws s3api put-public-access-block --bucket "$BUCKET" --region "$REGION" --public-access-block-configuration \
    BlockPublicAcls=true,BlockPublicPolicy=true,IgnorePublicAcls=true,RestrictPublicBuckets=true
  if [[ -n $KMS_KEY_ARN ]]; then
    aws s3api put-bucket-encryption --bucket "$BUCKET" --region "$REGION" --server-side-encryption-configuration \
      "Rules=[{ApplyServerSideEncryptionByDefault={SSEAlgorithm=aws:kms,KMSMasterKeyID=$KMS_KEY_ARN},BucketKeyEnabled=true}]"
  fi
  aws s3api put-bucket-versioning --bucket "$BUCKET" --region "$REGION" --versioning-configuration Status=Enabled
  aws s3api put-bucket-policy --bucket "$BUCKET" --region "$REGION" --policy "$(bucket_policy)"
  if [[ -n $OBJECT_LOCK_MODE ]]; then
    aws s3api put-object-lock-configuration --bucket "$BUCKET" --region "$REGION" --object-lock-configuration \
      "ObjectLockEnabled=Enabled,Rule={DefaultRetention={Mode=$OBJECT_LOCK_MODE,Days=$OBJECT_LOCK_DAYS}}"
  fi
  echo "Created the bucket $BUCKET."
else
  if [[ -n $OBJECT_LOCK_MODE ]] && ! aws s3api get-object-lock-configuration --bucket "$BUCKET" >/dev/null 2>&1; then
    fail "The bucket $BUCKET exists without Object Lock, and this script sets it only for new buckets. Set it yourself, or set OBJECT_LOCK_MODE to an empty text."
  fi
  if [[ $PROTECT_BUCKET == true ]]; then
    if ! policy=$(aws s3api get-bucket-policy --bucket "$BUCKET" --query Policy --output text 2>&1); then
      [[ $policy == *NoSuchBucketPolicy* ]] || fail "The policy of the bucket $BUCKET cannot be read: $policy"
      aws s3api put-bucket-policy --bucket "$BUCKET" --policy "$(bucket_policy)"
    elif [[ $policy != *s3:if-none-match* || $policy != *"$json_role_arn"* ]]; then
      fail "The bucket $BUCKET has a policy, and this script does not change it. Add these statements to it, and run this again:
$(bucket_policy)"
    fi
    aws s3api put-bucket-versioning --bucket "$BUCKET" --versioning-configuration Status=Enabled
  fi
fi

if existing=$(aws iam get-role --role-name "$ROLE_NAME" --query Role.Arn --output text 2>/dev/null); then
  [[ $existing == "$role_arn" ]] || fail "A role of this name exists with another path: $existing."
  aws iam update-assume-role-policy --role-name "$ROLE_NAME" --policy-document "$(trust_policy)"
else
  aws iam create-role --role-name "$ROLE_NAME" --path "$ROLE_PATH" \
    --description "Allows Annals to put audit events into a bucket." --assume-role-policy-document "$(trust_policy)" >/dev/null
fi
aws iam put-role-policy --role-name "$ROLE_NAME" --policy-name put-audit-events \
  --policy-document "$(permission_policy)"
if [[ -n $KMS_KEY_ARN ]]; then
  aws iam put-role-policy --role-name "$ROLE_NAME" --policy-name encrypt-audit-events \
    --policy-document "$(kms_policy)"
fi
echo "Annals can now put objects into $BUCKET/$PREFIX with the role $role_arn."
