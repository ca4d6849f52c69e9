use annals_core::{proof::key::PublishedKey, time::Timestamp};
use annals_http::{prelude::*, schema::Moment};

pub(super) struct GetKeys;

impl Endpoint<Services> for GetKeys {
    const ID: &'static str = "getKeys";
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/keys";
    type Access = Anyone;

    fn documentation() -> Documentation {
        Documentation::new(Tag::Service, "Get the keys that verify checkpoints")
            .description(
                "The newest key comes first and is the current one. Save this response where nobody who could change the \
                 log can change it: whoever verifies a log must have the key from a source that they trust.",
            )
            .response::<Keys>(200, "The keys; none if this deployment does not sign checkpoints.")
            .problems(&[kind::SIGNING_UNAVAILABLE, kind::UNAVAILABLE, kind::OPERATOR_REQUIRED, kind::INTERNAL])
    }

    async fn handle(services: Services, (): ()) -> Result<Response, Problem> {
        let keys = match &services.checkpoints {
            Some(checkpoints) => checkpoints.signing().keys().await?,
            None => &[],
        };
        let until = keys.iter().skip(1).map(|next| Some(next.since)).chain([None]);
        let mut keys: Vec<Key<'_>> = keys.iter().zip(until).map(|(key, until)| Key::of(key, until)).collect();
        keys.reverse();
        Ok(response::json(StatusCode::OK, &Keys { keys }))
    }
}

/// The keys that sign, or signed, the checkpoints of this deployment.
#[derive(Debug, Serialize, JsonSchema)]
struct Keys<'a> {
    keys: Vec<Key<'a>>,
}

/// A key that signs checkpoints.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "VerifierKey")]
struct Key<'a> {
    /// The Ed25519 public key as a C2SP verifier key (<https://c2sp.org/signed-note>): `NAME+ID+KEY`.
    verifier_key: &'a str,
    /// When it began to sign.
    #[schemars(with = "Moment")]
    since: Timestamp,
    /// When the next key began to sign; null: this key signs.
    #[schemars(with = "Option<Moment>")]
    until: Option<Timestamp>,
}

impl<'a> Key<'a> {
    fn of(published: &'a PublishedKey, until: Option<Timestamp>) -> Self {
        Self { verifier_key: published.key.as_str(), since: published.since, until }
    }
}
