//! The registry's changes as conditional writes of a transaction.

use std::collections::HashMap;

use annals_core::{
    log::{segment::Tail, store::StoreError},
    registry::{Change, Conflict},
};
use aws_sdk_dynamodb::types::AttributeValue;

use super::{
    item::{Attributes, Builder, ORG, ORGANISATION, PK, SK, VERSION},
    log::anchor_item,
    registry::{destination_item, destination_key, organisation_item, organisation_key, token_item, token_key},
};

/// One write of a transaction, and what must hold for it.
#[derive(Debug)]
pub(super) enum ConditionalWrite {
    Put {
        item: Attributes,
        condition: &'static str,
        names: Option<HashMap<String, String>>,
        values: Option<Attributes>,
    },
    Update {
        key: Attributes,
        update: &'static str,
        condition: Option<String>,
        names: Option<HashMap<String, String>>,
        values: Option<Attributes>,
    },
    Delete {
        key: Attributes,
        condition: Option<String>,
        names: Option<HashMap<String, String>>,
        values: Option<Attributes>,
    },
}

impl ConditionalWrite {
    pub(super) fn put(item: Attributes, condition: &'static str) -> Self {
        Self::Put { item, condition, names: None, values: None }
    }

    fn update(key: Attributes, update: &'static str, condition: Option<&str>) -> Self {
        Self::Update { key, update, condition: condition.map(str::to_owned), names: None, values: None }
    }

    fn delete(key: Attributes, condition: Option<&str>) -> Self {
        Self::Delete { key, condition: condition.map(str::to_owned), names: None, values: None }
    }

    pub(super) fn value(mut self, name: &str, value: AttributeValue) -> Self {
        let (Self::Put { values, .. } | Self::Update { values, .. } | Self::Delete { values, .. }) = &mut self;
        values.get_or_insert_default().insert(name.to_owned(), value);
        self
    }

    fn number(self, name: &str, value: u64) -> Self {
        self.value(name, AttributeValue::N(value.to_string()))
    }

    fn text(self, name: &str, value: impl ToString) -> Self {
        self.value(name, AttributeValue::S(value.to_string()))
    }

    /// An alias for an attribute whose name may be a reserved word.
    fn alias(mut self, alias: &str, name: &str) -> Self {
        let (Self::Put { names, .. } | Self::Update { names, .. } | Self::Delete { names, .. }) = &mut self;
        names.get_or_insert_default().insert(alias.to_owned(), name.to_owned());
        self
    }

    /// Whether it belongs to the log's table rather than the registry's.
    pub(super) fn is_of_log(&self) -> bool {
        let (Self::Put { item: key, .. } | Self::Update { key, .. } | Self::Delete { key, .. }) = self;
        key.contains_key(ORG)
    }
}

/// What a write's failed condition means.
#[derive(Debug, Clone, Copy)]
pub(super) enum Condition {
    /// It means this.
    Means(Conflict),
    /// [`Conflict::Changed`] where there is an item, [`Conflict::Missing`] where there is none.
    Version,
}

impl Condition {
    /// The conflict, given whether there is an item.
    pub(super) fn conflict(self, exists: bool) -> Conflict {
        match self {
            Self::Means(conflict) => conflict,
            Self::Version if exists => Conflict::Changed,
            Self::Version => Conflict::Missing,
        }
    }
}

/// The writes that make `change`, each with what its failure means.
pub(super) fn writes(change: &Change) -> Result<Vec<(ConditionalWrite, Condition)>, StoreError> {
    const NEW: &str = "attribute_not_exists(pk)";
    const SAME_VERSION: &str = "#version = :version";
    const FREE_OR_OURS: &str = "attribute_not_exists(pk) OR #organisation = :organisation";
    let exists = Condition::Means(Conflict::Exists);
    Ok(match change {
        Change::CreateOrganisation(organisation) => vec![
            (ConditionalWrite::put(organisation_item(organisation), NEW), exists),
            (ConditionalWrite::put(anchor_item(&organisation.id, &Tail::ORIGIN), "attribute_not_exists(org)"), exists),
        ],
        Change::UpdateOrganisation(organisation) => {
            let update = "SET #name = :name, #plan = :plan, retentionDays = :retention, \
                          longestRetentionDays = :longest, #version = :after";
            let write = ConditionalWrite::update(organisation_key(&organisation.id), update, Some(SAME_VERSION))
                .alias("#name", "name")
                .alias("#plan", "plan")
                .alias("#version", VERSION)
                .text(":name", &organisation.name)
                .text(":plan", organisation.plan.as_str())
                .number(":retention", organisation.retention.days().into())
                .number(":longest", organisation.longest_retention.days().into())
                .number(":after", organisation.version)
                .number(":version", organisation.version - 1);
            vec![(write, Condition::Version)]
        }
        Change::CreateToken(token) => vec![(ConditionalWrite::put(token_item(token), NEW), exists)],
        Change::RevokeToken(organisation, id) => {
            let write = ConditionalWrite::delete(token_key(id), Some("#organisation = :organisation"))
                .alias("#organisation", ORGANISATION)
                .text(":organisation", organisation);
            vec![(write, Condition::Means(Conflict::Missing))]
        }
        Change::CreateDestination { destination, limit } => {
            let count = ConditionalWrite::update(
                organisation_key(&destination.organisation),
                "ADD destinations :one",
                Some("attribute_exists(pk) AND (attribute_not_exists(destinations) OR destinations < :limit)"),
            )
            .number(":one", 1)
            .number(":limit", *limit as u64);
            let claim = |what: &str, name: &str| {
                let item = Builder::default()
                    .text(PK, format!("claim#{what}#{name}"))
                    .text(SK, "claim")
                    .text(ORGANISATION, &destination.organisation)
                    .build();
                ConditionalWrite::put(item, FREE_OR_OURS)
                    .alias("#organisation", ORGANISATION)
                    .text(":organisation", &destination.organisation)
            };
            vec![
                (count, Condition::Means(Conflict::Limit)),
                (claim("bucket", destination.bucket.as_str()), Condition::Means(Conflict::BucketInUse)),
                (claim("role", destination.role_arn.as_str()), Condition::Means(Conflict::RoleInUse)),
                (ConditionalWrite::put(destination_item(destination)?, NEW), exists),
            ]
        }
        Change::UpdateDestination(destination) => {
            let write = ConditionalWrite::put(destination_item(destination)?, SAME_VERSION)
                .alias("#version", VERSION)
                .number(":version", destination.version - 1);
            vec![(write, Condition::Version)]
        }
        Change::DeleteDestination(destination) => {
            let delete = ConditionalWrite::delete(
                destination_key(&destination.organisation, &destination.id),
                Some(SAME_VERSION),
            )
            .alias("#version", VERSION)
            .number(":version", destination.version);
            let count = ConditionalWrite::update(
                organisation_key(&destination.organisation),
                "ADD destinations :minusOne",
                None,
            )
            .value(":minusOne", AttributeValue::N("-1".to_owned()));
            let claim = |what: &str, name: &str| {
                let key = Builder::default().text(PK, format!("claim#{what}#{name}")).text(SK, "claim").build();
                ConditionalWrite::delete(key, None)
            };
            vec![
                (delete, Condition::Version),
                (count, Condition::Means(Conflict::Missing)),
                (claim("bucket", destination.bucket.as_str()), Condition::Means(Conflict::Missing)),
                (claim("role", destination.role_arn.as_str()), Condition::Means(Conflict::Missing)),
            ]
        }
    })
}
