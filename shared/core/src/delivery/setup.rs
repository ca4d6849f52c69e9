//! What a customer sets up in its own account for a destination: the role's two policies, and three ways to make them
//! (CloudFormation, Terraform, the AWS CLI), filled in for one destination. Owns filling in; the texts are the files in
//! `infra/customer`, which can be used as they are, too, and no policy is written down here a second time.
//!
//! What is filled in was chosen by people, so each value is quoted as the language that it is pasted into wants it,
//! even where the type of the value already leaves nothing to quote.

use std::{fmt::Write as _, str::FromStr};

use serde_json::Value;

use crate::{
    destination::{Destination, Region},
    organisation::Organisation,
    service::ServiceSettings,
};

const TEMPLATE: &str = include_str!("../../../../infra/customer/destination.yaml");
const SCRIPT: &str = include_str!("../../../../infra/customer/setup.sh");
const MODULE: [(&str, &str); 3] = [
    ("main.tf", include_str!("../../../../infra/customer/terraform/main.tf")),
    ("variables.tf", include_str!("../../../../infra/customer/terraform/variables.tf")),
    ("outputs.tf", include_str!("../../../../infra/customer/terraform/outputs.tf")),
];

/// Where a copy of `infra/customer/destination.yaml` can be read by CloudFormation: an `https` URL of an object in S3, at
/// most 1,024 characters (CreateStack, `TemplateURL`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateUrl(String);

impl FromStr for TemplateUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = text.len() <= 1024
            && text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty())
            && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        if fits { Ok(Self(text.to_owned())) } else { Err("must be an https URL, at most 1024 characters") }
    }
}

/// What is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    /// The role's partition.
    pub partition: String,
    /// The account that Annals runs in.
    pub service_account: String,
    /// The role's account.
    pub account: String,
    /// The region that the bucket is in, or is made in.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// What all keys begin with: empty, or ends with a slash.
    pub prefix: String,
    /// The role's name.
    pub role_name: String,
    /// The role's path: begins and ends with a slash.
    pub role_path: String,
    /// What is sent with every AssumeRole.
    pub external_id: String,
    /// The stack's name.
    pub stack: String,
}

impl Values {
    /// The values of a destination.
    #[must_use]
    pub fn of(service: &ServiceSettings, organisation: &Organisation, destination: &Destination) -> Self {
        let role = &destination.role_arn;
        let partition = role.partition();
        let path = role.as_str().split_once(":role").map_or("/", |(_, path)| path);
        let path = path.strip_suffix(role.name()).unwrap_or("/");
        // No region means the one that Annals runs in, which is none of this partition where the two differ.
        let region = destination.settings.region.as_ref().or(service.region.as_ref());
        let region = region.filter(|region| region.partition() == partition);
        let region = region.map_or_else(|| main_region(partition), Region::as_str);
        Self {
            partition: partition.to_owned(),
            service_account: service.account.to_string(),
            account: role.account().to_owned(),
            region: region.to_owned(),
            bucket: destination.bucket.to_string(),
            prefix: destination.settings.prefix.as_str().to_owned(),
            role_name: role.name().to_owned(),
            role_path: path.to_owned(),
            external_id: organisation.external_id.clone(),
            stack: format!("annals-{}", destination.id),
        }
    }
}

/// What a customer sets up, filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// What was filled in.
    pub values: Values,
    /// The role's permissions, an IAM policy document.
    pub permission_policy: Value,
    /// Who may assume the role, an IAM policy document.
    pub trust_policy: Value,
    /// The role's permission to use the KMS key that the bucket encrypts with, where it does. The key is
    /// [`KEY_PLACEHOLDER`], because only the customer knows it.
    pub kms_policy: Value,
    /// The CloudFormation template, its parameters' defaults filled in.
    pub template: String,
    /// The link that opens CloudFormation's console with the template and its parameters; none where the template is
    /// not published.
    pub quick_create_url: Option<String>,
    /// The Terraform module's files and a `terraform.tfvars`, by name.
    pub terraform: Vec<(&'static str, String)>,
    /// The script for the AWS CLI.
    pub script: String,
}

/// What stands for the ARN of the customer's KMS key.
pub const KEY_PLACEHOLDER: &str = "KMS_KEY_ARN";

impl Setup {
    /// The setup of a destination.
    #[must_use]
    pub fn of(service: &ServiceSettings, organisation: &Organisation, destination: &Destination) -> Self {
        Self::fill(Values::of(service, organisation, destination), service.template_url.as_ref())
    }

    /// Fills in `values`.
    #[must_use]
    pub fn fill(values: Values, template_url: Option<&TemplateUrl>) -> Self {
        Self {
            permission_policy: policy("PERMISSION_POLICY", &values),
            trust_policy: policy("TRUST_POLICY", &values),
            kms_policy: policy("KMS_POLICY", &values),
            template: template(&values),
            quick_create_url: template_url.map(|url| quick_create_url(url, &values)),
            terraform: terraform(&values),
            script: script(&values),
            values,
        }
    }

