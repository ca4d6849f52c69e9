//! Idempotency keys: a claim names the append of a key before it is written, and no writer passes by a segment of it.
//!
//! The first request with a key stores a claim: a random id, and the end of the log at that time. Every request with the key
//! appends under the id of the claim, and the segment lists it. The rule that makes this exactly once: a writer puts a
//! segment at a position only after it has looked for the id in every segment between the claim and that position. A put
//! succeeds only where no segment is, so a put that succeeds proves that no earlier segment has the id, and whoever comes
//! later has to look at this one. It does not matter who sends the put, how late it arrives, or how many send it.
//!
//! The rule costs nothing when all goes well: the position follows the claim. After a lost condition the store returns the
//! segment that took the place. Only a repeated request reads segments, and finds its own right behind the claim.
//!
//! Architecture invariant: what is between the claim and the position is read strongly consistent, or was returned by a
//! failed condition, or was written by this process.

use std::{sync::Arc, time::Duration};

use futures_util::future::join;
use sha2::{Digest as _, Sha256};

use crate::{
    entropy,
    event::Body,
    log::{
        Appended, Log,
        rate::{Budget, Demand, Size},
        segment::{ClaimId, Header, Segment, Tail},
        store::{Consistency, KeyClaim, KeyUse, Order, Span, StoreError},
    },
    organisation::{Organisation, OrganisationId},
    time::Timestamp,
};

use super::{AppendError, Committer, Group, IdempotencyKey, Pending, Receipt, offset, seen::Seen, size_of};

/// How long an idempotency key is remembered after its first request.
pub const IDEMPOTENCY_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// A claim that is older than this is renewed before an append relies on it. So a claim outlives every append that began
/// with it by almost a day, and two claims of one key are never in use at the same time.
const RENEWED_AFTER: Duration = Duration::from_secs(60 * 60);

/// The used share of the rate limit from which a log is busy.
const BUSY_FROM: f64 = 0.25;
/// The number of segments in the first reads of a look. A repeated request almost always finds its events in the first one,
/// and a full page costs up to 256 read units.
const FIRST_LOOKS: [usize; 3] = [4, 32, 256];

/// A claim that a waiting request relies on.
#[derive(Debug, Clone, Copy)]
pub(super) struct PendingClaim {
    pub(super) id: ClaimId,
    /// No segment up to this sequence has the claim.
    pub(super) looked: u64,
}

/// A request whose claim is in the log.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) claim: ClaimId,
    pub(super) spans: Vec<Span>,
}

/// What a request with a key has to do.
#[derive(Debug)]
pub(super) enum ClaimOutcome {
    /// To append its events under the claim.
    Claimed(PendingClaim),
    /// Nothing: its events were recorded by an earlier request.
    Recorded(Receipt),
}

/// Why a key was not claimed.
enum ClaimError {
    /// It was used for other events.
    Reused,
    /// Another request changed the claim at the same time.
    Changed,
    /// The organisation is over its rate limit for so long.
    Limited(Duration),
    Store(StoreError),
}

impl From<StoreError> for ClaimError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Log {
    /// Claims `key` for a request, or finds what an earlier request with the key recorded.
    pub(super) async fn claim(
        &self,
        organisation: &Organisation,
        key: IdempotencyKey,
        bodies: &[Body],
        begun: Timestamp,
    ) -> Result<ClaimOutcome, AppendError> {
        let committer = self.committer(&organisation.id);
        let deadline = begun.plus(self.policy.deadline);
        let unanswered = || StoreError::Unavailable("the key was not claimed in time".into());
        let attempt = KeyClaim {
            key: key.0,
            fingerprint: fingerprint(bodies),
            id: ClaimId(entropy::bytes(&*self.entropy)),
            from: 0,
            expires_at: 0,
        };
        let size = size_of(bodies);
        let mut failure = None;
        let mut round = 0;
        while self.clock.now() < deadline {
            round += 1;
            let sent_at = self.clock.now();
            match self.try_claim(organisation, &committer, &attempt, (bodies.len(), size), deadline).await {
                Ok(outcome) => return Ok(outcome),
                Err(ClaimError::Reused) => return Err(AppendError::KeyReused),
                Err(ClaimError::Changed) => {}
                Err(ClaimError::Store(StoreError::Unsafe(hazard))) => return Err(AppendError::Unsafe(hazard)),
                Err(ClaimError::Limited(wait)) => {
                    let now = self.clock.now();
                    let turn_at = now.plus(wait);
                    committer.set_own_tail(None);
                    if committer.pressure().merges(now) && turn_at < begun.plus(self.policy.merge_patience) {
                        self.clock.sleep(wait).await;
                        continue;
                    }
                    committer.pressure().refused(now, size, turn_at);
                    self.meter.add(Appended { refused: 1, ..Appended::default() });
                    return Err(AppendError::RateLimited(wait));
                }
                Err(ClaimError::Store(error @ (StoreError::Broken(_) | StoreError::Operator(_)))) => {
                    return Err(AppendError::Unavailable(Arc::new(error)));
                }
                Err(ClaimError::Store(error)) => {
                    failure = Some(error);
                    self.pause(self.clock.now().since(sent_at), round).await;
                }
            }
        }
        Err(AppendError::Unavailable(Arc::new(failure.unwrap_or_else(unanswered))))
    }

