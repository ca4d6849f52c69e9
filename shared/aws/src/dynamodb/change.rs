//! The registry's changes as conditional writes of a transaction.

use annals_core::{
    change::{Change, Conflict, Replaced},
    destination::Destination,
    log::{store::StoreError, tail::Anchor},
    token::Token,
};
use aws_sdk_dynamodb::types::AttributeValue;

use super::{
    item::{EXPIRES_AT, ORGANISATION, REPLACED_BY, TOKENS, VERSION},
    registry::{
        SHORTEST_RETENTION, connection_test_key, deleted_deliveries_item, destination_item, destination_key, link_item,
        link_key, organisation_item, organisation_key, session_item, session_key, token_item, token_key,
        used_link_item,
    },
    segment::anchor_item,
    write::{Condition, ConditionalWrite},
};

/// The condition of every change of a version.
const SAME_VERSION: &str = "#version = :version";

/// Replaces a destination with its next version.
pub(super) fn next_version(destination: &Destination) -> Result<ConditionalWrite, StoreError> {
    Ok(ConditionalWrite::put(destination_item(destination)?, SAME_VERSION)
        .alias("#version", VERSION)
        .number(":version", destination.version - 1))
}

/// Sets a token's end and successor.
fn replace_token(successor: &Token, replaced: &Replaced) -> ConditionalWrite {
    let same = match replaced.replaced_by {
        None => "#organisation = :organisation AND attribute_not_exists(#replacedBy)",
        Some(_) => "#organisation = :organisation AND #replacedBy = :before",
    };
    let update = "SET #replacedBy = :successor, #expiresAt = :end";
    let write = ConditionalWrite::update(token_key(&replaced.id), update, Some(same))
        .alias("#organisation", ORGANISATION)
        .alias("#replacedBy", REPLACED_BY)
        .alias("#expiresAt", EXPIRES_AT)
        .text(":organisation", &successor.organisation)
        .text(":successor", &successor.id)
        .number(":end", replaced.expires_at.as_millis());
    match &replaced.replaced_by {
        None => write,
        Some(before) => write.text(":before", before),
    }
}

/// Returns the writes of `change`, each with the meaning of its failure.
pub(super) fn writes(change: &Change) -> Result<Vec<(ConditionalWrite, Condition)>, StoreError> {
    const NEW: &str = "attribute_not_exists(pk)";
    let exists = Condition::Means(Conflict::Exists);
    Ok(match change {
        Change::CreateOrganisation(organisation) => vec![
            (ConditionalWrite::put(organisation_item(organisation), NEW), exists),
            (
                ConditionalWrite::put(
                    anchor_item(&organisation.id, &Anchor::of_new_log(organisation)),
                    "attribute_not_exists(org)",
                ),
                exists,
            ),
        ],
        Change::UpdateOrganisation(organisation) => {
            let update = "SET #name = :name, #plan = :plan, retentionDays = :retention, \
                          longestRetentionDays = :longest, #shortest = :shortest, #version = :after";
            let write = ConditionalWrite::update(organisation_key(&organisation.id), update, Some(SAME_VERSION))
                .alias("#name", "name")
                .alias("#plan", "plan")
                .alias("#shortest", SHORTEST_RETENTION)
                .alias("#version", VERSION)
                .text(":name", &organisation.name)
                .text(":plan", organisation.plan.as_str())
                .number(":retention", organisation.retention.days().into())
                .number(":longest", organisation.longest_retention.days().into())
                .number(":shortest", organisation.shortest_retention.days().into())
                .number(":after", organisation.version)
                .number(":version", organisation.version - 1);
            vec![(write, Condition::Version)]
        }
        Change::CreateToken { token, limit, replaced, cleared, now } => {
            let added = AttributeValue::N((1 - i64::try_from(cleared.len()).unwrap_or(i64::MAX)).to_string());
            let count = ConditionalWrite::update(
                organisation_key(&token.organisation),
                "ADD #tokens :added",
                Some("attribute_exists(pk) AND (attribute_not_exists(#tokens) OR #tokens < :limit)"),
            )
            .alias("#tokens", TOKENS)
            .value(":added", added)
            .number(":limit", (limit + cleared.len()) as u64);
            let mut writes = vec![
                (count, Condition::Means(Conflict::TokenLimit)),
                (ConditionalWrite::put(token_item(token), NEW), exists),
            ];
            writes.extend(replaced.as_ref().map(|replaced| (replace_token(token, replaced), Condition::Version)));
            writes.extend(cleared.iter().map(|id| {
                let ended = "#organisation = :organisation AND #expiresAt <= :now";
                let delete = ConditionalWrite::delete(token_key(id), Some(ended))
                    .alias("#organisation", ORGANISATION)
                    .alias("#expiresAt", EXPIRES_AT)
                    .text(":organisation", &token.organisation)
                    .number(":now", now.as_millis());
                (delete, Condition::Means(Conflict::Changed))
            }));
            writes
        }
        Change::RevokeToken(organisation, id) => {
            let write = ConditionalWrite::delete(token_key(id), Some("#organisation = :organisation"))
                .alias("#organisation", ORGANISATION)
                .text(":organisation", organisation);
            let count = ConditionalWrite::update(organisation_key(organisation), "ADD #tokens :minusOne", None)
                .alias("#tokens", TOKENS)
                .value(":minusOne", AttributeValue::N("-1".to_owned()));
            let missing = Condition::Means(Conflict::Missing);
            vec![(write, missing), (count, missing)]
        }
        Change::CreateDestination { destination, limit } => {
            let count = ConditionalWrite::update(
                organisation_key(&destination.organisation),
                "ADD destinations :one",
                Some("destinations < :limit"),
            )
            .number(":one", 1)
            .number(":limit", *limit as u64);
            vec![
                (count, Condition::Means(Conflict::Limit)),
                (ConditionalWrite::put(destination_item(destination)?, NEW), exists),
            ]
        }
        Change::UpdateDestination(destination) => vec![(next_version(destination)?, Condition::Version)],
        Change::CreatePortalLink(link) => vec![(ConditionalWrite::put(link_item(link), NEW), exists)],
        Change::StartSession { link, session } => vec![
            (
                ConditionalWrite::delete(link_key(link), Some("attribute_exists(pk)")),
                Condition::Means(Conflict::Missing),
            ),
            (ConditionalWrite::put(used_link_item(link, session.started_at), NEW), exists),
            (ConditionalWrite::put(session_item(session), NEW), exists),
        ],
        Change::EndSession(hash) => {
            let delete = ConditionalWrite::delete(session_key(hash), Some("attribute_exists(pk)"));
            vec![(delete, Condition::Means(Conflict::Missing))]
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
            let kept = deleted_deliveries_item(destination).map(|item| (ConditionalWrite::put(item, NEW), exists));
            let mut writes = vec![
                (delete, Condition::Version),
                (
                    ConditionalWrite::delete(connection_test_key(&destination.organisation, &destination.id), None),
                    Condition::Means(Conflict::Missing),
                ),
                (count, Condition::Means(Conflict::Missing)),
            ];
            writes.extend(kept);
            writes
        }
    })
}
