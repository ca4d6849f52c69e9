//! KMS.

use aws_sdk_kms::{
    primitives::Blob,
    types::{KeySpec, KeyUsageType, MessageType, SigningAlgorithmSpec},
};
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};

use super::*;

const ALIAS: &str = "alias/signer";
const SEED: [u8; 32] = [7; 32];

/// Returns a user of `account` that may do everything.
fn signer(cloud: &Cloud, account: &str) -> aws_sdk_kms::Client {
    kms_client(cloud, &cloud.iam().create_user(account, "signer", everything()).unwrap())
}

fn kms_client(cloud: &Cloud, key: &AccessKey) -> aws_sdk_kms::Client {
    aws_sdk_kms::Client::new(&cloud.sdk_config(key))
}

async fn sign(client: &aws_sdk_kms::Client, key: &str, message: &[u8]) -> Result<Vec<u8>, Refused> {
    sign_as(client, key, message, SigningAlgorithmSpec::Ed25519Sha512, MessageType::Raw).await
}

async fn sign_as(
    client: &aws_sdk_kms::Client,
    key: &str,
    message: &[u8],
    algorithm: SigningAlgorithmSpec,
    message_type: MessageType,
) -> Result<Vec<u8>, Refused> {
    let request = client.sign().key_id(key).message(Blob::new(message)).message_type(message_type);
    let signed = request.signing_algorithm(algorithm).send().await.map_err(refused)?;
    Ok(signed.signature.unwrap().into_inner())
}

async fn public_key(client: &aws_sdk_kms::Client, key: &str) -> Result<Vec<u8>, Refused> {
    let answer = client.get_public_key().key_id(key).send().await.map_err(refused)?;
    assert_eq!(answer.key_spec(), Some(&KeySpec::EccNistEdwards25519));
    assert_eq!(answer.key_usage(), Some(&KeyUsageType::SignVerify));
    assert!(answer.signing_algorithms().contains(&SigningAlgorithmSpec::Ed25519Sha512));
    Ok(answer.public_key.unwrap().into_inner())
}

#[tokio::test]
async fn a_signature_verifies_with_the_public_key_and_is_the_same_each_time() {
    let cloud = cloud().await;
    let key = cloud.create_key(ALIAS, SEED).unwrap();
    let client = signer(&cloud, cloud.account());
    let der = public_key(&client, &key).await.unwrap();
    // RFC 8410, section 4: the algorithm's identifier is 1.3.101.112, and the key is a bit string of 32 bytes.
    assert_eq!(hex::encode(&der[..12]), "302a300506032b6570032100");
    let public = VerifyingKey::from_bytes(der[12..].try_into().unwrap()).unwrap();
    assert_eq!(public, SigningKey::from_bytes(&SEED).verifying_key());
    let largest = [b'x'; 4096];
    for message in [&b""[..], b"hello", &largest] {
        let signature = sign(&client, &key, message).await.unwrap();
        public.verify_strict(message, &Signature::from_slice(&signature).unwrap()).unwrap();
        assert_eq!(sign(&client, &key, message).await.unwrap(), signature);
    }
}

#[tokio::test]
async fn a_key_is_found_by_its_arn_its_id_and_its_alias() {
    let cloud = cloud().await;
    let key = cloud.create_key(ALIAS, SEED).unwrap();
    assert_eq!(key, "arn:aws:kms:us-east-1:111122223333:key/fe812c12-f3ab-4ce6-ac5d-b69ac352f906");
    assert_eq!(cloud.create_key(ALIAS, [8; 32]).unwrap(), key, "the alias names the first key");
    let other = cloud.create_key("alias/other", [8; 32]).unwrap();
    assert_ne!(other, key);
    let client = signer(&cloud, cloud.account());
    let signature = sign(&client, &key, b"hello").await.unwrap();
    let id = key.rsplit('/').next().unwrap();
    for name in [id, ALIAS, "arn:aws:kms:us-east-1:111122223333:alias/signer"] {
        assert_eq!(sign(&client, name, b"hello").await.unwrap(), signature, "{name}");
    }
    assert_ne!(sign(&client, &other, b"hello").await.unwrap(), signature);
}

