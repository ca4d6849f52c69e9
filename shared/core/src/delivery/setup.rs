//! What a customer sets up in AWS for a destination: the role's policies, and three ways to create everything
//! (CloudFormation, Terraform, the AWS CLI), filled in for one destination. This module owns the filling in. The texts are
//! the files in `infra/customer`, which also work by hand; the policies are those of
//! [`policy`](crate::destination::policy).
//!
//! People choose the values. So each value is quoted for the language of its file, even if its type allows no character
//! that needs quoting.

use std::fmt::Write as _;

use super::query::{Query, queries};
use crate::{
    brand::Brand,
    destination::{Destination, PARTITIONS, Partition, Region, policy::Policy},
    organisation::Organisation,
    service::{ServiceSettings, TemplateUrl},
};

const TEMPLATE: &str = include_str!("../../../../infra/customer/destination.yaml");
const SCRIPT: &str = include_str!("../../../../infra/customer/setup.sh");
const MODULE: [(&str, &str); 3] = [
    ("main.tf", include_str!("../../../../infra/customer/terraform/main.tf")),
    ("variables.tf", include_str!("../../../../infra/customer/terraform/variables.tf")),
    ("outputs.tf", include_str!("../../../../infra/customer/terraform/outputs.tf")),
];

/// The values to fill in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    pub partition: String,
    /// The account that Annals runs in.
    pub service_account: String,
    /// The role's account.
    pub account: String,
    /// The region of the bucket, existing or to be created.
    pub region: String,
    pub bucket: String,
    /// The prefix of all keys: empty, or ends with a slash.
    pub prefix: String,
    pub role_name: String,
    /// Begins and ends with a slash.
    pub role_path: String,
    pub external_id: String,
    /// The name of the CloudFormation stack.
    pub stack: String,
    pub brand: Brand,
}

impl Values {
    #[must_use]
    pub fn of(service: &ServiceSettings, organisation: &Organisation, destination: &Destination) -> Self {
        let role = &destination.role_arn;
        let partition = partition(role.partition());
        let path = role.as_str().split_once(":role").map_or("/", |(_, path)| path);
        let path = path.strip_suffix(role.name()).unwrap_or("/");
        // No region means the region of Annals, which can be in another partition than the role.
        let region = destination.settings.region.as_ref().or(service.region.as_ref());
        let region = region.filter(|region| region.partition() == partition.name);
        let region = region.map_or(partition.main_region, Region::as_str);
        Self {
            partition: partition.name.to_owned(),
            service_account: service.account.to_string(),
            account: role.account().to_owned(),
            region: region.to_owned(),
            bucket: destination.bucket.to_string(),
            prefix: destination.settings.prefix.as_str().to_owned(),
            role_name: role.name().to_owned(),
            role_path: path.to_owned(),
            external_id: organisation.external_id.clone(),
            stack: format!("{}-{}", service.brand.slug(), destination.id),
            brand: service.brand.clone(),
        }
    }

    fn role_arn(&self) -> String {
        format!("arn:{}:iam::{}:role{}{}", self.partition, self.account, self.role_path, self.role_name)
    }
}

/// What a customer sets up in AWS, filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    pub values: Values,
    pub permission_policy: Policy,
    pub trust_policy: Policy,
    /// The policy of a bucket that is created for the destination.
    pub bucket_policy: Policy,
    /// The role's permission to use the bucket's KMS key, if it has one. The key is [`KEY_PLACEHOLDER`], because only the
    /// customer knows it.
    pub kms_policy: Policy,
    /// The CloudFormation template, with the values as defaults of its parameters.
    pub template: String,
    /// The link that opens the CloudFormation console with the template and its parameters. `None` if the deployment has
    /// not published the template.
    pub quick_create_url: Option<String>,
    /// What to mind while a change of the destination is pending. `None`: none is.
    pub change_note: Option<&'static str>,
    /// The files of the Terraform module and a `terraform.tfvars`: name and content.
    pub terraform: Vec<(&'static str, String)>,
    /// The script for bash and the AWS CLI.
    pub script: String,
    /// The statements that query what is delivered.
    pub queries: Vec<Query>,
}

