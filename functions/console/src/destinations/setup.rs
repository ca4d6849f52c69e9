//! What to set up in AWS for a destination: the two policies, a CloudFormation template, a script and a Terraform module.

use annals_core::delivery::setup::Setup;

use crate::prelude::*;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupView {
    /// The customer's AWS account, which contains bucket and role.
    pub account: String,
    /// The AWS account that the role trusts.
    pub service_account: String,
    pub external_id: String,
    pub permission_policy: String,
    pub trust_policy: String,
    pub bucket_policy: String,
    /// The permission policy for a KMS key, and when it is needed.
    pub kms: (String, String),
    /// What to mind while a change is pending.
    pub change_note: Option<&'static str>,
    /// The address that opens CloudFormation with the template, if the deployment publishes it.
    pub link: Option<String>,
    /// The CloudFormation template, the command that deploys it, and a note.
    pub cloud_formation: (String, String, &'static str),
    /// The names and contents of the Terraform module's files.
    pub terraform: Vec<(&'static str, String)>,
    /// The script for the AWS CLI.
    pub script: String,
    /// The names and texts of statements that query what is delivered. Empty unless delivery works.
    pub queries: Vec<(&'static str, String)>,
    /// Whether neither a delivery nor a test has succeeded yet.
    pub is_due: bool,
}

impl SetupView {
    #[must_use]
    pub fn of(setup: &Setup, is_due: bool) -> Self {
        Self {
            account: setup.values.account.clone(),
            service_account: setup.values.service_account.clone(),
            external_id: setup.values.external_id.clone(),
            permission_policy: setup.permission_policy.pretty(),
            trust_policy: setup.trust_policy.pretty(),
            bucket_policy: setup.bucket_policy.pretty(),
            kms: (setup.kms_policy.pretty(), Setup::kms_note()),
            change_note: setup.change_note,
            link: setup.quick_create_url.clone(),
            cloud_formation: (setup.template.clone(), setup.cloud_formation_command(), setup.cloud_formation_note()),
            terraform: setup.terraform.clone(),
            script: setup.script.clone(),
            queries: setup.queries.iter().map(|query| (query.name, query.statement.clone())).collect(),
            is_due,
        }
    }

    /// Writes a section with the element id `id`.
    #[must_use]
    pub fn render(&self, id: &str) -> Markup {
        let heading = format!("{id}-heading");
        html! {
            section #(id) .card aria-labelledby=(heading) {
                h2 #(heading) { "Set up the bucket and the role in AWS" }
                p {
                    "Choose one of these ways in your account " code { (self.account) } ", then come back and press Test. "
                    "Your values are filled in: the role trusts our account " code { (self.service_account) }
                    " with your external ID " code .break { (self.external_id) } "."
                }
                @if let Some(note) = self.change_note { p { (note) } }
                div .ways {
                    details name=(id) open[self.is_due] {
                        summary { h3 { "CloudFormation" } span .hint { "creates bucket, role and policies" } }
                        div .stack { (self.cloud_formation()) }
                    }
                    details name=(id) {
                        summary { h3 { "Policies" } span .hint { "to paste into the IAM console" } }
                        div .stack { (self.policies()) }
                    }
                    details name=(id) {
                        summary { h3 { "AWS CLI" } span .hint { "one script" } }
                        div .stack {
                            p { (Setup::SCRIPT_NOTE) }
                            (ui::copyable("setup.sh", &self.script))
                        }
                    }
                    details name=(id) {
                        summary { h3 { "Terraform" } span .hint { "a module and its variables" } }
                        div .stack {
                            p { (Setup::TERRAFORM_NOTE) }
                            @for (name, content) in &self.terraform {
                                (ui::copyable(name, content))
                            }
                        }
                    }
                    @if !self.queries.is_empty() {
                        details name=(id) {
                            summary { h3 { "Query it" } span .hint { "what is delivered, with Athena or DuckDB" } }
                            div .stack {
                                p { (Setup::QUERY_NOTE) }
                                @for (name, statement) in &self.queries {
                                    (ui::copyable(name, statement))
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn cloud_formation(&self) -> Markup {
        let (template, command, note) = &self.cloud_formation;
        let manual = html! {
            (ui::copyable("Command", command))
            (ui::copyable("destination.yaml", template))
        };
        html! {
            @if let Some(link) = &self.link {
                p {
                    a .button .primary href=(link) target="_blank" rel="noopener" {
                        "Create the stack" span .visually-hidden { " in the AWS console (opens in a new tab)" }
                        span aria-hidden="true" { "↗" }
                    }
                }
                p { (note) }
                details {
                    summary { "Without the link" }
                    div .stack {
                        p {
                            "Save the template as destination.yaml and run the command, or upload the template in the "
                            "CloudFormation console."
                        }
                        (manual)
                    }
                }
            } @else {
                p { (note) }
                (manual)
            }
        }
    }

    fn policies(&self) -> Markup {
        let (kms_policy, kms_note) = &self.kms;
        html! {
            p { "The role needs two policies: the permission policy says what it may do, the trust policy who may assume it." }
            (ui::copyable("Permission policy", &self.permission_policy))
            (ui::copyable("Trust policy", &self.trust_policy))
            p .hint { (Setup::TRUST_POLICY_NOTE) }
            (ui::copyable("Bucket policy", &self.bucket_policy))
            p .hint { (Setup::BUCKET_POLICY_NOTE) }
            (ui::copyable("Permission policy for a KMS key", kms_policy))
            p .hint { (kms_note) }
        }
    }
}
