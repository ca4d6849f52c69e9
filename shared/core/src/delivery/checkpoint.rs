//! Signing what a run has delivered: the destination's checkpoint is signed, its intent stored, and then put into the bucket.
//!
//! Deliveries never wait for it. If signing or putting fails, the status says so, and a later run signs everything since
//! the last checkpoint.

use std::{ops::RangeInclusive, time::Duration};

use crate::{
    destination::{
        BegunCheckpoint, BucketName, Checkpoints, Content, Delivery, LastCheckpoint, Unsigned,
        failure::{Failure, RemediedBy},
        sink::{Existing, Object, Target},
    },
    entropy::{self, BASE36},
    log::segment::LineHash,
    proof::{
        checkpoint::{
            Checkpoint, Delivered, ENTRIES_EXTENSION, EXTENSION, Entries, Entry, FOLDER, SignedContent, SignedObject,
        },
        key::VerifierKey,
        signer::SignerError,
        signing::{Signing, SigningError},
    },
    time::Timestamp,
};

use super::{
    run::{DestinationRun, Stop, backoff},
    ship::Signed,
};

/// A destination without new events gets a checkpoint this often, so that silence is signed too.
const SILENCE: Duration = Duration::from_secs(24 * 60 * 60);
const MEDIA_TYPE: &str = "text/plain; charset=utf-8";

/// Why a checkpoint was not signed or put.
struct Fault {
    code: String,
    detail: String,
    remedied_by: RemediedBy,
    /// The signer's own words, which are not for customers: they name the operator's account.
    answer: Option<String>,
}

impl Fault {
    fn records_missing() -> Self {
        Self {
            code: "records_missing".to_owned(),
            detail:
                "The records of earlier deliveries are missing, so they cannot be signed. The operator of this service \
                     has to find out why."
                    .to_owned(),
            remedied_by: RemediedBy::Operator,
            answer: None,
        }
    }
}

impl From<SignerError> for Fault {
    fn from(SignerError { fault, answer }: SignerError) -> Self {
        let detail = format!(
            "{} Delivery continues. The operator of this service has to fix it; checkpoints follow then.",
            fault.cause()
        );
        Self { code: fault.code().to_owned(), detail, remedied_by: RemediedBy::Operator, answer }
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        let detail = format!("The checkpoint could not be stored in the bucket. {} {}", failure.cause, failure.fix);
        Self { code: failure.code.as_str().to_owned(), detail, remedied_by: failure.code.remedied_by(), answer: None }
    }
}