/// The placeholder for the ARN of the customer's KMS key.
pub const KEY_PLACEHOLDER: &str = "KMS_KEY_ARN";

impl Setup {
    #[must_use]
    pub fn of(service: &ServiceSettings, organisation: &Organisation, destination: &Destination) -> Self {
        let Some(pending) = &destination.pending else { return Self::in_force(service, organisation, destination) };
        let mut values = Values::of(service, organisation, &destination.as_wanted());
        if pending.place.role_arn == destination.role_arn {
            let mut setup = Self::fill(values, service.template_url.as_ref());
            let old = Self::in_force(service, organisation, destination).permission_policy;
            // The old place stays in force until the new one is proven.
            for statement in old.statement {
                if !setup.permission_policy.statement.contains(&statement) {
                    setup.permission_policy.statement.push(statement);
                }
            }
            setup.change_note = Some(Self::SAME_ROLE_NOTE);
            setup.queries = queries(&destination.as_wanted());
            return setup;
        }
        let (year, month, day) = pending.requested_at.date();
        // The old stack stays as it is.
        let _ = write!(values.stack, "-{year:04}{month:02}{day:02}");
        let setup = Self::fill(values, service.template_url.as_ref());
        Self { change_note: Some(Self::NEW_ROLE_NOTE), queries: queries(&destination.as_wanted()), ..setup }
    }

    /// Returns the setup of what is in force, without a pending change.
    #[must_use]
    pub fn in_force(service: &ServiceSettings, organisation: &Organisation, destination: &Destination) -> Self {
        let setup = Self::fill(Values::of(service, organisation, destination), service.template_url.as_ref());
        Self { queries: queries(destination), ..setup }
    }

    pub const SAME_ROLE_NOTE: &str = "These are the values of the pending change. The role stays the same, so replace its \
                                      permission policy with the one here: it allows the place in force, too. The template, the \
                                      module and the script allow only the new one: if you run one of them, press Test directly \
                                      afterwards. Events wait meanwhile.";
    pub const NEW_ROLE_NOTE: &str = "These are the values of the pending change. Leave the old role and the old bucket as they are \
                                     until the change has taken over.";

    #[must_use]
    pub fn fill(values: Values, template_url: Option<&TemplateUrl>) -> Self {
        Self {
            permission_policy: Policy::deliver(&values.partition, &values.bucket, &values.prefix),
            trust_policy: Policy::trust(&values.partition, &values.service_account, &values.external_id),
            bucket_policy: Policy::protect(&values.partition, &values.bucket, &values.prefix, &values.role_arn()),
            kms_policy: Policy::encrypt(&values.partition, KEY_PLACEHOLDER),
            template: template(&values),
            quick_create_url: template_url.map(|url| quick_create_url(url, &values)),
            change_note: None,
            terraform: terraform(&values),
            script: script(&values),
            queries: Vec::new(),
            values,
        }
    }

    pub const TRUST_POLICY_NOTE: &str = "The Condition protects you: we send this external ID only for you, so nobody else can \
                                         have us use your role. A trust policy without it works too, with one more step: the \
                                         test then writes a code to your bucket, which you confirm here.";
    pub const BUCKET_POLICY_NOTE: &str = "With any of the ways, a new bucket gets versioning and this policy: it requires TLS, \
                                          and even the role cannot replace audit events. A bucket that exists stays as it \
                                          is. Add both statements to its policy and enable versioning yourself, or set \
                                          PROTECT_BUCKET=true for the script. The role's own policy also denies replacing \
                                          audit events. For S3 Object Lock on a new bucket, set ObjectLockMode \
                                          (CloudFormation), object_lock_mode (Terraform) or OBJECT_LOCK_MODE (script) to \
                                          GOVERNANCE or COMPLIANCE.";
    pub const TERRAFORM_NOTE: &str = "Save the files in a folder, and run terraform init and terraform apply there. Your \
                                      provider configuration or AWS_REGION determines the region of the bucket. If the \
                                      bucket exists, set create_bucket to false. If the role exists, import it.";
    pub const SCRIPT_NOTE: &str = "Save it as setup.sh and run it with bash, for example in AWS CloudShell. It creates the \
                                   bucket and the role if they are missing. If the role exists, it updates its trust \
                                   policy and its own policies, and leaves other policies alone.";

