//! The page "How to check this yourself": what a checkpoint proves, and the commands that check it, with the organisation's own
//! values.

use annals_core::destination::{Delivery, Destination};
use annals_http::READERS;
use futures_util::future::try_join_all;

use crate::prelude::*;

pub(crate) const PATH: &str = "/console/events/check";

/// `GET /console/events/check`
pub(super) async fn show(request: ConsoleRequest) -> Result<Response, Refusal> {
    let organisation = request.organisation(READERS).await?;
    let administration = &request.call.services.administration;
    let destinations = administration.destinations(&organisation.id).await.map_err(Problem::from)?;
    let newest = destinations.iter().map(|destination| administration.deliveries(destination, 1));
    let newest = try_join_all(newest).await.map_err(Problem::from)?;
    let page = Check {
        organisation: organisation.id.to_string(),
        root_url: request.call.root_url(),
        buckets: destinations.iter().zip(&newest).map(|(one, newest)| Bucket::of(one, newest.first())).collect(),
    };
    Ok(ui::page(page.render(&Shell::of(&request, &organisation, Section::Events))))
}

/// The commands for one organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    /// The id.
    organisation: String,
    /// The API's address.
    root_url: String,
    buckets: Vec<Bucket>,
}

/// The bucket of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bucket {
    name: String,
    /// Empty, or ends with a slash.
    prefix: String,
    /// The key and the SHA-256 of the newest object, if it is known.
    newest: Option<(String, String)>,
    /// Whether a checkpoint was put into it.
    is_signed: bool,
}

impl Bucket {
    fn of(destination: &Destination, newest: Option<&Delivery>) -> Self {
        let object =
            newest.and_then(|delivery| Some((delivery.key.clone(), delivery.content.as_ref()?.sha256.clone())));
        Self {
            name: destination.bucket.to_string(),
            prefix: destination.settings.prefix.as_str().to_owned(),
            newest: object,
            is_signed: destination.checkpoints.last.is_some(),
        }
    }

    fn url(&self) -> String {
        quoted(&format!("s3://{}/{}", self.name, self.prefix))
    }
}

/// Returns `text` as one word of the shell (POSIX Shell Command Language, 2.2.2 "Single-Quotes").
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