    /// Tries once to claim a key for a request of `count` events. `attempt` has the key, the fingerprint and the id of a new
    /// claim.
    async fn try_claim(
        &self,
        organisation: &Organisation,
        committer: &Committer,
        attempt: &KeyClaim,
        (count, size): (usize, Size),
        deadline: Timestamp,
    ) -> Result<ClaimOutcome, ClaimError> {
        let mut tail = self.recent_tail(organisation, committer).await?;
        let demand = Demand { budget: Budget::Producers, units: 1, size, requests: 1, admitted: false };
        tail.rate.spend(&self.limits(), &demand, self.clock.now()).map_err(ClaimError::Limited)?;
        // A clock that is behind must neither store a claim that has already expired nor take a live one for expired.
        let now = self.clock.now().max(tail.recorded_at);
        let renewed_until = now.plus(IDEMPOTENCY_TTL).as_secs_ceil();
        let new = KeyClaim { from: tail.last, expires_at: renewed_until, ..attempt.clone() };
        let claim = self.store.claim(&organisation.id, &new, now.as_millis() / 1000);
        // In a busy log the place after the tail is taken before the claim is stored, so what follows is read meanwhile.
        let is_busy = tail.rate.pressure(&self.limits(), self.clock.now()) >= BUSY_FROM;
        let (there, news) =
            if is_busy { join(claim, self.news(&organisation.id, tail)).await } else { (claim.await, vec![]) };
        let there = match there? {
            None => {
                for header in &news {
                    // A request with the same key may have found the claim at once.
                    if let Some(index) = header.index_of(new.id) {
                        let spans = self.spans(&organisation.id, header.clone(), index, count).await?;
                        return Ok(ClaimOutcome::Recorded(Receipt::replayed(&organisation.id, spans)));
                    }
                }
                let newest = news.last().map_or(tail, |header| header.tail);
                committer.set_own_tail(Some((newest, self.clock.now())));
                return Ok(ClaimOutcome::Claimed(PendingClaim { id: new.id, looked: newest.last }));
            }
            Some(KeyUse::Recorded(record)) if record.fingerprint == new.fingerprint => {
                return Ok(ClaimOutcome::Recorded(Receipt::replayed(&organisation.id, record.spans)));
            }
            Some(KeyUse::Claimed(there)) if there.fingerprint == new.fingerprint => there,
            Some(_) => return Err(ClaimError::Reused),
        };
        if there.from > tail.last {
            // The tail that this process remembers may be older than the claim.
            tail = self.newest_tail(organisation, committer).await?;
        }
        if there.from > tail.last {
            // The log was restored to a time before the claim, so what the claim says about the log is void.
            let new = KeyClaim { from: tail.last, ..new };
            return self.replace(&organisation.id, &there, &new).await;
        }
        let mut looked = there.clone();
        let mut reads = 0;
        let mut failure = None;
        while looked.from < tail.last && self.clock.now() < deadline {
            let limit = FIRST_LOOKS.get(reads).copied();
            let page = match self.read_to_look(&organisation.id, looked.from, tail.last, limit).await {
                Ok(page) => page,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            };
            reads += 1;
            for header in page.iter().map(Segment::header) {
                if let Some(index) = header.index_of(looked.id) {
                    let spans = self.spans(&organisation.id, header, index, count).await?;
                    return Ok(ClaimOutcome::Recorded(Receipt::replayed(&organisation.id, spans)));
                }
                looked.from = header.tail.last;
            }
        }
        if looked.expires_at < now.plus(IDEMPOTENCY_TTL - RENEWED_AFTER).as_secs_ceil() {
            looked.expires_at = renewed_until;
        }
        let is_unfinished = there.from < looked.from && looked.from < tail.last;
        let outcome = if looked.expires_at != there.expires_at || reads > 1 || is_unfinished {
            // Whoever has to look next need not look at the same segments again. Without this, no look would come to an end
            // that takes more reads than the store allows at once.
            self.replace(&organisation.id, &there, &looked).await?
        } else {
            ClaimOutcome::Claimed(PendingClaim { id: looked.id, looked: looked.from })
        };
        failure.map_or(Ok(outcome), |error| Err(error.into()))
    }