    pub const QUERY_NOTE: &str = "These statements fit what the destination delivers with its present settings. Objects that were \
                                  delivered with other settings need statements of their own. For Glue, create the table in \
                                  Athena; a crawler would guess columns and fail on some events.";

    #[must_use]
    pub fn kms_note() -> String {
        format!(
            "Needed only if the bucket encrypts with your own KMS key. Replace {KEY_PLACEHOLDER} with the key's ARN, not an \
             alias, and attach the policy to the role in addition to the permission policy. With the other ways, set \
             KmsKeyArn (CloudFormation), kms_key_arn (Terraform) or KMS_KEY_ARN (script). A key in another account must \
             also allow the role in its own policy."
        )
    }

    pub const NO_LINK_NOTE: &str = "There is no link, because CloudFormation reads templates only from S3, and this \
                                    deployment has not published its template (its parameter CustomerTemplateUrl is \
                                    empty).";

    #[must_use]
    pub fn cloud_formation_note(&self) -> &'static str {
        match self.quick_create_url {
            Some(_) => {
                "Sign in to your account and open the link. If the bucket exists, choose false for CreateBucket. If a role \
                 of this name exists, delete it first: the stack creates it."
            }
            None => {
                "Save the template as destination.yaml and run the command, or upload it in the CloudFormation console. If \
                 the bucket exists, add --parameter-overrides CreateBucket=false. If a role of this name exists, delete it \
                 first: the stack creates it."
            }
        }
    }

    /// Deploys the CloudFormation template, saved as `destination.yaml`.
    #[must_use]
    pub fn cloud_formation_command(&self) -> String {
        format!(
            "aws cloudformation deploy --template-file destination.yaml --stack-name {} --region {} --capabilities \
             CAPABILITY_NAMED_IAM",
            self.values.stack, self.values.region
        )
    }
}

