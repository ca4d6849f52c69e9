use annals_core::{delivery::setup::Setup, destination::policy::Policy};
use annals_http::prelude::*;
use annals_http::schema::Account;
use std::collections::BTreeMap;

pub(super) struct GetSetup;

impl Endpoint<Services> for GetSetup {
    const ID: &'static str = "getSetup";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/organisations/{organisation}/destinations/{destination}/setup";
    type Access = Administrators;
    const PLATFORM: PlatformAccess = PlatformAccess::Scope(PlatformScope::Destinations);

    fn documentation() -> Documentation {
        Documentation::new(Tag::Destinations, "Get the setup of a destination")
            .description(
                "The role's policies, and a CloudFormation template, a Terraform module and a script for the AWS CLI that \
                 create them, filled in. While a change is pending, they are for its values. Also the statements with which Athena \
                 and DuckDB query what is delivered.",
            )
            .response::<SetupView<'_>>(200, "The setup, ready to paste.")
    }

    async fn handle(services: Services, call: Call<Organisation>) -> Result<Response, Problem> {
        let id = call.path_parameter("destination")?;
        let destination = services.administration.destination(&call.organisation.id, &id).await?;
        let setup = Setup::of(&services.service, &call.organisation, &destination);
        Ok(response::json(StatusCode::OK, &SetupView::from(&setup)))
    }
}

/// What a customer sets up for a destination, in three ways.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Setup")]
struct SetupView<'a> {
    /// What to mind while a change of the destination is pending; null: none is.
    change_note: Option<&'static str>,
    /// The role's partition.
    partition: &'a str,
    /// The account that Annals runs in, which the role trusts.
    #[schemars(with = "Account")]
    service_account_id: &'a str,
    /// The role's account.
    #[schemars(with = "Account")]
    account_id: &'a str,
    /// The bucket's region.
    region: &'a str,
    /// The bucket's name.
    bucket: &'a str,
    /// The prefix of all keys: empty, or ends with a slash.
    prefix: &'a str,
    /// The role's name.
    role_name: &'a str,
    /// The role's path: begins and ends with a slash.
    role_path: &'a str,
    /// The external ID that Annals sends with every AssumeRole.
    external_id: &'a str,
    /// The role's permission policy, an IAM policy document.
    #[schemars(with = "serde_json::Value", extend("type" = "object"))]
    permission_policy: &'a Policy,
    /// The role's trust policy, an IAM policy document.
    #[schemars(with = "serde_json::Value", extend("type" = "object"))]
    trust_policy: &'a Policy,
    /// Which parts of the trust policy may differ.
    trust_policy_note: &'static str,
    /// The policy of a bucket that is created for the destination, a bucket policy document.
    #[schemars(with = "serde_json::Value", extend("type" = "object"))]
    bucket_policy: &'a Policy,
    /// What else a new bucket gets, and what to do for a bucket that exists.
    bucket_policy_note: &'static str,
    /// For a bucket that is encrypted with one of the customer's KMS keys.
    kms: KmsView<'a>,
    cloud_formation: CloudFormationView<'a>,
    terraform: TerraformView<'a>,
    aws_cli: AwsCliView<'a>,
    query: QueryView<'a>,
}

impl<'a> From<&'a Setup> for SetupView<'a> {
    fn from(setup: &'a Setup) -> Self {
        let values = &setup.values;
        Self {
            change_note: setup.change_note,
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
            bucket_policy: &setup.bucket_policy,
            bucket_policy_note: Setup::BUCKET_POLICY_NOTE,
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
            query: QueryView {
                statements: setup.queries.iter().map(|query| (query.name, query.statement.as_str())).collect(),
                note: Setup::QUERY_NOTE,
            },
        }
    }
}

/// The role's additional permissions for a KMS key.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SetupKms")]
struct KmsView<'a> {
    /// An IAM policy document.
    #[schemars(with = "serde_json::Value", extend("type" = "object"))]
    policy: &'a Policy,
    /// When and how to add the policy.
    note: String,
}

/// A CloudFormation template with its parameters filled in.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SetupCloudFormation")]
struct CloudFormationView<'a> {
    /// The template, as YAML.
    template: &'a str,
    /// A suggested name for the stack.
    stack_name: &'a str,
    /// The command that deploys the template, saved as `destination.yaml`.
    command: String,
    /// A link that opens CloudFormation's console with everything filled in; null if the deployment has not published its
    /// template.
    quick_create_url: Option<&'a str>,
    /// How to use it.
    note: String,
}

/// A Terraform module with its variables filled in.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SetupTerraform")]
struct TerraformView<'a> {
    /// The files' contents by name.
    files: BTreeMap<&'static str, &'a str>,
    /// How to use it.
    note: &'static str,
}

/// A script for the AWS CLI with its variables filled in.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SetupAwsCli")]
struct AwsCliView<'a> {
    /// The script, for Bash.
    script: &'a str,
    /// How to use it.
    note: &'static str,
}

/// Statements for Amazon Athena and DuckDB that query what is delivered, filled in.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SetupQuery")]
struct QueryView<'a> {
    /// The statements by name: `athena-table.sql`, `athena-view.sql` unless the shape is `flat`, and `duckdb.sql`.
    statements: BTreeMap<&'static str, &'a str>,
    /// How to use them.
    note: &'static str,
}
