//! Signing texts and publishing the keys that sign. Owns which key is the current one; the private keys are behind the port
//! [`Signer`].

use std::sync::Arc;

use async_lock::OnceCell;
use async_trait::async_trait;

use super::{
    checkpoint::{self, Checkpoint, Signature},
    key::{PublishedKey, SignerName, VerifierKey},
    signer::{Signer, SignerError},
    store::ProofStore,
};
use crate::{
    health::Probe,
    log::store::{Source, StoreError},
    organisation::OrganisationId,
    time::Clock,
};

/// The signing key of a deployment.
#[derive(Debug, Clone)]
pub struct SigningKey {
    pub name: SignerName,
    /// What the signer calls it: the ARN of a KMS key.
    pub reference: String,
}

/// Why a text was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    #[error(transparent)]
    Signer(#[from] SignerError),
    #[error("the published keys could not be read or written")]
    Store(#[from] StoreError),
    /// A name or text contains characters that a note cannot contain.
    #[error("the note is invalid")]
    Note(#[from] signed_note::NoteError),
}

/// Signs with the current key of a deployment, and publishes it before its first use.
#[derive(Debug)]
pub struct Signing {
    key: SigningKey,
    signer: Arc<dyn Signer>,
    pub(super) store: Arc<dyn ProofStore>,
    pub(super) clock: Arc<dyn Clock>,
    /// All published keys, the current one last.
    published: OnceCell<Vec<PublishedKey>>,
}

impl Signing {
    #[must_use]
    pub fn new(key: SigningKey, signer: Arc<dyn Signer>, store: Arc<dyn ProofStore>, clock: Arc<dyn Clock>) -> Self {
        Self { key, signer, store, clock, published: OnceCell::new() }
    }

    #[must_use]
    pub fn name(&self) -> &SignerName {
        &self.key.name
    }

    /// Returns the current key.
    ///
    /// # Errors
    /// Returns an error if the signer or the store fails.
    pub async fn current(&self) -> Result<&PublishedKey, SigningError> {
        let published = self.published.get_or_try_init(|| self.publish()).await?;
        published.last().ok_or_else(|| StoreError::Broken("no key is published".into()).into())
    }

    /// Returns all published keys, the oldest first and the current one last.
    ///
    /// # Errors
    /// Returns an error if the signer or the store fails.
    pub async fn keys(&self) -> Result<&[PublishedKey], SigningError> {
        Ok(self.published.get_or_try_init(|| self.publish()).await?)
    }

    /// Publishes the current key unless it is the newest one published. Returns all keys.
    async fn publish(&self) -> Result<Vec<PublishedKey>, SigningError> {
        let public = self.signer.public_key(&self.key.reference).await?;
        let key = VerifierKey::ed25519(self.key.name.clone(), &public);
        loop {
            let mut published = self.store.signing_keys().await?;
            if published.last().is_some_and(|last| last.key == key) {
                return Ok(published);
            }
            let new = PublishedKey { key: key.clone(), reference: self.key.reference.clone(), since: self.clock.now() };
            // Another process may publish a key at the same time; then the keys are read again.
            if self.store.publish_signing_key(published.len() as u64 + 1, &new).await? {
                published.push(new);
                return Ok(published);
            }
        }
    }

    /// Returns the last sequence that the newest stored checkpoint of a log covers; 0 if there is none.
    ///
    /// # Errors
    /// Returns an error if the store fails.
    pub async fn last_signed(&self, organisation: &OrganisationId) -> Result<u64, StoreError> {
        let stored = self.store.log_checkpoint(organisation).await?;
        let note = stored.and_then(|stored| checkpoint::SignedNote::parse(stored.note.as_bytes()).ok());
        Ok(note.and_then(|note| Checkpoint::parse(note.text()).ok()).map_or(0, |checkpoint| checkpoint.last))
    }

    /// Returns the signed note of `text`, which ends with a newline.
    ///
    /// # Errors
    /// Returns an error if the signer fails or the text contains characters that a note cannot contain.
    pub async fn sign(&self, text: &str, keys: &[&PublishedKey]) -> Result<String, SigningError> {
        let mut signatures = Vec::with_capacity(keys.len());
        for published in keys {
            let bytes = self.signer.sign(&published.reference, text.as_bytes()).await?;
            signatures.push(Signature { key: published.key.clone(), bytes });
        }
        Ok(checkpoint::note(text, &signatures)?)
    }
}

/// What the check of the signing key signs. It has no line end, so it can never be the text of a note, which ends with one
/// (c2sp.org/signed-note).
const PROBE: &[u8] = b"annals: can this key sign?";

#[async_trait]
impl Probe for Signing {
    fn name(&self) -> &'static str {
        "signing"
    }

    async fn probe(&self) -> Result<(), Source> {
        self.current().await?;
        self.signer.sign(&self.key.reference, PROBE).await?;
        Ok(())
    }
}
