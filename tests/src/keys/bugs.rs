//! Mistakes that a writer with idempotency keys could make, planted between an instance and its store. Owns the bugs; the
//! simulation must find every one of them.

use std::{ops::RangeInclusive, sync::Arc};

use annals_core::{
    log::{
        segment::Segment,
        store::{Commit, CommitError, Consistency, KeyClaim, KeyUse, LogStore, Order, StoreError},
    },
    organisation::OrganisationId,
};
use async_trait::async_trait;

use crate::log_layer::LogLayer;

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $bug:ident;)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Bug {
            $($(#[doc = $doc])+ $bug,)+
        }

        impl Bug {
            pub const ALL: &'static [Self] = &[$(Self::$bug),+];
        }
    };
}

bugs! {
    /// The segments between the claim and the tail are not looked at.
    LookSkipped;
    /// Only the last of the segments between the claim and the tail is looked at.
    LastLookedAtOnly;
    /// The segment that took the place is not looked at.
    WinnerNotLookedAt;
    /// The segment does not list its claims.
    ClaimNotListed;
    /// The segment lists its claims without where their events begin.
    ListedWithoutIndex;
    /// A claim replaces whatever claim there is.
    ClaimedWithoutCondition;
    /// A claim that is there is left alone, and the append is made under an id of its own.
    ClaimNotTaken;
    /// A claim that is there is taken, and the look begins at the tail of now.
    LookFromToday;
    /// A claim says that it begins one event later than the tail that was read.
    ClaimedOneTooFar;
    /// A claim expires after a minute.
    ForgottenEarly;
    /// A claim that is about to expire is not renewed.
    NotRenewed;
    /// A claim is moved forward to the tail of now.
    MovedTooFar;
    /// The events of a repeated request are not compared.
    EventsNotCompared;
}

/// The store of an instance with a bug in it.
#[derive(Debug)]
pub struct Buggy {
    pub below: Arc<dyn LogStore>,
    pub bug: Bug,
}

impl Buggy {
    async fn last(&self, organisation: &OrganisationId) -> Result<u64, StoreError> {
        Ok(self.below.newest(organisation).await?.tail().map_or(0, |tail| tail.last))
    }
}

#[async_trait]
impl LogLayer for Buggy {
    fn below(&self) -> &dyn LogStore {
        &*self.below
    }

    async fn commit(&self, organisation: &OrganisationId, commit: &Commit) -> Result<(), CommitError> {
        let mut commit = commit.clone();
        for segment in &mut commit.segments {
            match self.bug {
                Bug::ClaimNotListed => segment.claimed.clear(),
                Bug::ListedWithoutIndex => segment.claimed.iter_mut().for_each(|claimed| claimed.index = 0),
                _ => {}
            }
        }
        match self.below.commit(organisation, &commit).await {
            Err(CommitError::Occupied(mut header)) if self.bug == Bug::WinnerNotLookedAt => {
                header.claimed.clear();
                Err(CommitError::Occupied(header))
            }
            other => other,
        }
    }

    async fn claim(
        &self,
        organisation: &OrganisationId,
        claim: &KeyClaim,
        now: u64,
    ) -> Result<Option<KeyUse>, StoreError> {
        let mut claim = claim.clone();
        let mut now = now;
        match self.bug {
            Bug::ClaimedWithoutCondition => now = u64::MAX,
            Bug::ClaimedOneTooFar => claim.from += 1,
            Bug::ForgottenEarly => claim.expires_at = now + 60,
            _ => {}
        }
        let mut there = self.below.claim(organisation, &claim, now).await?;
        if let Some(KeyUse::Claimed(stored)) = &mut there {
            match self.bug {
                Bug::ClaimNotTaken if stored.fingerprint == claim.fingerprint => return Ok(None),
                Bug::LookFromToday => stored.from = self.last(organisation).await?,
                Bug::EventsNotCompared => stored.fingerprint = claim.fingerprint,
                _ => {}
            }
        }
        Ok(there)
    }

    async fn replace_claim(
        &self,
        organisation: &OrganisationId,
        before: &KeyClaim,
        claim: &KeyClaim,
    ) -> Result<bool, StoreError> {
        let mut claim = claim.clone();
        match self.bug {
            Bug::NotRenewed => return Ok(true),
            Bug::MovedTooFar => claim.from = self.last(organisation).await?,
            _ => {}
        }
        self.below.replace_claim(organisation, before, &claim).await
    }

    async fn range(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        order: Order,
        limit: Option<usize>,
        consistency: Consistency,
    ) -> Result<Vec<Segment>, StoreError> {
        let mut segments = self.below.range(organisation, range.clone(), order, limit, consistency).await?;
        match self.bug {
            Bug::LookSkipped => segments.iter_mut().for_each(|segment| segment.claimed.clear()),
            Bug::LastLookedAtOnly if limit != Some(1) => {
                segments = self.below.range(organisation, range, Order::Descending, Some(1), consistency).await?;
            }
            _ => {}
        }
        Ok(segments)
    }
}
