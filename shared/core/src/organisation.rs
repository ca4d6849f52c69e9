//! Organisations: the customers, each with a separate audit log. This module owns their ids, plans and retention; the
//! registry stores them.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    entropy::{self, Entropy},
    fault::Faults,
    input::{self, Choice, Describer, DisplayName, Fields, Input, WholeNumber},
    time::Timestamp,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An organisation's id: 1 to 64 letters, digits, `-` and `_`, the first a letter or digit. The platform chooses it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct OrganisationId(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 letters, digits, - and _, beginning with a letter or digit")]
pub struct OrganisationIdError;

impl OrganisationId {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OrganisationId {
    type Err = OrganisationIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let begins_well = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        let fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if begins_well && fits && text.len() <= 64 { Ok(Self(text.to_owned())) } else { Err(OrganisationIdError) }
    }
}

impl TryFrom<String> for OrganisationId {
    type Error = OrganisationIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for OrganisationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an organisation has bought. It limits the number of destinations, as WireMock Cloud's plans do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    Free,
    Team,
    Enterprise,
    EnterpriseTrial,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be one of free, team, enterprise, enterprise_trial")]
pub struct PlanError;

impl Plan {
    pub const ALL: &'static [Self] = &[Self::Free, Self::Team, Self::Enterprise, Self::EnterpriseTrial];

    /// Returns the number of destinations that it allows.
    #[must_use]
    pub fn destinations(self) -> usize {
        match self {
            Self::Free | Self::Team => 0,
            Self::Enterprise | Self::EnterpriseTrial => 1,
        }
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Team => "team",
            Self::Enterprise => "enterprise",
            Self::EnterpriseTrial => "enterprise_trial",
        }
    }
}

impl FromStr for Plan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|plan| plan.as_str() == text).ok_or(PlanError)
    }
}

/// The number of days for which an event is kept: 7 to 3650.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RetentionDays(u16);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number of days from 7 to 3650")]
pub struct RetentionError;

impl RetentionDays {
    /// The shortest retention. An event younger than this cannot have expired. Finding the log's tail depends on it.
    pub const MIN: Self = Self(7);
    pub const MAX: Self = Self(3650);
    /// The default of deployments that do not set another.
    pub const DEFAULT: Self = Self(90);

    #[must_use]
    pub fn days(self) -> u16 {
        self.0
    }

    #[must_use]
    pub fn duration(self) -> Duration {
        DAY * u32::from(self.0)
    }
}

impl TryFrom<u64> for RetentionDays {
    type Error = RetentionError;

    fn try_from(days: u64) -> Result<Self, Self::Error> {
        u16::try_from(days)
            .ok()
            .filter(|days| (Self::MIN.0..=Self::MAX.0).contains(days))
            .map(Self)
            .ok_or(RetentionError)
    }
}

impl FromStr for RetentionDays {
    type Err = RetentionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<u64>().map_err(|_| RetentionError).and_then(Self::try_from)
    }
}

/// A customer, the unit of isolation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organisation {
    pub id: OrganisationId,
    /// Every event contains the name at the time when it was recorded.
    pub name: String,
    pub plan: Plan,
    /// The retention of events that are recorded from now on.
    pub retention: RetentionDays,
    /// The longest `retention` so far: every older event has expired.
    pub longest_retention: RetentionDays,
    /// The shortest `retention` so far: no event expires sooner.
    pub shortest_retention: RetentionDays,
    /// Sent with every AssumeRole to one of its roles, generated once. It prevents one customer from having Annals use
    /// another customer's role (the confused deputy problem).
    pub external_id: String,
    pub created_at: Timestamp,
    /// The number of changes. Each change is conditional on it.
    pub version: u64,
}

/// The body of `PUT /organisations/{org}`. A missing member keeps its value, or gets its default if the organisation is
/// new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganisationInput {
    pub name: String,
    pub plan: Option<Plan>,
    pub retention: Option<RetentionDays>,
}

