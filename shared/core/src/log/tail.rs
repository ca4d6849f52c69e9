//! Where a log ends, although its newest segments may have expired.
//!
//! The database deletes expired segments late and in any order, so the newest segment left may not be the last one
//! written. Whoever continues the log behind it would use sequences twice. So the tail is known only if something says
//! that nothing newer can have expired:
//!
//! - the newest segment itself, while it is younger than the shortest retention;
//! - the *anchor*: an item that stores the tail, does not expire, and says when it was last certain. An event that was
//!   recorded after that is younger, so it is still there for as long.
//!
//! Otherwise the tail is unknown, and appends are refused rather than placed on numbers that may have been used.
//!
//! Everything here compares times, so it also requires that the clock of this process is right. The store tells its own
//! time with every read of the tail, and a process whose clock differs is refused: it could take an old segment for a
//! new one, or record events in the future, where all later events would have to follow.

use std::time::Duration;

use crate::{
    organisation::{Organisation, OrganisationId, RetentionDays},
    time::Timestamp,
    usage::LogHistory,
};

use super::{Log, segment::Tail, store::StoreError};

/// Clocks that are slightly wrong, and writes that arrive late, are allowed for with a day.
const MARGIN: Duration = Duration::from_secs(24 * 60 * 60);
/// While a segment is younger than this, neither it nor a newer one has expired, whatever the organisation's retention.
pub(super) const NOTHING_EXPIRES_WITHIN: Duration = Duration::from_secs(6 * 24 * 60 * 60);
/// The most that the clock of a process may differ from the store's. AWS refuses requests that were signed with a larger
/// difference ("Troubleshooting Signature Version 4 signing for AWS API requests"), unless the SDK corrects it.
pub const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(5 * 60);
/// Maintenance makes sure of a tail that was last certain this long ago. A daily run does so every other day, and four and
/// a half days remain to repair a run that fails.
pub const MAINTAINED_AFTER: Duration = Duration::from_secs(36 * 60 * 60);

/// The stored end of a log. It does not expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    pub tail: Tail,
    /// When it was last certain that this is the tail. `None` if version 0.1 wrote the anchor, which did not store it.
    pub checked: Option<Timestamp>,
}

impl Anchor {
    /// Returns the anchor that is written together with the organisation.
    #[must_use]
    pub fn of_new_log(organisation: &Organisation) -> Self {
        Self { tail: Tail::ORIGIN, checked: Some(organisation.created_at) }
    }
}

/// An item at the end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Segment(Tail),
    /// No segment is left.
    Anchor(Anchor),
}

/// What a store answers about the end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest {
    /// The item with the highest sequence; `None` if there is neither a segment nor an anchor.
    pub end: Option<End>,
    /// The store's own time when it answered, in whole seconds. `None` if it does not tell.
    pub answered_at: Option<Timestamp>,
}

impl Newest {
    /// Returns the tail that the item stands for.
    #[must_use]
    pub fn tail(&self) -> Option<Tail> {
        self.end.map(|end| match end {
            End::Segment(tail) | End::Anchor(Anchor { tail, .. }) => tail,
        })
    }
}

/// Why a log cannot be used safely. Only the operator can remedy it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Hazard {
    /// Newer segments than those left may have expired.
    #[error("the end of the log is unknown: it was last certain {}", since(.certain_at))]
    TailUnknown {
        /// When the tail was last certain; `None` if never.
        certain_at: Option<Timestamp>,
    },
    /// Events are missing that cannot have expired: the store lost them, or does not find them.
    #[error("events next to sequence {next_to} are missing, although they cannot have expired")]
    EventsMissing {
        /// The first sequence that is missing; the last one if the log was read backwards.
        next_to: u64,
    },
    /// The clock of this process is ahead of the store's.
    #[error("the clock of this process is {} s ahead", .by.as_secs())]
    ClockAhead { by: Duration },
    /// The clock of this process is behind the store's.
    #[error("the clock of this process is {} s behind", .by.as_secs())]
    ClockBehind { by: Duration },
}

impl Hazard {
    /// Returns the name in problems, logs and the runbook.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TailUnknown { .. } => "tail_unknown",
            Self::EventsMissing { .. } => "events_missing",
            Self::ClockAhead { .. } => "clock_ahead",
            Self::ClockBehind { .. } => "clock_behind",
        }
    }
}

fn since(certain_at: &Option<Timestamp>) -> String {
    certain_at.map_or_else(|| "never".to_owned(), |at| format!("at {at}"))
}