impl DestinationRun<'_> {
    /// Signs and puts the checkpoint that is due, if there is one.
    pub(super) async fn sign_deliveries(&mut self) -> Result<(), Stop> {
        let checkpoints = &self.destination.checkpoints;
        let Some(signing) = &self.shipping.signing else {
            if checkpoints.due_at.is_some() {
                let mut destination = self.next_version();
                destination.checkpoints.due_at = None;
                self.save(destination, None).await?;
            }
            return Ok(());
        };
        let now = self.shipping.clock.now();
        let latest = now.plus(self.shipping.policy.backoff_cap);
        if checkpoints.unsigned.as_ref().is_some_and(|unsigned| now < unsigned.retry_at && unsigned.retry_at <= latest)
        {
            return Ok(());
        }
        let (begun, is_new) = match &checkpoints.begun {
            Some(begun) => {
                let begun = begun.clone();
                // The run that signed it may still be at work: it must not drop what this run puts.
                let destination = self.next_version();
                self.save(destination, None).await?;
                (begun, false)
            }
            None if !self.is_checkpoint_due(now) => {
                let next = checkpoints.last.as_ref().map(|last| last.at.plus(SILENCE));
                if checkpoints.due_at != next {
                    let mut destination = self.next_version();
                    destination.checkpoints.due_at = next;
                    self.save(destination, None).await?;
                }
                return Ok(());
            }
            None => match self.sign(signing, now).await? {
                Ok(begun) => {
                    let mut destination = self.next_version();
                    destination.checkpoints.begun = Some(begun.clone());
                    self.save(destination, None).await?;
                    (begun, true)
                }
                Err(fault) => return self.record_unsigned(fault, None).await,
            },
        };
        self.put_checkpoint(begun, is_new).await
    }

    fn is_checkpoint_due(&self, now: Timestamp) -> bool {
        let checkpoints = &self.destination.checkpoints;
        match &checkpoints.last {
            None => self.destination.deliveries > 0,
            Some(_) if checkpoints.restored => true,
            Some(last) => self.destination.deliveries > last.deliveries || last.at.plus(SILENCE) <= now,
        }
    }

    /// Signs what was delivered since the last checkpoint.
    async fn sign(&mut self, signing: &Signing, now: Timestamp) -> Result<Result<BegunCheckpoint, Fault>, Stop> {
        let last = self.destination.checkpoints.last.clone();
        let first = self.destination.first_sequence;
        let numbers = last.as_ref().map_or(1, |last| last.deliveries + 1)..=self.destination.deliveries;
        let deliveries = self.deliveries_numbered(&numbers).await?;
        let covered = match Covered::of(&deliveries, self.destination.deliveries, last.as_ref(), first) {
            Ok(covered) => covered,
            Err(fault) => return Ok(Err(fault)),
        };
        let mut entries = covered.entries;
        if self.destination.checkpoints.restored {
            entries.insert(0, Entry::Restored);
        }
        // Read after `now`, so that the log had no later event at the checkpoint's time.
        let log_last = self.shipping.log.tail_of(&self.organisation).await?.last.max(covered.sequence);
        // The times of checkpoints rise, even if the clock is set back.
        let time = last.as_ref().map_or(now, |last| now.max(last.at.plus(Duration::from_millis(1))));
        let base = self.checkpoint_key(time);
        let mut checkpoint = Checkpoint {
            signer: signing.name().clone(),
            organisation: self.organisation.id.clone(),
            last: covered.sequence,
            hash: covered.hash,
            time,
            delivered: Some(Delivered {
                log_last,
                destination: self.destination.id.clone(),
                first: first.unwrap_or(covered.sequence),
                previous: last.as_ref().map(|last| last.sha256.0),
                next_key: None,
                entries: Entries::Here(entries),
            }),
        };
        let entries_key = format!("{base}{ENTRIES_EXTENSION}");
        if let Some(entries) = checkpoint.outsource_entries(&entries_key) {
            // If the run ends before the checkpoint is stored, nothing refers to this file.
            let object = text_object(entries_key, entries);
            let target = Target::of(&self.organisation, &self.destination);
            if let Err(error) = self.shipping.sink.put(&target, object).await {
                return Ok(Err(Failure::explain(&error, &target).into()));
            }
        }
        let (note, signer) = match signed(signing, checkpoint, last.as_ref()).await {
            Ok(signed) => signed,
            Err(SigningError::Signer(error)) => return Ok(Err(error.into())),
            Err(SigningError::Store(error)) => return Err(error.into()),
            Err(SigningError::Note(error)) => {
                let (code, detail) = ("checkpoint_invalid".to_owned(), error.to_string());
                return Ok(Err(Fault { code, detail, remedied_by: RemediedBy::Operator, answer: None }));
            }
        };
        let becomes = LastCheckpoint {
            deliveries: self.destination.deliveries,
            sequence: covered.sequence,
            hash: covered.hash,
            at: time,
            key: format!("{base}{EXTENSION}"),
            sha256: LineHash::of(&note),
            signer,
            bucket: Some(covered.bucket.unwrap_or_else(|| self.destination.bucket.clone())),
        };
        Ok(Ok(BegunCheckpoint { becomes, prefix: self.destination.settings.prefix.clone(), note }))
    }

    /// Returns the deliveries with these numbers: from this run, or else from the registry.
    async fn deliveries_numbered(&self, numbers: &RangeInclusive<u64>) -> Result<Vec<Delivery>, Stop> {
        let expected = (numbers.end() + 1).saturating_sub(*numbers.start());
        let here: Vec<Delivery> = self
            .deliveries
            .iter()
            .filter(|delivery| delivery.number.is_some_and(|number| numbers.contains(&number)))
            .cloned()
            .collect();
        if here.len() as u64 == expected {
            return Ok(here);
        }
        let registry = &self.shipping.registry;
        Ok(registry.deliveries_numbered(&self.organisation.id, &self.destination.id, numbers.clone()).await?)
    }

    /// Returns a key in the folder of checkpoints, without its extension.
    fn checkpoint_key(&self, at: Timestamp) -> String {
        let (year, month, day) = at.date();
        let time = at.to_string().replace([':', '.'], "-");
        let suffix = entropy::characters(&*self.shipping.entropy, BASE36, 8);
        let prefix = self.destination.settings.prefix.as_str();
        format!("{prefix}{FOLDER}{year:04}-{month:02}/{day:02}/{time}-{suffix}")
    }

    /// Puts a checkpoint and stores that it is there. `is_new` means that no earlier run can have put it.
    async fn put_checkpoint(&mut self, begun: BegunCheckpoint, is_new: bool) -> Result<(), Stop> {
        let target = Target { prefix: begun.prefix.clone(), ..Target::of(&self.organisation, &self.destination) };
        let object = text_object(begun.becomes.key.clone(), begun.note.clone());
        let (fault, may_be_there) = match self.shipping.sink.put(&target, object).await {
            // An object under a new, random key can only be our own, put by another run.
            Ok(_) => {
                let mut destination = self.next_version();
                // One that was signed before a restore does not tell of it.
                let restored = self.destination.checkpoints.restored && !is_new;
                let due_at = Some(if restored { begun.becomes.at } else { begun.becomes.at.plus(SILENCE) });
                self.checkpoint = Some(Signed::Put(begun.becomes.clone()));
                destination.checkpoints =
                    Checkpoints { last: Some(begun.becomes), restored, due_at, ..Checkpoints::default() };
                return self.save(destination, None).await;
            }
            Err(error) => (Failure::explain(&error, &target).into(), !is_new || !error.is_definite()),
        };
        // A refusal reveals the key, so the next attempt takes another one, unless the object may be there.
        self.record_unsigned(fault, may_be_there.then_some(begun)).await
    }

    /// Stores that signing failed. `begun` is what the next attempt puts again.
    async fn record_unsigned(&mut self, fault: Fault, begun: Option<BegunCheckpoint>) -> Result<(), Stop> {
        let now = self.shipping.clock.now();
        let mut destination = self.next_version();
        let before = destination.checkpoints.unsigned.take();
        let attempts = before.as_ref().map_or(1, |before| before.attempts.saturating_add(1));
        let retry_at = now.plus(backoff(self.shipping, attempts));
        destination.checkpoints.begun = begun;
        destination.checkpoints.due_at = Some(retry_at);
        let since = before.map_or(now, |before| before.since);
        let unsigned = Unsigned { since, code: fault.code, detail: fault.detail, attempts, retry_at };
        let seconds = (fault.remedied_by == RemediedBy::Operator).then(|| now.since(since).as_secs());
        self.checkpoint = Some(Signed::Failed { unsigned: unsigned.clone(), seconds, answer: fault.answer });
        destination.checkpoints.unsigned = Some(unsigned);
        self.save(destination, None).await
    }
}