impl Check {
    fn render(&self, shell: &Shell) -> Markup {
        let content = html! {
            h1 { "How to check this yourself" }
            p .lead { "You need not trust us, nor anybody who can write to your bucket, to know that no event is missing or altered." }
            section .card aria-labelledby="proof" {
                h2 #proof { "What a checkpoint proves" }
                p {
                    "Each event contains a sequence number without gaps, and the SHA-256 of the line before it. So the hash of one line \
                     stands for all lines up to it."
                }
                p {
                    "After each delivery, and at least once a day, we put a checkpoint below " code { "annals-checkpoints/" } " into your \
                     bucket. It says where the log ended, the hash of the last line, which objects were delivered with the SHA-256 of \
                     each, and which checkpoint came before. It is signed with a key that never leaves AWS KMS."
                }
                p {
                    "Whoever has the objects, the checkpoints and the public key can check all of this without us: events up to the \
                     checkpoint are complete and unaltered. We cannot take back what we have signed and you have stored. Events after \
                     the newest checkpoint follow one another, and are not yet confirmed."
                }
                @if !self.buckets.is_empty() && !self.buckets.iter().any(|bucket| bucket.is_signed) {
                    p {
                        "There is no checkpoint yet. If there is still none a day after the first delivery, this service signs none: \
                         ask us. Without checkpoints, the events follow one another, and nothing proves where they end."
                    }
                }
            }
            section .card aria-labelledby="key" {
                h2 #key { "1. Save the public key" }
                p { "Do this once. Keep the file where nobody can change it who can write to the bucket." }
                (ui::copyable("Public key", &format!("curl -sS {} > audit-keys.json", quoted(&format!("{}/keys", self.root_url)))))
            }
            section .card aria-labelledby="bucket" {
                h2 #bucket { "2. Check the bucket" }
                @if self.buckets.is_empty() {
                    p { "There is no destination yet. Checkpoints are put into the bucket of a destination, so save one first." }
                } @else {
                    p {
                        "The program " code { "annals-verify" } " reads the bucket and reports what is proven, from which event to which, \
                         and where something is missing or altered. It needs the permissions " code { "s3:ListBucket" } " and "
                        code { "s3:GetObject" } ", and no access to us."
                        @match &shell.brand.support {
                            Some(support) => { " " a href=(support.as_str()) target="_top" { "Ask us" } " for it." },
                            None => { " Ask us for it." },
                        }
                    }
                }
                @for bucket in &self.buckets {
                    (ui::copyable(
                        &format!("Check {}", bucket.name),
                        &format!("annals-verify {} --key audit-keys.json --organisation {}", bucket.url(), quoted(&self.organisation)),
                    ))
                    (ui::copyable(
                        &format!("Check a copy of {}", bucket.name),
                        &format!(
                            "aws s3 sync {} audit-events\nannals-verify audit-events --key audit-keys.json --organisation {}",
                            bucket.url(),
                            quoted(&self.organisation),
                        ),
                    ))
                }
                @if !self.buckets.is_empty() {
                    div .stack {
                        p { "The exit status says the result for scripts:" }
                        p { b { "0" } " is proven: no event is missing, and none was altered." }
                        p { b { "1" } " is not proven: something is wrong. The report says what and where." }
                        p { b { "2" } " could not be checked, for example because access was denied." }
                        p { b { "3" } " is consistent, but nothing that is signed confirms some of the events." }
                    }
                }
            }
            @if self.buckets.iter().any(|bucket| bucket.newest.is_some()) {
                section .card aria-labelledby="object" {
                    h2 #object { "3. Check one object with what you have" }
                    p { "The hash that we recorded for the newest object must be the one that this command prints." }
                    @for bucket in &self.buckets {
                        @if let Some((key, sha256)) = &bucket.newest {
                            (ui::copyable(
                                &format!("Newest object in {}", bucket.name),
                                &format!("aws s3 cp {} - | sha256sum", quoted(&format!("s3://{}/{key}", bucket.name))),
                            ))
                            p { "Recorded: " code .break { (sha256) } }
                        }
                    }
                }
            }
        };
        shell.page("How to check this yourself", &content)
    }
}

#[cfg(test)]
pub(super) fn samples() -> Vec<crate::every_page::Sample> {
    let shell = Shell::sample(Section::Events);
    let bucket = |number: usize, newest: Option<(String, String)>| Bucket {
        name: format!("{number}{}", "b".repeat(62)),
        prefix: format!("{}/", "it's".repeat(50)),
        is_signed: newest.is_some(),
        newest,
    };
    let newest = Some(("2026-11/22/2026-11-22T10-10-00-000Z-k3x9a0bq.json".to_owned(), "0f".repeat(32)));
    let check =
        |buckets| Check { organisation: "acme".into(), root_url: "https://audit.example.com/prod".into(), buckets };
    vec![
        ("check: no destination", check(Vec::new()).render(&shell)),
        ("check: nothing delivered", check(vec![bucket(0, None)]).render(&shell)),
        (
            "check: many destinations",
            check((0..10).map(|number| bucket(number, newest.clone())).collect()).render(&shell),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_what_belongs_to_the_organisation_and_quote_it() {
        let bucket = Bucket {
            name: "acme-audit".into(),
            prefix: "it's/".into(),
            newest: Some(("it's/x.json".into(), "ab".into())),
            is_signed: true,
        };
        let page =
            Check { organisation: "acme".into(), root_url: "https://audit.example.com".into(), buckets: vec![bucket] };
        let html = page.render(&Shell::sample(Section::Events)).into_string();
        for command in [
            "curl -sS 'https://audit.example.com/keys' &gt; audit-keys.json",
            r"annals-verify 's3://acme-audit/it'\''s/' --key audit-keys.json --organisation 'acme'",
            r"aws s3 sync 's3://acme-audit/it'\''s/' audit-events",
            r"aws s3 cp 's3://acme-audit/it'\''s/x.json' - | sha256sum",
        ] {
            assert!(html.contains(command), "{command} in {html}");
        }
    }
}
