//! Checkpoints of deliveries, signed as the shipper does it, and by those who forge them.

use std::time::Duration;

use annals_core::{
    log::segment::LineHash,
    proof::{
        checkpoint::{
            Checkpoint, Delivered, Entries, Entry, FOLDER, Signature, SignedContent, SignedNote, SignedObject, note,
        },
        key::VerifierKey,
    },
    time::Timestamp,
};
use annals_tests::sample;
use annals_verify::{
    AsOf,
    keys::{Keys, PastKey},
};
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha256};

use super::delivery::{Delivery, decode, id, lines, sequence};

/// The name of the signer.
pub(crate) const NAME: &str = "annals.example.com";

/// A private key.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    key: SigningKey,
    pub(crate) verifier: VerifierKey,
}

impl Signer {
    pub(crate) fn new(name: &str, seed: u8) -> Self {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let verifier = VerifierKey::ed25519(name.parse().unwrap(), key.verifying_key().as_bytes());
        Self { key, verifier }
    }

    /// Returns the signed note of a checkpoint.
    pub(crate) fn note(&self, checkpoint: &Checkpoint) -> Vec<u8> {
        let text = checkpoint.text();
        let bytes = self.key.sign(text.as_bytes()).to_bytes();
        note(&text, &[Signature { key: self.verifier.clone(), bytes }]).unwrap().into_bytes()
    }

    /// Returns this key as the only one that is trusted.
    pub(crate) fn keys(&self) -> Keys {
        Keys { current: vec![self.verifier.clone()], past: Vec::new() }
    }

    /// Returns this key as the current one, and another one as a past one.
    pub(crate) fn keys_after(&self, past: &Self, until: Option<Timestamp>) -> Keys {
        let past = vec![PastKey { key: past.verifier.clone(), until }];
        Keys { current: vec![self.verifier.clone()], past }
    }
}

/// The chain of a destination's checkpoints.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub(crate) signer: Signer,
    pub(crate) organisation: &'static str,
    pub(crate) destination: &'static str,
    pub(crate) first: u64,
    pub(crate) previous: Option<[u8; 32]>,
    pub(crate) time: Timestamp,
    pub(crate) next_key: Option<VerifierKey>,
}

impl Chain {
    /// Begins the chain of the destination `d`, half a minute after the first objects of a [`Delivery`].
    pub(crate) fn new(signer: &Signer, first: u64) -> Self {
        Self {
            signer: signer.clone(),
            organisation: "acme",
            destination: "00000000000d",
            first,
            previous: None,
            time: sample::START.plus(Duration::from_secs(630)),
            next_key: None,
        }
    }

    /// Returns the next checkpoint, for a log that ends at `log_last`.
    pub(crate) fn checkpoint(&self, last: u64, hash: LineHash, log_last: u64, entries: Vec<Entry>) -> Checkpoint {
        Checkpoint {
            signer: self.signer.verifier.name().clone(),
            organisation: self.organisation.parse().unwrap(),
            last,
            hash,
            time: self.time,
            delivered: Some(Delivered {
                log_last,
                destination: self.destination.parse().unwrap(),
                first: self.first,
                previous: self.previous,
                next_key: self.next_key.clone(),
                entries: Entries::Here(entries),
            }),
        }
    }

    /// Signs a checkpoint and adds it to the objects. The next one is ten minutes later. Returns its key.
    pub(crate) fn add(&mut self, delivery: &mut Delivery, checkpoint: &Checkpoint) -> String {
        let note = self.signer.note(checkpoint);
        let time = self.time.to_string().replace([':', '.'], "-");
        let key = format!("{FOLDER}{}/{}/{time}-{}.checkpoint", &time[..7], &time[8..10], &self.destination[11..]);
        self.previous = Some(Sha256::digest(&note).into());
        self.time = self.time.plus(Duration::from_secs(600));
        self.next_key = None;
        delivery.objects.insert(key.clone(), note);
        key
    }

    /// Adds a checkpoint of the object with this key. Returns the checkpoint's key.
    pub(crate) fn cover(&mut self, delivery: &mut Delivery, object: &str) -> String {
        let own = delivery.lines(object);
        let last = own.last().unwrap();
        let entries = vec![entry(delivery, object)];
        let log_last = delivery.recorded_by(self.time).max(sequence(last));
        let checkpoint = self.checkpoint(sequence(last), LineHash::of(last), log_last, entries);
        self.add(delivery, &checkpoint)
    }

    /// Adds a checkpoint of an idle destination, a day after the one before. Returns its key.
    pub(crate) fn idle(&mut self, delivery: &mut Delivery, last_line: &str) -> String {
        self.time = self.time.plus(Duration::from_secs(86_400 - 600));
        let last = sequence(last_line);
        let checkpoint = self.checkpoint(last, LineHash::of(last_line), last, Vec::new());
        self.add(delivery, &checkpoint)
    }
}

/// Returns the entry of an object.
pub(crate) fn entry(delivery: &Delivery, object: &str) -> Entry {
    let stored = &delivery.objects[object];
    let own = lines(&decode(stored).unwrap());
    Entry::Object(SignedObject {
        sequences: sequence(&own[0])..=sequence(own.last().unwrap()),
        content: Some(SignedContent { sha256: Sha256::digest(stored).into(), bytes: stored.len() as u64 }),
        key: object.to_owned(),
    })
}

impl Delivery {
    /// Returns the last sequence that was recorded by a time.
    fn recorded_by(&self, time: Timestamp) -> u64 {
        let lines = self.data_keys().into_iter().flat_map(|key| self.lines(&key));
        let recorded = lines.filter(|line| id(line).recorded_at() <= time).map(|line| sequence(&line));
        recorded.max().unwrap_or(0)
    }

    /// Returns the keys of the objects with events, by their first sequence.
    pub(crate) fn data_keys(&self) -> Vec<String> {
        let mut keys = self.keys();
        keys.retain(|key| !key.contains(FOLDER));
        keys.sort_by_key(|key| sequence(&self.lines(key)[0]));
        keys
    }

    /// Returns the keys of the checkpoints, by time.
    pub(crate) fn checkpoint_keys(&self) -> Vec<String> {
        let mut keys = self.keys();
        keys.retain(|key| key.contains(FOLDER));
        keys.sort_by_key(|key| self.checkpoint(key).time);
        keys
    }

    pub(crate) fn checkpoint(&self, key: &str) -> Checkpoint {
        Checkpoint::parse(SignedNote::parse(&self.objects[key]).unwrap().text()).unwrap()
    }

    /// Adds a checkpoint for each object. The key is trusted, the tail is not known, and it is an hour later.
    pub(crate) fn signed(mut self, signer: &Signer) -> (Self, Chain) {
        let keys = self.data_keys();
        let mut chain = Chain::new(signer, sequence(&self.lines(&keys[0])[0]));
        for key in keys {
            chain.cover(&mut self, &key);
        }
        self.expected.tail = None;
        self.expected.first = None;
        self.expected.keys = signer.keys();
        self.expected.as_of = Some(AsOf::Now(chain.time.plus(Duration::from_secs(3600))));
        (self, chain)
    }
}