/// A tail, and why it is certain.
struct KnownTail {
    tail: Tail,
    certain_at: Timestamp,
    /// Before the store was asked. Whatever is recorded later is younger than this.
    asked_at: Timestamp,
    /// Whether nothing was ever recorded.
    is_new: bool,
}

impl Log {
    /// Returns the tail, strongly consistent; [`Tail::ORIGIN`] if nothing was recorded yet.
    ///
    /// # Errors
    /// Returns an error if the store fails, the tail is unknown, or the clock of this process is wrong.
    pub async fn tail(&self, organisation: &OrganisationId) -> Result<Tail, StoreError> {
        Ok(self.find_tail(organisation, NOTHING_EXPIRES_WITHIN).await?.tail)
    }

    /// Returns the tail, strongly consistent. If the organisation never had a short retention, the tail is known for longer
    /// than [`tail`](Self::tail) can assume.
    ///
    /// # Errors
    /// Returns an error if the store fails, the tail is unknown, or the clock of this process is wrong.
    pub async fn tail_of(&self, organisation: &Organisation) -> Result<Tail, StoreError> {
        let found = self.find_tail(&organisation.id, nothing_expires_within(organisation)).await?;
        // A log begins together with its organisation, so an old organisation without a log has lost it.
        if found.is_new && found.asked_at.since(organisation.created_at) >= NOTHING_EXPIRES_WITHIN {
            return Err(Hazard::TailUnknown { certain_at: None }.into());
        }
        Ok(found.tail)
    }

    /// Returns which of `organisations` need [`maintain`](Self::maintain): those whose anchor was not checked lately.
    /// Costs half a read unit each, and a unit to learn the store's time.
    ///
    /// # Errors
    /// Returns an error if the store fails or the clock of this process is wrong.
    pub async fn due_for_maintenance(
        &self,
        organisations: &[OrganisationId],
    ) -> Result<Vec<OrganisationId>, StoreError> {
        // Any log tells the store's time. One that cannot be read must not hold up the others.
        const ASKED: usize = 3;
        let mut asked = organisations.iter().take(ASKED);
        let Some(first) = asked.next() else { return Ok(Vec::new()) };
        let mut asked_at = self.clock.now();
        let mut answer = self.store.newest(first).await;
        for other in asked {
            if answer.is_ok() {
                break;
            }
            asked_at = self.clock.now();
            answer = self.store.newest(other).await;
        }
        let now = self.clock.now();
        if let Some(store_time) = answer?.answered_at {
            // A clock that is behind would find old checks young.
            check_clock(asked_at, now, store_time)?;
        }
        let anchors = self.store.anchors(organisations).await?;
        let is_due = |anchor: &Option<Anchor>| {
            let checked = anchor.and_then(|anchor| anchor.checked);
            checked.is_none_or(|at| at > now || now.since(at) >= MAINTAINED_AFTER)
        };
        let due = organisations.iter().zip(&anchors).filter(|(_, anchor)| is_due(anchor));
        Ok(due.map(|(organisation, _)| organisation.clone()).collect())
    }

    /// Makes sure of the tail and stores it in the anchor, unless a new event makes it certain by itself. Must succeed at
    /// least once in six days for a log without new events; later the tail is unknown.
    ///
    /// # Errors
    /// Returns an error if the store fails, the tail is unknown, or the clock of this process is wrong.
    pub async fn maintain(&self, organisation: &OrganisationId) -> Result<Tail, StoreError> {
        self.keep_up(organisation, NOTHING_EXPIRES_WITHIN).await
    }

    /// Does what [`maintain`](Self::maintain) does, with the retention of the organisation: if it never had a short one,
    /// the tail is known for longer.
    ///
    /// # Errors
    /// Returns an error if the store fails, the tail is unknown, or the clock of this process is wrong.
    pub async fn maintain_with_retention(&self, organisation: &Organisation) -> Result<Tail, StoreError> {
        self.keep_up(&organisation.id, nothing_expires_within(organisation)).await
    }

    /// Returns what the log tells about its usage.
    ///
    /// # Errors
    /// Returns an error if the store fails, the tail is unknown, or the clock of this process is wrong.
    pub async fn usage(&self, organisation: &Organisation) -> Result<LogHistory, StoreError> {
        // In this order: counts are stored before a tail of a later month.
        let tail = self.tail_of(organisation).await?;
        let closed = self.store.closed_months(&organisation.id).await?;
        let last_recorded_at = (tail.last > 0).then_some(tail.recorded_at);
        Ok(LogHistory { current: tail.usage, last_recorded_at, closed })
    }