/// Returns the parameters of the CloudFormation template that have a value.
fn parameters(values: &Values) -> [(&'static str, &str); 6] {
    [
        ("BucketName", &values.bucket),
        ("Prefix", &values.prefix),
        ("RoleName", &values.role_name),
        ("RolePath", &values.role_path),
        ("ServiceAccountId", &values.service_account),
        ("ExternalId", &values.external_id),
    ]
}

/// Returns the template with each value as the `Default` of its parameter.
fn template(values: &Values) -> String {
    let parameters = parameters(values);
    let mut filled = String::with_capacity(TEMPLATE.len() + 512);
    let mut current = None;
    for line in TEMPLATE.lines() {
        if !line.starts_with("   ") {
            let name = line.trim_start().strip_suffix(':');
            current = parameters.iter().find(|(parameter, _)| Some(*parameter) == name && line.starts_with("  "));
        }
        let Some((_, value)) = current else {
            filled.push_str(line);
            filled.push('\n');
            continue;
        };
        if !line.starts_with("    Default:") {
            filled.push_str(line);
            filled.push('\n');
        }
        if line == "    Type: String" {
            filled.push_str("    Default: ");
            filled.push_str(&quote_yaml(value));
            filled.push('\n');
        }
    }
    values.brand.word(&filled)
}

/// Returns the script. The lines that set the values are replaced.
fn script(values: &Values) -> String {
    let settings = [
        ("BUCKET", &values.bucket),
        ("REGION", &values.region),
        ("PREFIX", &values.prefix),
        ("ROLE_NAME", &values.role_name),
        ("ROLE_PATH", &values.role_path),
        ("ACCOUNT_ID", &values.account),
        ("SERVICE_ACCOUNT_ID", &values.service_account),
        ("EXTERNAL_ID", &values.external_id),
    ];
    let mut filled = String::with_capacity(SCRIPT.len() + 256);
    for line in SCRIPT.lines() {
        let set = line.split_once('=').and_then(|(name, _)| settings.iter().find(|(setting, _)| *setting == name));
        match set {
            Some((name, value)) => {
                filled.push_str(name);
                filled.push('=');
                filled.push_str(&quote_shell(value));
            }
            None => filled.push_str(line),
        }
        filled.push('\n');
    }
    values.brand.word(&filled)
}

/// Returns the module's files, and the values of its variables.
fn terraform(values: &Values) -> Vec<(&'static str, String)> {
    let variables = [
        ("bucket", &values.bucket),
        ("prefix", &values.prefix),
        ("role_name", &values.role_name),
        ("role_path", &values.role_path),
        ("service_account_id", &values.service_account),
        ("external_id", &values.external_id),
    ];
    let widest = variables.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut tfvars = String::new();
    for (name, value) in variables {
        let _ = writeln!(tfvars, "{name:widest$} = {}", quote_hcl(value));
    }
    let mut files: Vec<_> = MODULE.iter().map(|(name, content)| (*name, values.brand.word(content))).collect();
    files.push(("terraform.tfvars", tfvars));
    files
}

/// CloudFormation's "quick-create link": the console's page for a new stack, with the template and the parameters.
fn quick_create_url(template: &TemplateUrl, values: &Values) -> String {
    let region = encode_query(&values.region);
    let console = partition(&values.partition).console;
    let mut url = format!(
        "https://{region}.{console}/cloudformation/home?region={region}#/stacks/quickcreate?templateURL={}&stackName={}",
        encode_query(template.as_str()),
        encode_query(&values.stack),
    );
    for (name, value) in parameters(values) {
        let _ = write!(url, "&param_{name}={}", encode_query(value));
    }
    url
}

/// Returns the partition with a name. A role cannot have another one.
fn partition(name: &str) -> Partition {
    Partition::named(name).unwrap_or(PARTITIONS[0])
}

/// Returns `text` as one word of the shell (POSIX Shell Command Language, 2.2.2 "Single-Quotes").
fn quote_shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Returns `text` as a double-quoted YAML scalar (YAML 1.2, 5.7 "Escaped Characters"). Everything but printable ASCII
/// is escaped, because parsers of YAML 1.1, such as CloudFormation's, break lines at more characters than others.
fn quote_yaml(text: &str) -> String {
    quote(text, |_, _| false)
}

/// Returns `text` as an HCL string (HCL Native Syntax Specification, "Quoted Template"). Characters that would start an
/// interpolation or a directive are escaped by number, which works after any character.
fn quote_hcl(text: &str) -> String {
    quote(text, |character, next| matches!(character, '$' | '%') && next == Some('{'))
}

/// Returns `text` as a double-quoted string, with the escapes that YAML and HCL have in common.
fn quote(text: &str, is_special: impl Fn(char, Option<char>) -> bool) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let special = is_special(character, characters.peek().copied());
        match character {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(character);
            }
            ' '..='~' if !special => quoted.push(character),
            _ => {
                let number = u32::from(character);
                let _ = if number <= 0xffff {
                    write!(quoted, "\\u{number:04x}")
                } else {
                    write!(quoted, "\\U{number:08x}")
                };
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Returns `text` percent-encoded for a query string (RFC 3986, "Unreserved Characters").
fn encode_query(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        destination::{Checkpoints, Progress, Proof, Settings},
        organisation::{Plan, RetentionDays},
        time::Timestamp,
    };

    fn organisation() -> Organisation {
        Organisation {
            id: "acme".parse().unwrap(),
            name: "Acme".into(),
            plan: Plan::Enterprise,
            retention: RetentionDays::MIN,
            longest_retention: RetentionDays::MIN,
            shortest_retention: RetentionDays::MIN,
            external_id: "annals-0123456789abcdefABCDEF0123456789".into(),
            created_at: Timestamp::EPOCH,
            version: 1,
        }
    }

    fn destination(role_arn: &str, prefix: &str, region: Option<&str>) -> Destination {
        Destination {
            id: "d00000000001".parse().unwrap(),
            organisation: "acme".parse().unwrap(),
            bucket: "acme-audit".parse().unwrap(),
            role_arn: role_arn.parse().unwrap(),
            settings: Settings {
                prefix: prefix.parse().unwrap(),
                region: region.map(|region| region.parse().unwrap()),
                ..Settings::default()
            },
            paused: false,
            disabled: false,
            proof: Proof::default(),
            created_at: Timestamp::EPOCH,
            first_sequence: Some(1),
            next_sequence: 1,
            deliveries: 0,
            intent: None,
            replay: None,
            progress: Progress::default(),
            pending: None,
            checkpoints: Checkpoints::default(),
            version: 1,
        }
    }

    fn service(template_url: Option<&str>) -> ServiceSettings {
        ServiceSettings {
            region: Some("eu-central-1".parse().unwrap()),
            template_url: template_url.map(|url| url.parse().unwrap()),
            ..ServiceSettings::of("111122223333".parse().unwrap())
        }
    }

    fn setup(role_arn: &str, prefix: &str, region: Option<&str>) -> Setup {
        let service = service(Some("https://annals-public.s3.eu-central-1.amazonaws.com/destination.yaml"));
        Setup::of(&service, &organisation(), &destination(role_arn, prefix, region))
    }

    #[test]
    fn the_files_name_the_product_that_has_another_name() {
        let brand = Brand { product: Some("Acme Cloud".parse().unwrap()), ..Brand::default() };
        let service = ServiceSettings { brand, ..service(None) };
        let destination = destination("arn:aws:iam::444455556666:role/put", "", None);
        let setup = Setup::of(&service, &organisation(), &destination);
        let files = setup.terraform.iter().map(|(_, content)| content).chain([&setup.template, &setup.script]);
        for file in files.clone() {
            assert!(!file.contains("Annals") && !file.contains("WireMock"), "{file}");
        }
        assert!(files.filter(|file| file.contains("Acme Cloud")).count() >= 4);
        assert!(setup.values.stack.starts_with("acme-cloud-"));
    }

    #[test]
    fn the_policies_are_filled_in() {
        let setup = setup("arn:aws:iam::444455556666:role/security/annals", "audit/annals", None);
        insta::assert_json_snapshot!(setup.permission_policy, @r#"
        {
          "Version": "2012-10-17",
          "Statement": [
            {
              "Effect": "Allow",
              "Action": "s3:PutObject",
              "Resource": "arn:aws:s3:::acme-audit/audit/annals/*"
            },
            {
              "Effect": "Deny",
              "Action": "s3:PutObject",
              "Resource": "arn:aws:s3:::acme-audit/audit/annals/*/*",
              "Condition": {
                "Null": {
                  "s3:if-none-match": "true"
                }
              }
            }
          ]
        }
        "#);
        insta::assert_json_snapshot!(setup.bucket_policy, @r#"
        {
          "Version": "2012-10-17",
          "Statement": [
            {
              "Effect": "Deny",
              "Principal": {
                "AWS": "*"
              },
              "Action": "s3:*",
              "Resource": [
                "arn:aws:s3:::acme-audit",
                "arn:aws:s3:::acme-audit/*"
              ],
              "Condition": {
                "Bool": {
                  "aws:SecureTransport": "false"
                }
              }
            },
            {
              "Effect": "Deny",
              "Principal": {
                "AWS": "*"
              },
              "Action": "s3:PutObject",
              "Resource": "arn:aws:s3:::acme-audit/audit/annals/*/*",
              "Condition": {
                "ArnEquals": {
                  "aws:PrincipalArn": "arn:aws:iam::444455556666:role/security/annals"
                },
                "Null": {
                  "s3:if-none-match": "true"
                }
              }
            }
          ]
        }
        "#);
        insta::assert_json_snapshot!(setup.trust_policy, @r#"
        {
          "Version": "2012-10-17",
          "Statement": [
            {
              "Effect": "Allow",
              "Principal": {
                "AWS": "arn:aws:iam::111122223333:root"
              },
              "Action": "sts:AssumeRole",
              "Condition": {
                "StringEquals": {
                  "sts:ExternalId": "annals-0123456789abcdefABCDEF0123456789"
                }
              }
            }
          ]
        }
        "#);
        insta::assert_json_snapshot!(setup.kms_policy, @r#"
        {
          "Version": "2012-10-17",
          "Statement": [
            {
              "Effect": "Allow",
              "Action": "kms:GenerateDataKey",
              "Resource": "KMS_KEY_ARN",
              "Condition": {
                "StringLike": {
                  "kms:ViaService": "s3.*.amazonaws.com"
                }
              }
            }
          ]
        }
        "#);
    }

    #[test]
    fn a_role_without_a_path_has_the_path_of_all() {
        assert_eq!(setup("arn:aws:iam::444455556666:role/annals", "", None).values.role_path, "/");
        let values = setup("arn:aws:iam::444455556666:role/a/b/a/b", "", None).values;
        assert_eq!((values.role_path.as_str(), values.role_name.as_str()), ("/a/b/a/", "b"));
    }

    #[test]
    fn each_partition_has_its_own_arns_console_and_names() {
        let template = "templateURL=https%3A%2F%2Fannals-public.s3.eu-central-1.amazonaws.com%2Fdestination.yaml";
        for (partition, region, console, suffix) in [
            ("aws", "eu-central-1", "eu-central-1.console.aws.amazon.com", "amazonaws.com"),
            ("aws-us-gov", "us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com", "amazonaws.com"),
            ("aws-cn", "cn-north-1", "cn-north-1.console.amazonaws.cn", "amazonaws.com.cn"),
            ("aws-eusc", "eusc-de-east-1", "eusc-de-east-1.console.amazonaws-eusc.eu", "amazonaws.eu"),
        ] {
            let setup = setup(&format!("arn:{partition}:iam::444455556666:role/x/annals"), "audit", None);
            let contains = |policy: &Policy, text: &str| assert!(policy.to_string().contains(text), "{policy}");
            contains(&setup.trust_policy, &format!(r#""AWS":"arn:{partition}:iam::111122223333:root""#));
            contains(&setup.permission_policy, &format!(r#""Resource":"arn:{partition}:s3:::acme-audit/audit/*""#));
            contains(&setup.kms_policy, &format!(r#""kms:ViaService":"s3.*.{suffix}""#));
            assert_eq!(
                setup.quick_create_url.unwrap(),
                format!(
                    "https://{console}/cloudformation/home?region={region}#/stacks/quickcreate?{template}\
                     &stackName=annals-d00000000001&param_BucketName=acme-audit&param_Prefix=audit%2F\
                     &param_RoleName=annals&param_RolePath=%2Fx%2F&param_ServiceAccountId=111122223333\
                     &param_ExternalId=annals-0123456789abcdefABCDEF0123456789"
                )
            );
        }
    }

    #[test]
    fn the_buckets_own_region_counts_where_it_is_known() {
        let role = "arn:aws:iam::444455556666:role/annals";
        assert_eq!(setup(role, "", Some("ap-southeast-2")).values.region, "ap-southeast-2");
        assert_eq!(setup(role, "", None).values.region, "eu-central-1", "where Annals runs");
    }

    #[test]
    fn without_a_published_template_there_is_no_link() {
        let destination = destination("arn:aws:iam::444455556666:role/annals", "", None);
        let setup = Setup::of(&service(None), &organisation(), &destination);
        assert_eq!(setup.quick_create_url, None);
        assert!(setup.template.contains("AWS::IAM::Role"));
    }

    #[test]
    fn the_template_has_its_values_as_defaults_and_is_otherwise_the_source() {
        let setup = setup("arn:aws:iam::444455556666:role/security/annals", "audit", None);
        let defaults = |text: &str| -> Vec<String> {
            text.lines().filter(|line| line.starts_with("    Default:")).map(|line| line.trim().to_owned()).collect()
        };
        insta::assert_snapshot!(defaults(&setup.template).join("\n"), @r#"
        Default: "acme-audit"
        Default: "true"
        Default: "audit/"
        Default: ""
        Default: "true"
        Default: ""
        Default: 365
        Default: "annals"
        Default: "/security/"
        Default: "111122223333"
        Default: "annals-0123456789abcdefABCDEF0123456789"
        "#);
        let without = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.starts_with("    Default:")).map(str::to_owned).collect()
        };
        assert_eq!(without(&setup.template), without(TEMPLATE));
    }

    #[test]
    fn the_script_has_its_values_and_is_otherwise_the_source() {
        let setup = setup("arn:aws:iam::444455556666:role/security/annals", "audit", None);
        let changed: Vec<&str> =
            setup.script.lines().zip(SCRIPT.lines()).filter(|(a, b)| a != b).map(|(line, _)| line).collect();
        insta::assert_snapshot!(changed.join("\n"), @r"
        BUCKET='acme-audit'
        REGION='eu-central-1'
        PREFIX='audit/'
        ROLE_NAME='annals'
        ROLE_PATH='/security/'
        ACCOUNT_ID='444455556666'
        SERVICE_ACCOUNT_ID='111122223333'
        EXTERNAL_ID='annals-0123456789abcdefABCDEF0123456789'
        ");
        assert_eq!(setup.script.lines().count(), SCRIPT.lines().count());
    }

    #[test]
    fn the_variables_of_the_module_are_filled_in() {
        let setup = setup("arn:aws:iam::444455556666:role/security/annals", "audit", None);
        let names: Vec<&str> = setup.terraform.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["main.tf", "variables.tf", "outputs.tf", "terraform.tfvars"]);
        insta::assert_snapshot!(setup.terraform[3].1, @r#"
        bucket             = "acme-audit"
        prefix             = "audit/"
        role_name          = "annals"
        role_path          = "/security/"
        service_account_id = "111122223333"
        external_id        = "annals-0123456789abcdefABCDEF0123456789"
        "#);
    }

    #[test]
    fn what_a_value_holds_is_quoted_as_each_language_wants_it() {
        for (text, shell, yaml, hcl, query) in [
            ("", "''", r#""""#, r#""""#, ""),
            ("it's", r"'it'\''s'", r#""it's""#, r#""it's""#, "it%27s"),
            ("$(x) `y` $z", "'$(x) `y` $z'", r#""$(x) `y` $z""#, r#""$(x) `y` $z""#, "%24%28x%29%20%60y%60%20%24z"),
            (r#"a"b\c"#, r#"'a"b\c'"#, r#""a\"b\\c""#, r#""a\"b\\c""#, "a%22b%5Cc"),
            ("${a}", "'${a}'", r#""${a}""#, r#""\u0024{a}""#, "%24%7Ba%7D"),
            ("$${a}", "'$${a}'", r#""$${a}""#, r#""$\u0024{a}""#, "%24%24%7Ba%7D"),
            ("%{if}", "'%{if}'", r#""%{if}""#, r#""\u0025{if}""#, "%25%7Bif%7D"),
            ("a\nb", "'a\nb'", r#""a\u000ab""#, r#""a\u000ab""#, "a%0Ab"),
            ("\u{2028}", "'\u{2028}'", r#""\u2028""#, r#""\u2028""#, "%E2%80%A8"),
            ("\u{1f512}", "'\u{1f512}'", r#""\U0001f512""#, r#""\U0001f512""#, "%F0%9F%94%92"),
            ("a&b=c#d", "'a&b=c#d'", r#""a&b=c#d""#, r#""a&b=c#d""#, "a%26b%3Dc%23d"),
        ] {
            assert_eq!(quote_shell(text), shell);
            assert_eq!(quote_yaml(text), yaml);
            assert_eq!(quote_hcl(text), hcl);
            assert_eq!(encode_query(text), query);
        }
    }
}
