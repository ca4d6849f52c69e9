//! The form for a new destination, with the steps that follow.

use annals_core::{
    administration::{AdministrationError, DestinationInput},
    change::Conflict,
    organisation::{Organisation, Plan},
    service::ServiceSettings,
};
use annals_http::ADMINISTRATORS;
use serde_json::Value;

use super::{
    page::{self, Done},
    redirect,
};
use crate::prelude::*;

/// `POST /console/destinations`
pub(super) async fn create(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(ADMINISTRATORS).await?;
    let service = &request.call.services.service;
    let mut form = fields(service).filled_from(&request.form);
    match DestinationInput::parse(body(&form).to_string().as_bytes(), service) {
        Err(faults) => form = form.with_faults(&faults),
        Ok(input) => {
            let administration = &request.call.services.administration;
            match administration.create_destination(&organisation, input, &request.call.actor()).await {
                Ok(destination) => return Ok(redirect(&request, Done::Saved, &destination.id)),
                Err(AdministrationError::Conflict(conflict)) => add_conflict(conflict, &mut form)?,
                Err(error) => return Err(Problem::from(error).into()),
            }
        }
    }
    let mut page = page::read(&request, &organisation, None).await?;
    match &mut page.new {
        NewDestination::Allowed(new) => new.form = form,
        // Another administrator was faster: the page shows what they saved.
        NewDestination::LimitReached => page.error = Some(LIMIT_REACHED),
        NewDestination::NotInPlan { .. } => {}
    }
    Ok(ui::invalid_form(page.render(&Shell::of(&request, &organisation, Section::Destinations))))
}

const LIMIT_REACHED: &str =
    "Nothing was saved, because your plan allows no more destinations. Delete the existing destination first.";

#[must_use]
pub fn fields(service: &ServiceSettings) -> Fields {
    let must_match = match service.roles.as_str() {
        "*" => String::new(),
        pattern => format!(" The role's name must match {pattern}."),
    };
    Fields::new(vec![
        Field::new("bucket", "Bucket name", Control::Text)
            .required()
            .hint("Only the name, such as my-company-audit-events. The bucket can be created later."),
        Field::new("roleArn", "Role ARN", Control::Text).required().hint(format!(
            "For example arn:{}:iam::123456789012:role/{}-put-audit-events, with your 12-digit AWS account ID. The role \
             can be created later.{must_match}",
            service.partition(),
            service.brand.slug()
        )),
    ])
}

fn body(form: &Fields) -> Value {
    form.non_empty(&["bucket", "roleArn"])
}

fn add_conflict(conflict: Conflict, form: &mut Fields) -> Result<(), Refusal> {
    match conflict {
        Conflict::Limit => form.faults.push(LIMIT_REACHED.to_owned()),
        other => return Err(Problem::from(AdministrationError::Conflict(other)).into()),
    }
    Ok(())
}