impl OrganisationInput {
    /// Reads the body of the request.
    ///
    /// # Errors
    /// Returns every fault with its place.
    pub fn parse(body: &[u8]) -> Result<Self, Faults> {
        input::read(body, Self::fields)
    }

    fn fields<F: Fields>(fields: &mut F) -> Option<Self> {
        let name =
            fields.required("name", "The organisation's name, as people know it.", DisplayName { max_chars: 200 });
        let plan = Choice { values: Plan::ALL, name: Plan::as_str };
        let plan = fields.optional("plan", "The plan. A new organisation gets `free` by default.", plan);
        let days = WholeNumber {
            what: "a whole number of days",
            min: RetentionDays::MIN.days().into(),
            max: RetentionDays::MAX.days().into(),
        };
        let days = fields.optional(
            "retentionDays",
            "How many days events that are recorded from now on are kept. A new organisation gets 90 by default.",
            days,
        );
        let retention = days.and_then(|days| RetentionDays::try_from(days).ok());
        Some(Self { name: name?, plan, retention })
    }

    /// Returns the new organisation. Its retention is `default` if the input has none.
    #[must_use]
    pub fn create(
        self,
        id: OrganisationId,
        default: RetentionDays,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Organisation {
        let retention = self.retention.unwrap_or(default);
        Organisation {
            id,
            name: self.name,
            plan: self.plan.unwrap_or(Plan::Free),
            retention,
            longest_retention: retention,
            shortest_retention: retention,
            external_id: format!("annals-{}", entropy::characters(entropy, entropy::BASE62, 32)),
            created_at: now,
            version: 1,
        }
    }

    #[must_use]
    pub fn update(self, organisation: &Organisation) -> Organisation {
        let retention = self.retention.unwrap_or(organisation.retention);
        Organisation {
            name: self.name,
            plan: self.plan.unwrap_or(organisation.plan),
            retention,
            longest_retention: organisation.longest_retention.max(retention),
            shortest_retention: organisation.shortest_retention.min(retention),
            version: organisation.version + 1,
            ..organisation.clone()
        }
    }
}

impl Input for OrganisationInput {
    const NAME: &'static str = "OrganisationInput";
    const DESCRIPTION: &'static str = "The properties of an organisation.";

    fn describe(describer: &mut Describer) {
        Self::fields(describer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_an_organisation_is_reported_at_its_place() {
        let faults = OrganisationInput::parse(br#"{"name":"","plan":"gold","retentionDays":3,"colour":"red"}"#);
        insta::assert_snapshot!(faults.unwrap_err(), @"/name must not be empty; /plan must be one of free, team, enterprise, enterprise_trial; /retentionDays must be a whole number of days from 7 to 3650; /colour is not a known field here");
    }

    #[test]
    fn an_update_keeps_missing_members() {
        let before = Organisation {
            id: "acme".parse().unwrap(),
            name: "Acme".into(),
            plan: Plan::Enterprise,
            retention: RetentionDays(3650),
            longest_retention: RetentionDays(3650),
            shortest_retention: RetentionDays(3650),
            external_id: "x".into(),
            created_at: Timestamp::EPOCH,
            version: 4,
        };
        let after = OrganisationInput::parse(br#"{"name":"Acme Ltd","retentionDays":30}"#).unwrap().update(&before);
        assert_eq!(
            after,
            Organisation {
                name: "Acme Ltd".into(),
                retention: RetentionDays(30),
                shortest_retention: RetentionDays(30),
                version: 5,
                ..before.clone()
            }
        );
        assert_eq!(after.longest_retention.days(), 3650, "events recorded before keep their retention");
    }

    #[test]
    fn ids_are_short_and_plain() {
        for good in ["acme", "A", "0f8fad5b-d9cb-469f-a165-70867728950e", "org_1"] {
            assert!(good.parse::<OrganisationId>().is_ok(), "{good}");
        }
        for bad in ["", "-acme", "a b", "a/b", "ä", "a#b", &"x".repeat(65)] {
            assert_eq!(bad.parse::<OrganisationId>(), Err(OrganisationIdError), "{bad}");
        }
    }
}
