//! The proof that a role is meant for an organisation's events. Names alone prove nothing: anybody can write another's bucket
//! and role into a form, and a role that trusts Annals without an external id trusts it for every organisation.
//!
//! A role is proven if it can be assumed with the organisation's own external id and is refused with another: whoever set it up
//! named the organisation. A role that accepts any external id is proven by the code in the test object, which only somebody
//! who reads the bucket knows.

use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    failure::FailureCode,
    sink::{ObjectSink, SinkError, Target},
};
use crate::{
    entropy::{self, BASE62, Entropy},
    time::Timestamp,
};

/// What a deployment does with roles that accept any external id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RolesWithoutExternalId {
    /// They are proven by the code in the test object.
    #[default]
    Challenge,
    /// They count as proven.
    Allow,
    /// They are not used.
    Refuse,
}

impl FromStr for RolesWithoutExternalId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "challenge" => Ok(Self::Challenge),
            "allow" => Ok(Self::Allow),
            "refuse" => Ok(Self::Refuse),
            _ => Err("must be challenge, allow or refuse"),
        }
    }
}

/// What is known of a destination's role.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// `None`: unproven. Nothing is delivered then.
    pub proven: Option<Proven>,
    /// When an earlier proof was lost, if it was not given again.
    pub lost_at: Option<Timestamp>,
    /// The code in the test object, as long as it is needed.
    pub challenge: Option<Challenge>,
    /// Whether the destination has claimed its bucket and its role.
    pub claimed: bool,
}

/// How a role was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proven {
    pub by: ProvenBy,
    pub at: Timestamp,
    /// When the role is checked again.
    pub check_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProvenBy {
    /// It requires the organisation's external id.
    ExternalId,
    /// Somebody entered the code in the test object.
    Code,
    /// The deployment allows roles that accept any external id.
    Allowed,
    /// An earlier version, which required no proof, has delivered with it.
    Upgrade,
}

impl ProvenBy {
    pub const ALL: [Self; 4] = [Self::ExternalId, Self::Code, Self::Allowed, Self::Upgrade];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExternalId => "externalId",
            Self::Code => "code",
            Self::Allowed => "allowed",
            Self::Upgrade => "upgrade",
        }
    }

    /// Returns whether the owner of the role or the bucket has given the proof. Other claims give way to it.
    #[must_use]
    pub fn is_by_the_owner(self) -> bool {
        matches!(self, Self::ExternalId | Self::Code)
    }
}

impl FromStr for ProvenBy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|by| by.as_str() == text).ok_or("must name a proof")
    }
}

/// What a check of a role found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleCheck {
    /// It requires the organisation's external id.
    RequiresExternalId,
    AcceptsAnyExternalId,
    /// It cannot be assumed.
    NotAssumable(SinkError),
    /// It can be assumed, but AWS did not answer whether it accepts another external id.
    Unknown(SinkError),
}

impl Proof {
    /// A proven role is checked again after this time.
    pub const CHECKED_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
    /// A check without a result is repeated after this time.
    const REPEATED_AFTER: Duration = Duration::from_secs(60 * 60);

    #[must_use]
    pub fn of(by: ProvenBy, at: Timestamp) -> Self {
        let check_at = at.plus(Self::CHECKED_EVERY);
        Self { proven: Some(Proven { by, at, check_at }), ..Self::default() }
    }

    /// Returns the proof of a destination that an earlier version stored, which knew no proof. If it has delivered, it goes on.
    #[must_use]
    pub fn of_earlier_version(last_success: Option<Timestamp>) -> Self {
        last_success.map_or_else(Self::default, |at| Self::of(ProvenBy::Upgrade, at))
    }

    /// Returns whether the role must be checked before events are delivered.
    #[must_use]
    pub fn is_check_due(&self, now: Timestamp) -> bool {
        let latest = now.plus(Self::CHECKED_EVERY);
        self.proven.is_none_or(|proven| proven.check_at <= now || proven.check_at > latest)
    }

