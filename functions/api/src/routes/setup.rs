//! `/organisations/{organisation}/destinations/{destination}/setup`: what the customer sets up in its own account.

use std::collections::BTreeMap;

use annals_core::delivery::setup::Setup;
use axum::response::Response;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use annals_http::{
    ADMINISTRATORS, Services,
    call::{self, Call},
    operation::{Access, Method, Operation, Operations, Tag},
    problem::Problem,
    schema::Account,
};

pub(crate) fn operations<O: Operations<Services>>(to: O) -> O {
    let path = "/organisations/{organisation}/destinations/{destination}/setup";
    to.operation(Method::Get, path, show, || {
        Operation::new(Tag::Destinations, Access::Roles(ADMINISTRATORS), "getSetup", "What to set up for a destination")
            .details("The role's policies, and CloudFormation, Terraform and the AWS CLI to make them with, filled in.")
            .answers::<SetupView<'_>>(200, "Ready to paste.")
    })
}

/// `GET …/destinations/{destination}/setup`: the role's policies, and CloudFormation, Terraform and the AWS CLI to make
/// them with, filled in and ready to paste.
pub async fn show(call: Call) -> Result<Response, Problem> {
    let organisation = call.organisation(ADMINISTRATORS).await?;
    let id = call.parsed("destination")?;
    let destination = call.api.administration.destination(&organisation.id, &id).await?;
    let setup = Setup::of(&call.api.service, &organisation, &destination);
    Ok(call::json(StatusCode::OK, &view(&setup)))
}

fn view(setup: &Setup) -> SetupView<'_> {
    let values = &setup.values;
    SetupView {
        partition: &values.partition,
        service_account_id: &values.service_account,
        account_id: &values.account,
        region: &values.region,
        bucket: &values.bucket,
        prefix: &values.prefix,
        role_name: &values.role_name,
        role_path: &values.role_path,
        external_id: &values.external_id,
        permission_policy: &setup.permission_policy,
        trust_policy: &setup.trust_policy,
        trust_policy_note: Setup::TRUST_POLICY_NOTE,
        kms: KmsView { policy: &setup.kms_policy, note: Setup::kms_note() },
        cloud_formation: CloudFormationView {
            template: &setup.template,
            stack_name: &values.stack,
            command: setup.cloud_formation_command(),
            quick_create_url: setup.quick_create_url.as_deref(),
            note: match setup.quick_create_url {
                Some(_) => setup.cloud_formation_note().to_owned(),
                None => format!("{} {}", Setup::NO_LINK_NOTE, setup.cloud_formation_note()),
            },
        },
        terraform: TerraformView {
            files: setup.terraform.iter().map(|(name, content)| (*name, content.as_str())).collect(),
            note: Setup::TERRAFORM_NOTE,
        },
        aws_cli: AwsCliView { script: &setup.script, note: Setup::SCRIPT_NOTE },
    }
}

/// What a customer sets up for a destination, and ways to do it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Setup")]
struct SetupView<'a> {
    /// The role's partition.
    partition: &'a str,
    /// The account that Annals runs in: whom the role trusts.
    #[schemars(with = "Account")]
    service_account_id: &'a str,
    /// The role's account.
    #[schemars(with = "Account")]
    account_id: &'a str,
    /// The region that the bucket is in, or is made in.
    region: &'a str,
    /// The bucket's name.
    bucket: &'a str,
    /// What all keys begin with: empty, or ends with a slash.
    prefix: &'a str,
    /// The role's name.
    role_name: &'a str,
    /// The role's path: begins and ends with a slash.
    role_path: &'a str,
    /// What is sent with every AssumeRole.
    external_id: &'a str,
    /// The role's permissions, an IAM policy document.
    #[schemars(extend("type" = "object"))]
    permission_policy: &'a Value,
    /// Who may assume the role, an IAM policy document.
    #[schemars(extend("type" = "object"))]
    trust_policy: &'a Value,
    /// What can be different about the trust policy.
    trust_policy_note: &'static str,
    /// For a bucket that encrypts with a KMS key of the customer's.
    kms: KmsView<'a>,
    /// By CloudFormation.
    cloud_formation: CloudFormationView<'a>,
    /// By Terraform.
    terraform: TerraformView<'a>,
    /// By the AWS CLI.
    aws_cli: AwsCliView<'a>,
}

/// What the role needs beside, for a KMS key.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SetupKms")]
struct KmsView<'a> {
    /// An IAM policy document.
    #[schemars(extend("type" = "object"))]
    policy: &'a Value,
    /// When and how.
    note: String,
}

/// A template whose parameters are filled in.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SetupCloudFormation")]
struct CloudFormationView<'a> {
    /// The template, as YAML.
    template: &'a str,
    /// A name for the stack.
    stack_name: &'a str,
    /// What deploys the template, saved as `destination.yaml`.
    command: String,
    /// Opens CloudFormation's console with everything filled in; null where the deployment has not published its template.
    quick_create_url: Option<&'a str>,
    /// How.
    note: String,
}

/// A Terraform module whose variables are filled in.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SetupTerraform")]
struct TerraformView<'a> {
    /// The files, by name.
    files: BTreeMap<&'static str, &'a str>,
    /// How.
    note: &'static str,
}

/// A script whose variables are filled in.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SetupAwsCli")]
struct AwsCliView<'a> {
    /// The script, for bash.
    script: &'a str,
    /// How.
    note: &'static str,
}