/// Whether the organisation may add a destination.
#[derive(Debug, Clone, PartialEq)]
pub enum NewDestination {
    NotInPlan { plan: &'static str },
    LimitReached,
    Allowed(NewDestinationForm),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDestinationForm {
    pub form: Fields,
    /// The AWS account that the role has to trust.
    pub service_account: String,
    pub external_id: String,
}

impl NewDestination {
    /// `count` is the number of destinations that the organisation has.
    #[must_use]
    pub fn of(organisation: &Organisation, count: usize, service: &ServiceSettings) -> Self {
        match organisation.plan.destinations() {
            0 => Self::NotInPlan { plan: plan_label(organisation.plan) },
            limit if count >= limit => Self::LimitReached,
            _ => Self::Allowed(NewDestinationForm {
                form: fields(service),
                service_account: service.account.to_string(),
                external_id: organisation.external_id.clone(),
            }),
        }
    }

    pub(super) fn render(&self, shell: &Shell) -> Markup {
        match self {
            Self::NotInPlan { plan } => not_in_plan(plan, shell),
            Self::LimitReached => html! {},
            Self::Allowed(new) => new.render(shell),
        }
    }
}

fn plan_label(plan: Plan) -> &'static str {
    match plan {
        Plan::Free => "Free",
        Plan::Team => "Team",
        Plan::Enterprise => "Enterprise",
        Plan::EnterpriseTrial => "Enterprise Trial",
    }
}

fn not_in_plan(plan: &str, shell: &Shell) -> Markup {
    html! {
        section .card aria-labelledby="not-in-plan" {
            h2 #not-in-plan { "Your plan does not include delivery" }
            p {
                "Delivery to your own bucket is part of the Enterprise and Enterprise Trial plans. Your organisation has the "
                (plan) " plan. The person who manages your subscription can change the plan in the product that you came "
                "from."
            }
            p {
                "Your events are still recorded. Read them in the "
                a href=(shell.href(Section::Events.path())) { "event viewer" } ", or collect them through the API."
            }
        }
    }
}

impl NewDestinationForm {
    fn render(&self, shell: &Shell) -> Markup {
        html! {
            section .card .new aria-labelledby="new-heading" {
                h2 #new-heading { "Add a destination" }
                p {
                    "A destination is an S3 bucket in your AWS account, and an IAM role in the same account. The role only "
                    "allows us to put objects into the bucket. The first delivery contains the events of the last seven "
                    "days."
                }
                ol .steps {
                    li {
                        h3 { "Choose a bucket and a role, and save them" }
                        form .fields method="post" action=(shell.href(Section::Destinations.path())) {
                            (shell.form_token())
                            (self.form.render("new"))
                            div .row { button .primary type="submit" { "Save" } }
                        }
                    }
                    li {
                        h3 { "Set them up in AWS" }
                        p {
                            "After you save, this page shows a CloudFormation template, a Terraform module, a script, and the "
                            "two policies, all with your values filled in. If you want to create the role first, it must "
                            "trust this account, with this external ID."
                        }
                        dl .facts {
                            div { dt { "Our AWS account" } dd { code { (self.service_account) } } }
                            div { dt { "External ID" } dd { code { (self.external_id) } } }
                        }
                    }
                    li {
                        h3 { "Test" }
                        p {
                            "The Test button writes a small object, in the same way as a delivery. It turns green if the test "
                            "passes. If the test fails, the page shows which step failed, why, and what to change."
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::every_page::Sample> {
    use super::{fixtures, page::Page};

    let empty = |plan| {
        let new = NewDestination::of(&fixtures::organisation(plan), 0, &fixtures::service(true));
        Page { new, ..Page::of_cards(Vec::new()) }
    };
    let mut invalid = empty(Plan::Enterprise);
    if let NewDestination::Allowed(new) = &mut invalid.new {
        for field in &mut new.form.fields {
            *field = field.clone().value(fixtures::HOSTILE);
        }
        new.form.add_fault("bucket", fixtures::HOSTILE);
        new.form.add_fault("roleArn", "is used by another organisation");
        new.form.faults.push(fixtures::HOSTILE.to_owned());
    }
    let card = fixtures::card(&fixtures::destination(), None, 0, true);
    let limit_reached = Page { error: Some(LIMIT_REACHED), ..Page::of_cards(vec![card]) };
    let shell = Shell::sample(Section::Destinations);
    [
        ("destinations: not in the plan", empty(Plan::Free)),
        ("destinations: none yet", empty(Plan::EnterpriseTrial)),
        ("destinations: deleted", Page { done: Some(Done::Deleted), ..empty(Plan::Enterprise) }),
        ("destinations: an invalid new one", invalid),
        ("destinations: limit reached", limit_reached),
    ]
    .map(|(name, page)| (name, page.render(&shell)))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destinations::fixtures;

    #[test]
    fn every_fault_of_a_new_destination_is_at_its_field() {
        let service = fixtures::service(true);
        let invalid = |bucket: &str, role_arn: &str| {
            let form = fields(&service).with_values(&[("bucket", bucket), ("roleArn", role_arn)]);
            let input = DestinationInput::parse(body(&form).to_string().as_bytes(), &service);
            input.map_or_else(|faults| form.with_faults(&faults).invalid_names(), |_| Vec::new())
        };
        assert_eq!(invalid("acme-audit", "arn:aws:iam::123456789012:role/x"), [""; 0]);
        for (bucket, role_arn) in [("", ""), ("s3://x", "arn:aws:iam::1:role/x"), ("\"\u{202e}<", "\\"), ("", "x")] {
            assert_eq!(invalid(bucket, role_arn), ["bucket", "roleArn"]);
        }
        for role_arn in ["arn:aws-cn:iam::123456789012:role/x", "arn:aws:iam::111122223333:role/of-the-service"] {
            assert_eq!(invalid("acme-audit", role_arn), ["roleArn"]);
        }
    }

    #[test]
    fn every_expected_conflict_is_shown_in_the_form() {
        let mut form = fields(&fixtures::service(true));
        add_conflict(Conflict::Limit, &mut form).expect("the form shows it");
        assert!(form.is_invalid());
        assert!(add_conflict(Conflict::Changed, &mut fields(&fixtures::service(true))).is_err());
    }
}