/// Signs `checkpoint`. If the last one was signed by another key, that key signs this one too and announces the current
/// key, unless it cannot be used any more.
async fn signed(
    signing: &Signing,
    mut checkpoint: Checkpoint,
    last: Option<&LastCheckpoint>,
) -> Result<(String, VerifierKey), SigningError> {
    let current = signing.current().await?;
    let previous = match last {
        Some(last) if last.signer != current.key => {
            signing.keys().await?.iter().rev().find(|published| published.key == last.signer)
        }
        _ => None,
    };
    if let (Some(previous), Some(delivered)) = (previous, &mut checkpoint.delivered) {
        delivered.next_key = Some(current.key.clone());
        match signing.sign(&checkpoint.text(), &[previous, current]).await {
            Err(SigningError::Signer(error)) if !error.fault.is_temporary() => {}
            result => return Ok((result?, current.key.clone())),
        }
        if let Some(delivered) = &mut checkpoint.delivered {
            delivered.next_key = None;
        }
    }
    Ok((signing.sign(&checkpoint.text(), &[current]).await?, current.key.clone()))
}

fn text_object(key: String, text: String) -> Object {
    Object { key, content_type: MEDIA_TYPE, content: text.into(), existing: Existing::Keep }
}

/// What deliveries cover.
struct Covered {
    entries: Vec<Entry>,
    sequence: u64,
    hash: LineHash,
    /// The bucket of the last object, if known.
    bucket: Option<BucketName>,
}

