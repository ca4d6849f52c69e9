//! Ed25519 keys in memory that sign, and fail as a test says.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use annals_core::{
    proof::{
        key::{SignerName, VerifierKey},
        signer::{Signer, SignerError, SignerFault},
        signing::{Signing, SigningKey},
        store::ProofStore,
    },
    time::Clock,
};
use async_trait::async_trait;
use ed25519_dalek::Signer as _;

/// The name of the tests' signers.
pub const NAME: &str = "annals.example.com";

#[derive(Debug, Default)]
pub struct MemorySigner {
    faults: Mutex<HashMap<String, SignerFault>>,
    signatures: AtomicU64,
}

impl MemorySigner {
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on every use of the key fails; with `None` none does.
    pub fn set_fault(&self, reference: &str, fault: Option<SignerFault>) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Some(fault) => drop(faults.insert(reference.to_owned(), fault)),
            None => drop(faults.remove(reference)),
        }
    }

    /// The number of signatures so far.
    #[must_use]
    pub fn signatures(&self) -> u64 {
        self.signatures.load(Ordering::Relaxed)
    }

    /// The verifier key of a reference.
    #[must_use]
    pub fn verifier_key(reference: &str) -> VerifierKey {
        VerifierKey::ed25519(NAME.parse().unwrap(), key(reference).verifying_key().as_bytes())
    }

    /// What signs with the key `reference`.
    #[must_use]
    pub fn signing(
        self: &Arc<Self>,
        reference: &str,
        store: Arc<dyn ProofStore>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Signing> {
        let name: SignerName = NAME.parse().unwrap();
        let key = SigningKey { name, reference: reference.to_owned() };
        Arc::new(Signing::new(key, Arc::clone(self) as Arc<dyn Signer>, store, clock))
    }

    fn check(&self, reference: &str) -> Result<(), SignerError> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        match faults.get(reference) {
            Some(fault) => Err(SignerError { fault: *fault, answer: Some("Injected: no.".into()) }),
            None => Ok(()),
        }
    }
}

/// Every reference names another key.
fn key(reference: &str) -> ed25519_dalek::SigningKey {
    use sha2::Digest as _;
    ed25519_dalek::SigningKey::from_bytes(&sha2::Sha256::digest(reference.as_bytes()).into())
}

#[async_trait]
impl Signer for MemorySigner {
    async fn public_key(&self, reference: &str) -> Result<[u8; 32], SignerError> {
        self.check(reference)?;
        Ok(key(reference).verifying_key().to_bytes())
    }

    async fn sign(&self, reference: &str, message: &[u8]) -> Result<[u8; 64], SignerError> {
        self.check(reference)?;
        assert!(message.len() <= 4096, "KMS signs no message of {} bytes", message.len());
        self.signatures.fetch_add(1, Ordering::Relaxed);
        Ok(key(reference).sign(message).to_bytes())
    }
}