    async fn keep_up(&self, organisation: &OrganisationId, keeps: Duration) -> Result<Tail, StoreError> {
        let KnownTail { tail, certain_at, asked_at, is_new } = self.find_tail(organisation, keeps).await?;
        if is_new {
            // An organisation and the anchor of its log are created together, so this one has lost its log.
            return Err(Hazard::TailUnknown { certain_at: None }.into());
        }
        if asked_at.since(certain_at) >= MAINTAINED_AFTER {
            self.store.advance_anchor(organisation, &Anchor { tail, checked: Some(asked_at) }).await?;
        }
        Ok(tail)
    }

    /// Returns the tail of a log whose segments are kept for longer than `keeps`.
    async fn find_tail(&self, organisation: &OrganisationId, keeps: Duration) -> Result<KnownTail, StoreError> {
        let asked_at = self.clock.now();
        let newest = self.store.newest(organisation).await?;
        let now = self.clock.now();
        if let Some(store_time) = newest.answered_at {
            check_clock(asked_at, now, store_time)?;
        }
        let (newest, anchor) = match newest.end {
            None => {
                return Ok(KnownTail { tail: Tail::ORIGIN, certain_at: asked_at, asked_at, is_new: true });
            }
            Some(End::Segment(tail)) if now.since(tail.recorded_at) < keeps => {
                return Ok(KnownTail { tail, certain_at: tail.recorded_at, asked_at, is_new: false });
            }
            Some(End::Segment(tail)) => (Some(tail), self.store.anchor(organisation).await?),
            Some(End::Anchor(anchor)) => (None, Some(anchor)),
        };
        let newest = newest.unwrap_or(Tail::ORIGIN);
        let mut anchor = anchor.unwrap_or(Anchor { tail: Tail::ORIGIN, checked: Some(Timestamp::EPOCH) });
        if anchor.checked.is_none() && anchor.tail.last > 0 && newest.last <= anchor.tail.last {
            // Version 0.1 trusted its anchors without a time. So does this version, but once: it stores when. An anchor
            // that is behind the newest segment shows that maintenance did not run, and one at the origin that it never
            // did, because an organisation's first event is its creation.
            anchor.checked = Some(asked_at);
            self.store.advance_anchor(organisation, &anchor).await?;
        }
        let deleted = anchor.tail.last > newest.last;
        if deleted && cannot_have_expired(anchor.tail.recorded_at, now) {
            // Its segment has to be there.
            return Err(Hazard::EventsMissing { next_to: anchor.tail.segment }.into());
        }
        let tail = if deleted { anchor.tail } else { newest };
        let certain_at = [Some(newest.recorded_at), Some(anchor.tail.recorded_at), anchor.checked]
            .into_iter()
            .flatten()
            .filter(|at| is_plausible(*at, now))
            .max()
            .unwrap_or(Timestamp::EPOCH);
        if now.since(certain_at) >= keeps {
            let certain_at = (certain_at > Timestamp::EPOCH).then_some(certain_at);
            return Err(Hazard::TailUnknown { certain_at }.into());
        }
        Ok(KnownTail { tail, certain_at, asked_at, is_new: false })
    }
}

/// Returns whether a time can be in the past. One in the future came from a wrong clock and proves nothing.
fn is_plausible(at: Timestamp, now: Timestamp) -> bool {
    at.since(now) <= MAX_CLOCK_DIFFERENCE
}

/// Returns whether neither a segment that was recorded at this time nor any newer one can have expired.
pub(super) fn cannot_have_expired(recorded_at: Timestamp, now: Timestamp) -> bool {
    is_plausible(recorded_at, now) && now.since(recorded_at) < NOTHING_EXPIRES_WITHIN
}

/// Returns how long after its recording no event of the organisation has expired, with a margin. A copy of the
/// organisation that is a day old will do: events that a shorter retention applies to since are younger.
fn nothing_expires_within(organisation: &Organisation) -> Duration {
    organisation.shortest_retention.max(RetentionDays::MIN).duration() - MARGIN
}

/// Compares the clock of this process, read before and after the store answered, with the store's time, which is rounded
/// down to seconds. A process that stood still in between is not suspected.
fn check_clock(asked_at: Timestamp, now: Timestamp, store_time: Timestamp) -> Result<(), Hazard> {
    let ahead = asked_at.since(store_time.plus(Duration::from_secs(1)));
    let behind = store_time.since(now);
    if ahead > MAX_CLOCK_DIFFERENCE {
        Err(Hazard::ClockAhead { by: ahead })
    } else if behind > MAX_CLOCK_DIFFERENCE {
        Err(Hazard::ClockBehind { by: behind })
    } else {
        Ok(())
    }
}
