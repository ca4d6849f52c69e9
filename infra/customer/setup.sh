#!/usr/bin/env bash
# Lets Annals put audit events into a bucket of this account, and nothing else: a role that only its account can assume,
# and only with this external ID, and the bucket where there is none yet.
#
#   BUCKET=… ROLE_NAME=… SERVICE_ACCOUNT_ID=… EXTERNAL_ID=… REGION=… bash setup.sh
#
# Needs the AWS CLI with an administrator's credentials, as AWS CloudShell has them. Run it again at will: it mends the
# role's trust and its two policies, and leaves alone everything else.
set -euo pipefail
export LC_ALL=C AWS_PAGER=""

# The bucket, and where it is made where there is none. CREATE_BUCKET=false: it is never made.
BUCKET="${BUCKET:-}"
REGION="${REGION:-}"
CREATE_BUCKET="${CREATE_BUCKET:-true}"
# What the keys of all objects begin with, such as audit/annals/. Empty for the whole bucket.
PREFIX="${PREFIX:-}"
# The KMS key that the bucket encrypts with. Empty where it encrypts with S3's own keys.
KMS_KEY_ARN="${KMS_KEY_ARN:-}"
# The role, and the account that it belongs to. Empty for whichever account the credentials are of.
ROLE_NAME="${ROLE_NAME:-}"
ROLE_PATH="${ROLE_PATH:-/}"
ACCOUNT_ID="${ACCOUNT_ID:-}"
# The account that Annals runs in, and what it sends whenever it assumes the role for you, and for nobody else.
SERVICE_ACCOUNT_ID="${SERVICE_ACCOUNT_ID:-}"
EXTERNAL_ID="${EXTERNAL_ID:-}"

fail() {
  printf '%s\n' "$1" >&2
  exit 1
}

# check NAME PATTERN EXPECTED: the variable's value matches the whole pattern.
check() {
  [[ ${!1} =~ $2 ]] || fail "$1 must be $3."
}

check BUCKET '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$' "a bucket's name"
check REGION '^([a-z0-9-]+)?$' "an AWS region"
check CREATE_BUCKET '^(true|false)$' "true or false"
check PREFIX '^([]!#%-)+-.0->@-[^-z|~]+/)*$' "empty, or a path that ends with a slash, without * ? \$ \" \\ { } and spaces"
check KMS_KEY_ARN '^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?$' "empty, or the ARN of a KMS key"
check ROLE_NAME '^[A-Za-z0-9+=,.@_-]{1,64}$' "the name of an IAM role"
check ROLE_PATH '^/([!-~]+/)?$' "a path that begins and ends with a slash"
check ACCOUNT_ID '^([0-9]{12})?$' "empty, or 12 digits"
check SERVICE_ACCOUNT_ID '^[0-9]{12}$' "12 digits"
check EXTERNAL_ID '^[A-Za-z0-9+=,.@:/_-]{2,}$' "the external ID as it is shown with the destination"

identity=$(aws sts get-caller-identity --query Arn --output text)
IFS=: read -r _ PARTITION _ _ account _ <<<"$identity"
[[ -z $ACCOUNT_ID || $account == "$ACCOUNT_ID" ]] ||
  fail "These credentials are of account $account, but the destination's role is in $ACCOUNT_ID."
DNS_SUFFIX=amazonaws.com
[[ $PARTITION != aws-cn ]] || DNS_SUFFIX=amazonaws.com.cn
role_arn="arn:$PARTITION:iam::$account:role$ROLE_PATH$ROLE_NAME"

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
    }
  ]
}
PERMISSION_POLICY
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
  [[ -n $REGION ]] || fail "REGION must be set: there is no bucket $BUCKET yet."
  location=()
  [[ $REGION == us-east-1 ]] || location=(--create-bucket-configuration "LocationConstraint=$REGION")
  aws s3api create-bucket --bucket "$BUCKET" --region "$REGION" ${location[@]+"${location[@]}"} >/dev/null
  aws s3api put-public-access-block --bucket "$BUCKET" --region "$REGION" --public-access-block-configuration \
    BlockPublicAcls=true,BlockPublicPolicy=true,IgnorePublicAcls=true,RestrictPublicBuckets=true
  if [[ -n $KMS_KEY_ARN ]]; then
    aws s3api put-bucket-encryption --bucket "$BUCKET" --region "$REGION" --server-side-encryption-configuration \
      "Rules=[{ApplyServerSideEncryptionByDefault={SSEAlgorithm=aws:kms,KMSMasterKeyID=$KMS_KEY_ARN},BucketKeyEnabled=true}]"
  fi
  echo "Made the bucket $BUCKET."
fi

if existing=$(aws iam get-role --role-name "$ROLE_NAME" --query Role.Arn --output text 2>/dev/null); then
  [[ $existing == "$role_arn" ]] || fail "There is a role of this name with another path: $existing."
  aws iam update-assume-role-policy --role-name "$ROLE_NAME" --policy-document "$(trust_policy)"
else
  aws iam create-role --role-name "$ROLE_NAME" --path "$ROLE_PATH" \
    --description "Lets Annals put audit events into a bucket." --assume-role-policy-document "$(trust_policy)" >/dev/null
fi
aws iam put-role-policy --role-name "$ROLE_NAME" --policy-name put-audit-events \
  --policy-document "$(permission_policy)"
if [[ -n $KMS_KEY_ARN ]]; then
  aws iam put-role-policy --role-name "$ROLE_NAME" --policy-name encrypt-audit-events \
    --policy-document "$(kms_policy)"
fi
echo "Annals may now put objects into $BUCKET/$PREFIX as $role_arn."
