//! `/organisations/{organisation}/destinations/{destination}/setup`: what the customer sets up in its own account.

use annals_core::delivery::setup::{KEY_PLACEHOLDER, Setup};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{
    call::{self, Call},
    problem::Problem,
    routes::ADMINISTRATORS,
};

/// `GET …/destinations/{destination}/setup`: the role's policies, and CloudFormation, Terraform and the AWS CLI to make
/// them with, filled in and ready to paste.
pub async fn show(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(ADMINISTRATORS).await?;
    let id = call.parsed("destination")?;
    let destination = call.api.administration.destination(&organisation.id, &id).await?;
    let setup = Setup::of(&call.api.service, &organisation, &destination);
    Ok(call::json(StatusCode::OK, &view(&setup)))
}

fn view(setup: &Setup) -> Value {
    let values = &setup.values;
    let files: Map<String, Value> =
        setup.terraform.iter().map(|(name, content)| ((*name).to_owned(), content.as_str().into())).collect();
    let deploy = format!(
        "aws cloudformation deploy --template-file destination.yaml --stack-name {} --region {} --capabilities \
         CAPABILITY_NAMED_IAM",
        values.stack, values.region
    );
    json!({
        "partition": values.partition,
        "serviceAccountId": values.service_account,
        "accountId": values.account,
        "region": values.region,
        "bucket": values.bucket,
        "prefix": values.prefix,
        "roleName": values.role_name,
        "rolePath": values.role_path,
        "externalId": values.external_id,
        "permissionPolicy": setup.permission_policy,
        "trustPolicy": setup.trust_policy,
        "trustPolicyNote": "A trust policy without the Condition works too. With it, nobody else can have us use your \
                            role: we send this external ID for you alone.",
        "kms": {
            "policy": setup.kms_policy,
            "note": format!(
                "Only where the bucket encrypts with a KMS key of yours. We do not know the key: put its ARN, not an \
                 alias, where the policy says {KEY_PLACEHOLDER}, and attach the policy beside the other; or give the \
                 ARN as KmsKeyArn to CloudFormation, kms_key_arn to Terraform, KMS_KEY_ARN in the script. A key of \
                 another account must allow the role in its own policy, too."
            ),
        },
        "cloudFormation": {
            "template": setup.template,
            "stackName": values.stack,
            "command": deploy,
            "quickCreateUrl": setup.quick_create_url,
            "note": match setup.quick_create_url {
                Some(_) => "Open the link, signed in to your account. Choose false for CreateBucket where the bucket \
                            exists. A role that exists under this name must be deleted first: the stack makes it.",
                None => "There is no link: CloudFormation reads templates from S3 alone, and this deployment has not \
                         published its own (its parameter CustomerTemplateUrl is empty). Save the template as \
                         destination.yaml and run the command, or upload it in CloudFormation's console. Add \
                         --parameter-overrides CreateBucket=false where the bucket exists. A role that exists under \
                         this name must be deleted first: the stack makes it.",
            },
        },
        "terraform": {
            "files": files,
            "note": "Save the files in a folder, and run terraform init and terraform apply there. Which region the \
                     bucket is made in is for your provider's configuration to say, or AWS_REGION. Set create_bucket \
                     to false where the bucket exists, and import the role where it exists.",
        },
        "awsCli": {
            "script": setup.script,
            "note": "Save it as setup.sh and run it with bash, for example in AWS CloudShell. It makes what is \
                     missing, and mends the trust and the policy of a role that exists; other policies of that role \
                     stay as they are.",
        },
    })
}
