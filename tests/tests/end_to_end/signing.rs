//! The adapter to AWS KMS against the embedded KMS, whose failures are those of AWS.

use annals_aws::kms::KmsSigner;
use annals_cloud::{Cloud, CloudOptions, Key, KeyState};
use annals_core::proof::{
    checkpoint::{Signature, SignedNote, note},
    key::VerifierKey,
    signer::{Signer as _, SignerFault},
};
use serde_json::json;

const TEXT: &str = "annals.example.com/acme\n0\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

struct Fixture {
    cloud: Cloud,
    signer: KmsSigner,
    /// The ARN of the key.
    key: String,
}

impl Fixture {
    async fn start(actions: &[&str]) -> Self {
        let cloud = Cloud::start(CloudOptions::default()).await.unwrap();
        let key = cloud.create_key("alias/checkpoints", [7; 32]).unwrap();
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}],
        });
        let user = cloud.iam().create_user(cloud.account(), "signer", policy).unwrap();
        Self { signer: KmsSigner::new(&cloud.sdk_config(&user)), cloud, key }
    }

    /// The fault of a signature, and what AWS says about it.
    async fn fault(&self, key: &str) -> (SignerFault, String) {
        let error = self.signer.sign(key, TEXT.as_bytes()).await.unwrap_err();
        (error.fault, error.answer.unwrap_or_default())
    }
}

#[tokio::test]
async fn a_key_in_kms_signs_notes_and_signs_the_same_text_alike() {
    let fixture = Fixture::start(&["kms:Sign", "kms:GetPublicKey"]).await;
    let public = fixture.signer.public_key(&fixture.key).await.unwrap();
    let key = VerifierKey::ed25519("annals.example.com".parse().unwrap(), &public);
    let bytes = fixture.signer.sign(&fixture.key, TEXT.as_bytes()).await.unwrap();
    assert_eq!(fixture.signer.sign(&fixture.key, TEXT.as_bytes()).await.unwrap(), bytes);
    let note = note(TEXT, &[Signature { key: key.clone(), bytes }]).unwrap();
    assert_eq!(SignedNote::parse(note.as_bytes()).unwrap().signed_by(&[key]).len(), 1);
}

#[tokio::test]
async fn every_refusal_of_kms_becomes_a_fault_with_the_words_of_aws() {
    let fixture = Fixture::start(&["kms:Sign"]).await;
    let (iam, key) = (fixture.cloud.iam(), fixture.key.clone());
    let denied = fixture.signer.public_key(&key).await.unwrap_err();
    assert_eq!(denied.fault, SignerFault::Denied);
    assert!(denied.answer.unwrap().contains("kms:GetPublicKey"));

    for (state, fault, words) in [
        (KeyState::Disabled, SignerFault::KeyDisabled, "DisabledException"),
        (KeyState::PendingDeletion, SignerFault::KeyUnavailable, "KMSInvalidStateException"),
    ] {
        iam.set_key_state(&key, state).unwrap();
        let (found, answer) = fixture.fault(&key).await;
        assert!(found == fault && answer.contains(words), "{state:?}: {found:?} {answer}");
    }
    iam.set_key_state(&key, KeyState::Enabled).unwrap();

    // The SDK tries twice.
    iam.throttle_key(&key, 1);
    assert!(fixture.signer.sign(&key, TEXT.as_bytes()).await.is_ok());
    iam.throttle_key(&key, 2);
    assert_eq!(fixture.fault(&key).await.0, SignerFault::Throttled);

    // Another account's key, whose policy does not name us.
    let theirs = Key::new("alias/theirs", "777788889999", "us-east-1", [8; 32]);
    let theirs = iam.create_key(theirs).unwrap();
    assert_eq!(fixture.fault(&theirs).await.0, SignerFault::Denied);

    iam.delete_key(&key).unwrap();
    let (found, answer) = fixture.fault(&key).await;
    assert!(found == SignerFault::KeyMissing && answer.contains("NotFoundException"), "{found:?} {answer}");
}

#[tokio::test]
async fn a_kms_that_is_gone_is_unavailable() {
    let fixture = Fixture::start(&["kms:Sign"]).await;
    let Fixture { cloud, signer, key } = fixture;
    cloud.stop().await;
    assert_eq!(signer.sign(&key, TEXT.as_bytes()).await.unwrap_err().fault, SignerFault::Unavailable);
}
