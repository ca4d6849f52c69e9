//! What to set up in AWS for a destination: the policies, and three ways to make everything, filled in.

use annals_core::delivery::setup::Setup;
use maud::{Markup, html};

use super::advice::pretty;
use crate::ui;

/// What to set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupView {
    /// The account of the role.
    pub account: String,
    /// Whom the role trusts.
    pub service_account: String,
    /// What is sent whenever it is assumed.
    pub external_id: String,
    /// The role's permissions.
    pub permission_policy: String,
    /// Whom it trusts.
    pub trust_policy: String,
    /// What it needs beside, for a KMS key, and when.
    pub kms: (String, String),
    /// The link that makes everything, where there is one.
    pub link: Option<String>,
    /// The CloudFormation template, what deploys it, and how.
    pub cloud_formation: (String, String, &'static str),
    /// The Terraform module's files, by name.
    pub terraform: Vec<(&'static str, String)>,
    /// The script for the AWS CLI.
    pub script: String,
    /// Whether it has still to be done, as far as we know.
    pub is_due: bool,
}

impl SetupView {
    /// What `setup` says.
    #[must_use]
    pub fn of(setup: &Setup, is_due: bool) -> Self {
        Self {
            account: setup.values.account.clone(),
            service_account: setup.values.service_account.clone(),
            external_id: setup.values.external_id.clone(),
            permission_policy: pretty(&setup.permission_policy),
            trust_policy: pretty(&setup.trust_policy),
            kms: (pretty(&setup.kms_policy), Setup::kms_note()),
            link: setup.quick_create_url.clone(),
            cloud_formation: (setup.template.clone(), setup.cloud_formation_command(), setup.cloud_formation_note()),
            terraform: setup.terraform.clone(),
            script: setup.script.clone(),
            is_due,
        }
    }

    /// As HTML, in a section whose ids begin with `id`.
    #[must_use]
    pub fn render(&self, id: &str) -> Markup {
        let heading = format!("{id}-heading");
        html! {
            section #(id) .card aria-labelledby=(heading) {
                h2 #(heading) { "Set up the bucket and the role in AWS" }
                p {
                    "Do one of these in account " code { (self.account) } ", then come back and press Test. "
                    "Everything is filled in: the role trusts our account " code { (self.service_account) }
                    " with your external ID " code .break { (self.external_id) } "."
                }
                div .ways {
                    details name=(id) open[self.is_due] {
                        summary { h3 { "CloudFormation" } span .hint { "makes bucket, role and policies" } }
                        div .stack { (self.cloud_formation()) }
                    }
                    details name=(id) {
                        summary { h3 { "Policies" } span .hint { "to paste in the IAM console" } }
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
                }
            }
        }
    }

    fn cloud_formation(&self) -> Markup {
        let (template, command, note) = &self.cloud_formation;
        let by_hand = html! {
            (ui::copyable("Command", command))
            (ui::copyable("destination.yaml", template))
        };
        html! {
            @if let Some(link) = &self.link {
                p {
                    a .button .primary href=(link) target="_blank" rel="noopener" {
                        "Create the stack" span .visually-hidden { " in the AWS console, which opens in a new tab" }
                        span aria-hidden="true" { "↗" }
                    }
                }
                p { (note) }
                details {
                    summary { "Without the link" }
                    div .stack {
                        p {
                            "Save the template as destination.yaml and run the command, or upload it in CloudFormation's "
                            "console."
                        }
                        (by_hand)
                    }
                }
            } @else {
                p { (note) }
                (by_hand)
            }
        }
    }

    fn policies(&self) -> Markup {
        let (kms_policy, kms_note) = &self.kms;
        html! {
            p { "The role needs two policies: one says what it may do, the other who may use it." }
            (ui::copyable("Permission policy", &self.permission_policy))
            (ui::copyable("Trust policy", &self.trust_policy))
            p .hint { (Setup::TRUST_POLICY_NOTE) }
            (ui::copyable("Permission policy for a KMS key", kms_policy))
            p .hint { (kms_note) }
        }
    }
}