#[tokio::test]
async fn what_kms_would_not_sign_is_refused_with_its_codes() {
    let cloud = cloud().await;
    let key = cloud.create_key(ALIAS, SEED).unwrap();
    let client = signer(&cloud, cloud.account());
    let ed25519 = SigningAlgorithmSpec::Ed25519Sha512;
    assert_refused(
        sign_as(&client, &key, &[0; 64], ed25519.clone(), MessageType::Digest).await,
        400,
        "ValidationException",
        "Message type DIGEST is incompatible with algorithm ED25519_SHA_512.",
    );
    assert_refused(
        sign_as(&client, &key, b"hello", SigningAlgorithmSpec::EcdsaSha256, MessageType::Raw).await,
        400,
        "InvalidKeyUsageException",
        "Algorithm ECDSA_SHA_256 is incompatible with key spec ECC_NIST_EDWARDS25519.",
    );
    for (message, algorithm, message_type) in [
        (&[0; 4097][..], ed25519.clone(), MessageType::Raw),
        (b"hello", "SHA_1".into(), MessageType::Raw),
        (b"hello", ed25519, "TEXT".into()),
        (&[0; 64], SigningAlgorithmSpec::Ed25519PhSha512, MessageType::Digest),
    ] {
        let refusal = sign_as(&client, &key, message, algorithm, message_type).await.unwrap_err();
        assert_eq!((refusal.status, refusal.code.as_str()), (400, "ValidationException"), "{}", refusal.message);
    }
    let dry = client.sign().key_id(&key).message(Blob::new(b"hello")).dry_run(true);
    let dry = dry.signing_algorithm(SigningAlgorithmSpec::Ed25519Sha512).send().await.map_err(refused);
    assert_eq!(dry.unwrap_err().code, "SerializationException", "a parameter that is not supported");
    let described = client.describe_key().key_id(&key).send().await.map_err(refused);
    assert_eq!(described.unwrap_err().code, "UnknownOperationException");
}

#[tokio::test]
async fn a_missing_key_is_not_found() {
    let cloud = cloud().await;
    let key = cloud.create_key(ALIAS, SEED).unwrap();
    let client = signer(&cloud, cloud.account());
    let missing = "arn:aws:kms:us-east-1:111122223333:key/0f8fad5b-d9cb-469f-a165-70867728950e";
    for (name, message) in [
        (missing, format!("Key '{missing}' does not exist")),
        ("0f8fad5b-d9cb-469f-a165-70867728950e", format!("Key '{missing}' does not exist")),
        ("alias/none", "Alias arn:aws:kms:us-east-1:111122223333:alias/none is not found.".to_owned()),
        (&key.replace("us-east-1", "eu-west-1"), "Invalid arn eu-west-1".to_owned()),
        ("arn:aws:iam::111122223333:role/x", "Invalid keyId 'arn:aws:iam::111122223333:role/x'".to_owned()),
    ] {
        assert_refused(sign(&client, name, b"hello").await, 400, "NotFoundException", &message);
        assert_refused(public_key(&client, name).await, 400, "NotFoundException", &message);
    }
    assert!(cloud.iam().delete_key(&key).unwrap());
    assert!(!cloud.iam().delete_key(&key).unwrap());
    assert_eq!(sign(&client, &key, b"hello").await.unwrap_err().code, "NotFoundException");
    assert_eq!(sign(&client, ALIAS, b"hello").await.unwrap_err().code, "NotFoundException");
}

#[tokio::test]
async fn a_key_that_is_disabled_or_about_to_be_deleted_does_not_sign() {
    let cloud = cloud().await;
    let key = cloud.create_key(ALIAS, SEED).unwrap();
    let client = signer(&cloud, cloud.account());
    for (state, code, why) in [
        (KeyState::Disabled, "DisabledException", "is disabled."),
        (KeyState::PendingDeletion, "KMSInvalidStateException", "is pending deletion."),
    ] {
        assert!(cloud.iam().set_key_state(&key, state).unwrap());
        assert_refused(sign(&client, ALIAS, b"hello").await, 400, code, &format!("{key} {why}"));
        assert_refused(public_key(&client, &key).await, 400, code, &format!("{key} {why}"));
    }
    cloud.iam().set_key_state(&key, KeyState::Enabled).unwrap();
    sign(&client, &key, b"hello").await.unwrap();
    assert!(!cloud.iam().set_key_state("arn:aws:kms:us-east-1:111122223333:key/none", KeyState::Disabled).unwrap());
}

#[tokio::test]
async fn a_throttled_key_refuses_as_many_requests_as_were_asked_for() {
    let cloud = cloud().await;
    let key = cloud.create_key(ALIAS, SEED).unwrap();
    let once = aws_sdk_kms::config::retry::RetryConfig::disabled();
    let user = cloud.iam().create_user(cloud.account(), "signer", everything()).unwrap();
    let config = cloud.sdk_config(&user).into_builder().retry_config(once).build();
    let client = aws_sdk_kms::Client::new(&config);
    cloud.iam().throttle_key(&key, 2);
    for _ in 0..2 {
        assert_eq!(sign(&client, &key, b"hello").await.unwrap_err().code, "ThrottlingException");
    }
    sign(&client, &key, b"hello").await.unwrap();
}