    /// Reads the segments after those that this process has seen, if they continue what the requests have looked at. So the
    /// tail is read and looked at in one call. Returns `None` if nothing in `seen` helps.
    pub(super) async fn follow(
        &self,
        organisation: &OrganisationId,
        committer: &Committer,
        group: &Group,
        seen: &mut Seen,
    ) -> Result<Option<Tail>, StoreError> {
        let read_at = self.clock.now();
        let looked = group.requests.iter().filter_map(|request| request.claim).map(|claim| claim.looked).min();
        let Some(known) = looked.and_then(|looked| seen.tail_after(looked, read_at)) else { return Ok(None) };
        let range = known.last + 1..=u64::MAX;
        let page = self.store.range(organisation, range, Order::Ascending, None, Consistency::Strong).await?;
        page.iter().for_each(|segment| seen.note(segment.header(), read_at));
        let tail = page.last().map_or(known, Segment::tail);
        committer.set_own_tail(Some((tail, read_at)));
        Ok(Some(tail))
    }

    /// Reads the headers of the segments after `tail`. If that fails, the append reads what it needs.
    async fn news(&self, organisation: &OrganisationId, tail: Tail) -> Vec<Header> {
        let range = tail.last + 1..=u64::MAX;
        let news = self.store.range(organisation, range, Order::Ascending, None, Consistency::Strong).await;
        news.unwrap_or_default().iter().map(Segment::header).collect()
    }

    async fn replace(
        &self,
        organisation: &OrganisationId,
        before: &KeyClaim,
        claim: &KeyClaim,
    ) -> Result<ClaimOutcome, ClaimError> {
        if self.store.replace_claim(organisation, before, claim).await? {
            Ok(ClaimOutcome::Claimed(PendingClaim { id: claim.id, looked: claim.from }))
        } else {
            Err(ClaimError::Changed)
        }
    }

    /// Looks for the claims of `requests` in the segments up to `through`, which is the end of one. Returns at once if it finds
    /// any.
    pub(super) async fn look(
        &self,
        organisation: &OrganisationId,
        requests: &mut [Pending],
        seen: &mut Seen,
        through: u64,
    ) -> Result<Vec<Found>, StoreError> {
        loop {
            let looked = requests.iter().filter_map(|request| request.claim).map(|claim| claim.looked).min();
            let Some(looked) = looked.filter(|looked| *looked < through) else { return Ok(Vec::new()) };
            let mut headers = seen.after(looked, self.clock.now());
            if headers.is_empty() {
                let page = self.read_to_look(organisation, looked, through, None).await?;
                headers = page.iter().map(Segment::header).collect();
            }
            for header in headers {
                let mut found = Vec::new();
                let claims = requests.iter().filter_map(|request| Some((request.claim?.id, request.bodies.len())));
                for (claim, count) in claims {
                    if let Some(index) = header.index_of(claim) {
                        let spans = self.spans(organisation, header.clone(), index, count).await?;
                        found.push(Found { claim, spans });
                    }
                }
                if !found.is_empty() {
                    return Ok(found);
                }
                for claim in requests.iter_mut().filter_map(|request| request.claim.as_mut()) {
                    claim.looked = claim.looked.max(header.tail.last);
                }
            }
        }
    }

    /// Returns the next segments after `looked`, from one to `limit`, up to `through`, which is the end of a segment.
    ///
    /// A gap is no error here. A claim is younger than every retention, so nothing after it has expired; and what a restored
    /// log has lost is to be recorded again.
    async fn read_to_look(
        &self,
        organisation: &OrganisationId,
        looked: u64,
        through: u64,
        limit: Option<usize>,
    ) -> Result<Vec<Segment>, StoreError> {
        let range = looked + 1..=through;
        let page = self.store.range(organisation, range, Order::Ascending, limit, Consistency::Strong).await?;
        if page.is_empty() {
            let missing = format!("{organisation}: the segment before sequence {} was not returned", through + 1);
            return Err(StoreError::Unavailable(missing.into()));
        }
        Ok(page)
    }

    /// Returns the positions of `count` events that begin in a segment at `index`. A large request has several segments, all
    /// of one append.
    async fn spans(
        &self,
        organisation: &OrganisationId,
        mut header: Header,
        mut index: u16,
        count: usize,
    ) -> Result<Vec<Span>, StoreError> {
        let mut spans = Vec::new();
        let mut left = count as u64;
        loop {
            let tail = header.tail;
            let here = (tail.last + 1 - tail.segment).saturating_sub(index.into()).min(left);
            spans.push(Span { segment: tail.segment, recorded_at: tail.recorded_at, index, count: offset(here) });
            left -= here;
            if left == 0 {
                return Ok(spans);
            }
            let rest = tail.last + 1..=u64::MAX;
            let next = self.confirmed(organisation, rest, Order::Ascending, Some(1)).await?;
            let next = next.first().map(Segment::header).filter(|next| next.append == header.append);
            header = next.ok_or_else(|| {
                StoreError::Broken(
                    format!("{organisation}: the append at sequence {} is not whole", tail.segment).into(),
                )
            })?;
            index = 0;
        }
    }
}

/// Returns the hash of the events alone, without who sent them: after a rotation a producer repeats its requests with the
/// new token.
fn fingerprint(bodies: &[Body]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for body in bodies {
        hash.update(body.event().as_bytes());
        hash.update(b"\n");
    }
    hash.finalize().into()
}