impl Covered {
    /// `deliveries` are those since the checkpoint `last`, by number, up to `number`.
    fn of(
        deliveries: &[Delivery],
        number: u64,
        last: Option<&LastCheckpoint>,
        first_sequence: Option<u64>,
    ) -> Result<Self, Fault> {
        let numbers = last.map_or(0, |last| last.deliveries) + 1..=number;
        if !deliveries.iter().map(|delivery| delivery.number).eq(numbers.map(Some)) {
            return Err(Fault::records_missing());
        }
        let mut next = last.map_or(first_sequence, |last| Some(last.sequence + 1));
        let mut end = last.map(|last| (last.sequence, last.hash));
        let mut bucket = last.and_then(|last| last.bucket.clone());
        let mut entries = Vec::new();
        for delivery in deliveries {
            if delivery.is_stand_in() {
                entries.push(Entry::Unrecorded(delivery.first..=delivery.last));
                next = Some(delivery.last + 1);
                end = delivery.last_hash.map(|hash| (delivery.last, hash)).or(end);
                continue;
            }
            if let Some(to) = &delivery.bucket {
                let from = bucket.replace(to.clone()).filter(|from| from != to);
                entries.extend(from.map(|from| Entry::Moved { from, to: to.clone() }));
            }
            let object = SignedObject {
                sequences: delivery.first..=delivery.last,
                content: delivery.content.as_ref().and_then(signed_content),
                key: delivery.key.clone(),
            };
            if delivery.replay.is_some() {
                entries.push(Entry::Object(object));
                continue;
            }
            if let Some(next) = next.filter(|next| *next < delivery.first) {
                let gap = next..=delivery.first - 1;
                entries.push(match &delivery.lost {
                    Some(_) => {
                        let hash = end.filter(|(sequence, _)| sequence + 1 == next).map(|(_, hash)| hash);
                        Entry::Lost { sequences: gap, after: hash }
                    }
                    None => Entry::Expired(gap),
                });
            }
            entries.push(Entry::Object(object));
            entries.extend(delivery.expired.iter().cloned().map(Entry::Expired));
            next = Some(delivery.last + 1);
            // If the last event has expired, the end is that of an earlier delivery.
            end = delivery.last_hash.map(|hash| (delivery.last, hash)).or(end);
        }
        let (sequence, hash) = end.ok_or_else(Fault::records_missing)?;
        Ok(Self { entries, sequence, hash, bucket })
    }
}

fn signed_content(content: &Content) -> Option<SignedContent> {
    Some(SignedContent { sha256: hex::decode(&content.sha256).ok()?.try_into().ok()?, bytes: content.bytes })
}