    /// What can be different about the trust policy.
    pub const TRUST_POLICY_NOTE: &str = "A trust policy without the Condition works too. With it, nobody else can have us \
                                         use your role: we send this external ID for you alone.";
    /// How to use the Terraform module.
    pub const TERRAFORM_NOTE: &str = "Save the files in a folder, and run terraform init and terraform apply there. Which \
                                      region the bucket is made in is for your provider's configuration to say, or \
                                      AWS_REGION. Set create_bucket to false where the bucket exists, and import the role \
                                      where it exists.";
    /// How to use the script.
    pub const SCRIPT_NOTE: &str = "Save it as setup.sh and run it with bash, for example in AWS CloudShell. It makes what \
                                   is missing, and mends the trust and the policy of a role that exists; other policies \
                                   of that role stay as they are.";

    /// When the policy for a KMS key is needed, and how to use it.
    #[must_use]
    pub fn kms_note() -> String {
        format!(
            "Only where the bucket encrypts with a KMS key of yours. We do not know the key: put its ARN, not an alias, \
             where the policy says {KEY_PLACEHOLDER}, and attach the policy beside the other; or give the ARN as KmsKeyArn \
             to CloudFormation, kms_key_arn to Terraform, KMS_KEY_ARN in the script. A key of another account must allow \
             the role in its own policy, too."
        )
    }

    /// Why there is no link.
    pub const NO_LINK_NOTE: &str = "There is no link: CloudFormation reads templates from S3 alone, and this deployment has \
                                    not published its own (its parameter CustomerTemplateUrl is empty).";

    /// How to use the CloudFormation template.
    #[must_use]
    pub fn cloud_formation_note(&self) -> &'static str {
        match self.quick_create_url {
            Some(_) => {
                "Open the link, signed in to your account. Choose false for CreateBucket where the bucket exists. A role \
                 that exists under this name must be deleted first: the stack makes it."
            }
            None => {
                "Save the template as destination.yaml and run the command, or upload it in CloudFormation's console. Add \
                 --parameter-overrides CreateBucket=false where the bucket exists. A role that exists under this name must \
                 be deleted first: the stack makes it."
            }
        }
    }

    /// What deploys the CloudFormation template, saved as `destination.yaml`.
    #[must_use]
    pub fn cloud_formation_command(&self) -> String {
        format!(
            "aws cloudformation deploy --template-file destination.yaml --stack-name {} --region {} --capabilities \
             CAPABILITY_NAMED_IAM",
            self.values.stack, self.values.region
        )
    }
}

/// The parameters of the CloudFormation template that have a value.
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

/// The template, in which each parameter's block has its value as `Default`.
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
    filled
}

/// The script, in which the lines that set what is filled in are replaced.
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
    filled
}

/// The module as it is, and the values of its variables.
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
    let mut files: Vec<_> = MODULE.iter().map(|(name, content)| (*name, (*content).to_owned())).collect();
    files.push(("terraform.tfvars", tfvars));
    files
}

/// The policy that the script makes from the here-document `name`, with its variables filled in.
#[expect(clippy::expect_used, reason = "the script is part of the program, and a test reads all its policies")]
fn policy(name: &str, values: &Values) -> Value {
    let document = SCRIPT
        .split_once(&format!("<<{name}\n"))
        .and_then(|(_, rest)| rest.split_once(&format!("\n{name}\n")))
        .and_then(|(document, _)| serde_json::from_str(document).ok());
    let mut document = document.expect("the script has the policy as a here-document");
    fill_strings(&mut document, values);
    document
}

fn fill_strings(value: &mut Value, values: &Values) {
    match value {
        Value::String(text) => *text = fill_variables(text, values),
        Value::Array(elements) => elements.iter_mut().for_each(|element| fill_strings(element, values)),
        Value::Object(members) => members.values_mut().for_each(|member| fill_strings(member, values)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// `text` with each `${NAME}` replaced, once: what a value contains is not looked at again.
fn fill_variables(text: &str, values: &Values) -> String {
    let mut parts = text.split("${");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap_or((part, ""));
        filled.push_str(match name {
            "PARTITION" => &values.partition,
            "SERVICE_ACCOUNT_ID" => &values.service_account,
            "BUCKET" => &values.bucket,
            "PREFIX" => &values.prefix,
            "EXTERNAL_ID" => &values.external_id,
            "DNS_SUFFIX" => dns_suffix(&values.partition),
            name => name,
        });
        filled.push_str(rest);
    }
    filled
}

/// CloudFormation's "quick-create link": the console's page for one stack, with the template and the parameters named.
fn quick_create_url(template: &TemplateUrl, values: &Values) -> String {
    let region = encode_query(&values.region);
    let console = match values.partition.as_str() {
        "aws-cn" => "console.amazonaws.cn",
        "aws-us-gov" => "console.amazonaws-us-gov.com",
        _ => "console.aws.amazon.com",
    };
    let mut url = format!(
        "https://{region}.{console}/cloudformation/home?region={region}#/stacks/quickcreate?templateURL={}&stackName={}",
        encode_query(&template.0),
        encode_query(&values.stack),
    );
    for (name, value) in parameters(values) {
        let _ = write!(url, "&param_{name}={}", encode_query(value));
    }
    url
}

/// The region that a partition's global services are in.
fn main_region(partition: &str) -> &'static str {
    match partition {
        "aws-cn" => "cn-north-1",
        "aws-us-gov" => "us-gov-west-1",
        _ => "us-east-1",
    }
}

/// What the names of a partition's services end in.
fn dns_suffix(partition: &str) -> &'static str {
    match partition {
        "aws-cn" => "amazonaws.com.cn",
        _ => "amazonaws.com",
    }
}