    /// Returns the proof after a check of the role.
    #[must_use]
    pub fn after(&self, check: &RoleCheck, roles: RolesWithoutExternalId, now: Timestamp) -> Self {
        let check_at = now.plus(Self::CHECKED_EVERY);
        let prove = |by| Self { claimed: self.claimed, ..Self::of(by, now) };
        match (check, self.proven) {
            (RoleCheck::RequiresExternalId, Some(proven)) if proven.by == ProvenBy::ExternalId => {
                Self { proven: Some(Proven { check_at, ..proven }), ..self.clone() }
            }
            (RoleCheck::RequiresExternalId, _) => prove(ProvenBy::ExternalId),
            (RoleCheck::AcceptsAnyExternalId, Some(proven)) if proven.by != ProvenBy::ExternalId => Self {
                proven: Some(Proven { check_at, ..proven }),
                // Another's claim may have replaced this one.
                claimed: self.claimed && proven.by.is_by_the_owner(),
                ..self.clone()
            },
            (RoleCheck::AcceptsAnyExternalId, _) if roles == RolesWithoutExternalId::Allow => prove(ProvenBy::Allowed),
            (RoleCheck::AcceptsAnyExternalId, Some(_)) => Self { lost_at: Some(now), ..Self::default() },
            (RoleCheck::AcceptsAnyExternalId, None) => self.clone(),
            (RoleCheck::NotAssumable(_) | RoleCheck::Unknown(_), proven) => {
                let check_at = now.plus(Self::REPEATED_AFTER);
                Self { proven: proven.map(|proven| Proven { check_at, ..proven }), ..self.clone() }
            }
        }
    }
}

/// Finds out whether a role requires the organisation's external id.
pub async fn check_role(sink: &dyn ObjectSink, entropy: &dyn Entropy, target: &Target) -> RoleCheck {
    if let Err(error) = sink.assume(target, &target.external_id).await {
        return RoleCheck::NotAssumable(error);
    }
    // It has the form of those that Annals makes, in case the role accepts all of them.
    let wrong = format!("annals-{}", entropy::characters(entropy, BASE62, 32));
    match sink.assume(target, &wrong).await {
        Ok(()) => RoleCheck::AcceptsAnyExternalId,
        Err(error) if FailureCode::of(&error) == FailureCode::RoleNotAssumable => {
            // The refusal proves something only if the role was not deleted or changed between the two calls.
            match sink.assume(target, &target.external_id).await {
                Ok(()) => RoleCheck::RequiresExternalId,
                Err(error) => RoleCheck::NotAssumable(error),
            }
        }
        Err(error) => RoleCheck::Unknown(error),
    }
}

/// The code in a test object, and how often a wrong one was entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Challenge {
    pub code: String,
    pub issued_at: Timestamp,
    /// The number of wrong codes that were entered.
    pub attempts: u32,
}

impl Challenge {
    /// The length of a code: 48 bits, of which the attempts at one code and six new codes a minute reveal nothing.
    pub const LENGTH: usize = 10;
    pub const MOST_ATTEMPTS: u32 = 5;
    pub const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
    /// Digits and capital letters that are not taken for each other.
    const ALPHABET: &'static [u8] = b"23456789ABCDEFGHJKMNPQRSTVWXYZ";

    #[must_use]
    pub fn new(entropy: &dyn Entropy, now: Timestamp) -> Self {
        Self { code: entropy::characters(entropy, Self::ALPHABET, Self::LENGTH), issued_at: now, attempts: 0 }
    }