#[tokio::test]
async fn a_caller_needs_permission() {
    let cloud = cloud().await;
    let key = cloud.create_key(ALIAS, SEED).unwrap();
    let reader = policy("Allow", json!("kms:GetPublicKey"), &key);
    let reader = kms_client(&cloud, &cloud.iam().create_user(cloud.account(), "reader", reader).unwrap());
    public_key(&reader, &key).await.unwrap();
    assert_refused(
        sign(&reader, &key, b"hello").await,
        400,
        "AccessDeniedException",
        &format!(
            "User: arn:aws:iam::111122223333:user/reader is not authorized to perform: kms:Sign on resource: {key} \
             because no identity-based policy allows the kms:Sign action"
        ),
    );
    let wrong = AccessKey::new("AKIAAAAAAAAAAAAAAAAA", "wrong");
    let unknown = sign(&kms_client(&cloud, &wrong), &key, b"hello").await.unwrap_err();
    assert_eq!(unknown.code, "UnrecognizedClientException");
    let wrong = AccessKey::new(shipper(&cloud).id, "wrong");
    assert_eq!(sign(&kms_client(&cloud, &wrong), &key, b"hello").await.unwrap_err().code, "InvalidSignatureException");
}

#[tokio::test]
async fn another_accounts_key_needs_both_policies_and_a_refusal_does_not_say_whether_it_exists() {
    let cloud = cloud().await;
    let client = signer(&cloud, cloud.account());
    let foreign = Key::new(ALIAS, CUSTOMER, "us-east-1", SEED);
    let key = cloud.iam().create_key(foreign.clone()).unwrap();
    let message = "User: arn:aws:iam::111122223333:user/signer is not authorized to perform: kms:Sign on this resource \
                   because the resource does not exist in this Region, no resource-based policies allow access, or a \
                   resource-based policy explicitly denies access";
    let missing = "arn:aws:kms:us-east-1:444455556666:key/0f8fad5b-d9cb-469f-a165-70867728950e";
    for name in [key.as_str(), missing] {
        assert_refused(sign(&client, name, b"hello").await, 400, "AccessDeniedException", message);
    }
    let lets_in = json!({"Statement": [
        {"Effect": "Allow", "Principal": {"AWS": cloud.account()}, "Action": "kms:Sign", "Resource": "*"}]});
    assert_eq!(cloud.iam().create_key(Key { policy: Some(lets_in), ..foreign }).unwrap(), key);
    sign(&client, &key, b"hello").await.unwrap();
    assert_eq!(public_key(&client, &key).await.unwrap_err().code, "AccessDeniedException");
    let owner = signer(&cloud, CUSTOMER);
    assert_eq!(
        sign(&owner, &key, b"hello").await.unwrap_err().code,
        "AccessDeniedException",
        "the key policy must allow its own account, too"
    );
}

#[tokio::test]
async fn a_key_outlives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let options = || CloudOptions { data_dir: Some(directory.path().to_owned()), ..CloudOptions::default() };
    let cloud = Cloud::start(options()).await.unwrap();
    let key = cloud.create_key(ALIAS, SEED).unwrap();
    cloud.iam().set_key_state(&key, KeyState::Disabled).unwrap();
    cloud.stop().await;

    let cloud = Cloud::start(options()).await.unwrap();
    assert_eq!(cloud.create_key(ALIAS, [9; 32]).unwrap(), key);
    let client = signer(&cloud, cloud.account());
    assert_eq!(sign(&client, &key, b"hello").await.unwrap_err().code, "DisabledException");
    cloud.iam().set_key_state(&key, KeyState::Enabled).unwrap();
    let signature = sign(&client, &key, b"hello").await.unwrap();
    let public = SigningKey::from_bytes(&SEED).verifying_key();
    public.verify_strict(b"hello", &Signature::from_slice(&signature).unwrap()).unwrap();
}

#[test]
fn a_key_that_kms_would_not_have_is_not_stored() {
    let iam = crate::Iam::open(None, tempfile::tempdir().unwrap().path().to_owned(), Clock::system()).unwrap();
    let key = |alias: &str, account: &str, region: &str| iam.create_key(Key::new(alias, account, region, SEED));
    for (alias, account, region) in [
        ("signer", CUSTOMER, "us-east-1"),
        ("alias/", CUSTOMER, "us-east-1"),
        (ALIAS, "1", "us-east-1"),
        (ALIAS, CUSTOMER, ""),
    ] {
        assert!(key(alias, account, region).is_err(), "{alias} {account} {region}");
    }
    assert!(!format!("{:?}", Key::new(ALIAS, CUSTOMER, "us-east-1", SEED)).contains("seed"));
}