/// A word of the shell that stands for `text`, whatever it holds (POSIX Shell Command Language, 2.2.2 "Single-Quotes").
fn quote_shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A double-quoted YAML scalar that stands for `text` (YAML 1.2, 5.7 "Escaped Characters"). What is not printable ASCII
/// is escaped: parsers of YAML 1.1, such as CloudFormation's, break lines at more characters than others.
fn quote_yaml(text: &str) -> String {
    quote(text, |_, _| false)
}

/// An HCL string that stands for `text` (HCL Native Syntax Specification, "Quoted Template"). What would begin an
/// interpolation or a directive is escaped by its number, which holds whatever stands before it.
fn quote_hcl(text: &str) -> String {
    quote(text, |character, next| matches!(character, '$' | '%') && next == Some('{'))
}

/// A double-quoted string with the escapes that YAML and HCL have in common.
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

/// `text` as a value in a query string (RFC 3986, "Unreserved Characters").
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
    use crate::destination::AccountId;
    use crate::{
        destination::{Progress, Settings},
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
            created_at: Timestamp::EPOCH,
            next_sequence: 1,
            intent: None,
            replay: None,
            progress: Progress::default(),
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
    fn the_policies_are_filled_in() {
        let setup = setup("arn:aws:iam::444455556666:role/security/annals", "audit/annals", None);
        insta::assert_json_snapshot!(setup.permission_policy, @r#"
        {
          "Statement": [
            {
              "Action": "s3:PutObject",
              "Effect": "Allow",
              "Resource": "arn:aws:s3:::acme-audit/audit/annals/*"
            }
          ],
          "Version": "2012-10-17"
        }
        "#);
        insta::assert_json_snapshot!(setup.trust_policy, @r#"
        {
          "Statement": [
            {
              "Action": "sts:AssumeRole",
              "Condition": {
                "StringEquals": {
                  "sts:ExternalId": "annals-0123456789abcdefABCDEF0123456789"
                }
              },
              "Effect": "Allow",
              "Principal": {
                "AWS": "arn:aws:iam::111122223333:root"
              }
            }
          ],
          "Version": "2012-10-17"
        }
        "#);
        insta::assert_json_snapshot!(setup.kms_policy, @r#"
        {
          "Statement": [
            {
              "Action": "kms:GenerateDataKey",
              "Condition": {
                "StringLike": {
                  "kms:ViaService": "s3.*.amazonaws.com"
                }
              },
              "Effect": "Allow",
              "Resource": "KMS_KEY_ARN"
            }
          ],
          "Version": "2012-10-17"
        }
        "#);
        assert_eq!(setup.kms_policy["Statement"][0]["Resource"], KEY_PLACEHOLDER);
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
        ] {
            let setup = setup(&format!("arn:{partition}:iam::444455556666:role/x/annals"), "audit", None);
            let principal = &setup.trust_policy["Statement"][0]["Principal"]["AWS"];
            assert_eq!(*principal, format!("arn:{partition}:iam::111122223333:root"));
            let resource = &setup.permission_policy["Statement"][0]["Resource"];
            assert_eq!(*resource, format!("arn:{partition}:s3:::acme-audit/audit/*"));
            let via = &setup.kms_policy["Statement"][0]["Condition"]["StringLike"]["kms:ViaService"];
            assert_eq!(*via, format!("s3.*.{suffix}"));
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

    #[test]
    fn a_value_that_looks_like_a_variable_is_not_filled_in_again() {
        let mut values = setup("arn:aws:iam::444455556666:role/annals", "", None).values;
        values.prefix = r#"${BUCKET}"},"${EXTERNAL_ID}/"#.into();
        let policy = Setup::fill(values, None).permission_policy;
        assert_eq!(policy["Statement"][0]["Resource"], r#"arn:aws:s3:::acme-audit/${BUCKET}"},"${EXTERNAL_ID}/*"#);
    }

    #[test]
    fn accounts_and_urls_are_checked() {
        assert!("111122223333".parse::<AccountId>().is_ok());
        for bad in ["", "11112222333", "1111222233334", "11112222333a"] {
            assert!(bad.parse::<AccountId>().is_err(), "{bad}");
        }
        assert!("https://b.s3.amazonaws.com/t.yaml".parse::<TemplateUrl>().is_ok());
        for bad in ["", "https://", "http://b.s3.amazonaws.com/t.yaml", "https://b/ t", "s3://b/t"] {
            assert!(bad.parse::<TemplateUrl>().is_err(), "{bad}");
        }
    }
}