    /// Returns whether the code can still be entered.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.attempts < Self::MOST_ATTEMPTS
            && now < self.issued_at.plus(Self::LIFETIME)
            && self.issued_at <= now.plus(Self::LIFETIME)
    }

    /// Returns whether `text` is the code: white space, hyphens and case do not matter. The time that this takes does not
    /// depend on how much of it is right.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let entered: Vec<u8> = text
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace() && *byte != b'-')
            .map(|byte| byte.to_ascii_uppercase())
            .collect();
        let code = self.code.as_bytes();
        let differing = code.iter().zip(&entered).fold(0, |all, (one, other)| all | (one ^ other));
        std::hint::black_box(differing) == 0 && entered.len() == code.len()
    }

    /// Returns the code in two halves, as people read it.
    #[must_use]
    pub fn shown(&self) -> String {
        let (first, second) = self.code.split_at(self.code.len() / 2);
        format!("{first}-{second}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::sink::{Call, Reason};

    const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn refused() -> SinkError {
        SinkError::new(Call::AssumeRole, Reason::answered(403, "AccessDenied", "no", None))
    }

    #[test]
    fn a_role_that_requires_the_external_id_is_proven_and_loses_the_proof_when_it_does_not() {
        let roles = RolesWithoutExternalId::Challenge;
        let proven = Proof::default().after(&RoleCheck::RequiresExternalId, roles, START);
        assert_eq!(proven, Proof::of(ProvenBy::ExternalId, START));
        let later = START.plus(Proof::CHECKED_EVERY);
        assert!(!proven.is_check_due(START) && proven.is_check_due(later));
        let again = proven.after(&RoleCheck::RequiresExternalId, roles, later);
        assert_eq!(again.proven.map(|proven| proven.at), Some(START));
        let lost = again.after(&RoleCheck::AcceptsAnyExternalId, roles, later);
        assert_eq!((lost.proven, lost.lost_at, lost.claimed), (None, Some(later), false));
        let given_again = lost.after(&RoleCheck::RequiresExternalId, roles, later);
        assert_eq!(given_again, Proof::of(ProvenBy::ExternalId, later));
    }

    #[test]
    fn a_check_without_a_result_neither_proves_nor_takes_a_proof_away() {
        for check in [RoleCheck::NotAssumable(refused()), RoleCheck::Unknown(refused())] {
            for roles in
                [RolesWithoutExternalId::Challenge, RolesWithoutExternalId::Allow, RolesWithoutExternalId::Refuse]
            {
                assert_eq!(Proof::default().after(&check, roles, START), Proof::default());
                let proven = Proof::of(ProvenBy::ExternalId, START).after(&check, roles, START);
                assert_eq!(proven.proven.map(|proven| proven.by), Some(ProvenBy::ExternalId));
                assert!(proven.is_check_due(START.plus(Proof::REPEATED_AFTER)));
            }
        }
    }

    #[test]
    fn only_a_deployment_that_allows_it_takes_a_role_that_accepts_any_external_id_as_proven() {
        let check = RoleCheck::AcceptsAnyExternalId;
        let after = |roles| Proof::default().after(&check, roles, START).proven.map(|proven| proven.by);
        assert_eq!(after(RolesWithoutExternalId::Challenge), None);
        assert_eq!(after(RolesWithoutExternalId::Refuse), None);
        assert_eq!(after(RolesWithoutExternalId::Allow), Some(ProvenBy::Allowed));
        // What runs goes on.
        for by in [ProvenBy::Code, ProvenBy::Upgrade, ProvenBy::Allowed] {
            let after = Proof::of(by, START).after(&check, RolesWithoutExternalId::Refuse, START);
            assert_eq!(after.proven.map(|proven| proven.by), Some(by));
        }
    }

    #[test]
    fn a_code_matches_as_people_type_it_and_ends() {
        let challenge = Challenge { code: "7KQ2MXW4TR".into(), issued_at: START, attempts: 0 };
        assert_eq!(challenge.shown(), "7KQ2M-XW4TR");
        for right in ["7KQ2M-XW4TR", " 7kq2m xw4tr\n", "7KQ2MXW4TR"] {
            assert!(challenge.matches(right), "{right}");
        }
        for wrong in ["", "7KQ2M", "7KQ2MXW4TR7", "7KQ2MXW4TS", "-", "７KQ2MXW4TR"] {
            assert!(!challenge.matches(wrong), "{wrong}");
        }
        assert!(challenge.is_open(START));
        assert!(!challenge.is_open(START.plus(Challenge::LIFETIME)));
        assert!(!Challenge { attempts: Challenge::MOST_ATTEMPTS, ..challenge }.is_open(START));
    }
}
