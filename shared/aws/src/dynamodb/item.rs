//! Names of attributes, and building and reading items. If an item cannot be read, the error names the attribute.

use std::{collections::HashMap, str::FromStr};

use annals_core::{log::store::StoreError, time::Timestamp};
use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};

/// Partition key of the log: the organisation's id.
pub(super) const ORG: &str = "org";
/// Sort key of the log: a segment's first sequence; 0 for the anchor.
pub(super) const SEQ: &str = "seq";
/// Seconds since the epoch at which DynamoDB may delete an item of either table.
pub(super) const EXPIRY: &str = "x";

/// Partition key of the registry.
pub(super) const PK: &str = "pk";
/// Sort key of the registry.
pub(super) const SK: &str = "sk";
/// The registry's sparse index.
pub(super) const LISTING: &str = "listing";
/// Partition key of the index: the list that an item belongs to.
pub(super) const GROUP: &str = "g";
/// Sort key of the index.
pub(super) const GROUP_SORT: &str = "gs";
/// Attributes in the index besides keys: what planning needs.
pub(super) const LISTED: [&str; 5] = [NEXT_SEQUENCE, PENDING, RETRY_AT, FAILURE_CODE, LAG_FROM];
pub(super) const FAILURE_CODE: &str = "failureCode";
pub(super) const LAG_FROM: &str = "lagFrom";
pub(super) const NEXT_SEQUENCE: &str = "nextSequence";
/// Whether a delivery is unfinished; or, if none is, the time when a checkpoint is due.
pub(super) const PENDING: &str = "pending";
pub(super) const RETRY_AT: &str = "retryAt";
/// The number of changes of an item of the registry.
pub(super) const VERSION: &str = "version";
/// The organisation that an item of the registry belongs to.
pub(super) const ORGANISATION: &str = "organisation";

/// When a token expires.
pub(super) const EXPIRES_AT: &str = "expiresAt";
/// When a token was last used.
pub(super) const LAST_USED_AT: &str = "lastUsedAt";
/// A token's successor.
pub(super) const REPLACED_BY: &str = "replacedBy";
/// The number of an organisation's tokens.
pub(super) const TOKENS: &str = "tokens";

/// An item in the SDK's representation.
pub(super) type Attributes = HashMap<String, AttributeValue>;

/// An item being built.
#[derive(Debug, Default)]
pub(super) struct Builder(Attributes);

impl Builder {
    pub(super) fn text(mut self, name: &str, value: impl ToString) -> Self {
        self.0.insert(name.to_owned(), AttributeValue::S(value.to_string()));
        self
    }

    pub(super) fn text_if(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    pub(super) fn number(mut self, name: &str, value: u64) -> Self {
        self.0.insert(name.to_owned(), AttributeValue::N(value.to_string()));
        self
    }

    pub(super) fn number_if(self, name: &str, value: Option<u64>) -> Self {
        match value {
            Some(value) => self.number(name, value),
            None => self,
        }
    }

    pub(super) fn time(self, name: &str, value: Timestamp) -> Self {
        self.number(name, value.as_millis())
    }

    pub(super) fn time_if(self, name: &str, value: Option<Timestamp>) -> Self {
        match value {
            Some(value) => self.time(name, value),
            None => self,
        }
    }

    pub(super) fn bytes(mut self, name: &str, value: &[u8]) -> Self {
        self.0.insert(name.to_owned(), AttributeValue::B(Blob::new(value)));
        self
    }

    pub(super) fn bytes_unless_empty(self, name: &str, value: &[u8]) -> Self {
        if value.is_empty() { self } else { self.bytes(name, value) }
    }

    pub(super) fn flag(mut self, name: &str, value: bool) -> Self {
        self.0.insert(name.to_owned(), AttributeValue::Bool(value));
        self
    }

    pub(super) fn build(self) -> Attributes {
        self.0
    }
}

/// An item that was read.
#[derive(Debug)]
pub(super) struct Item(pub(super) Attributes);

impl Item {
    /// Returns the keys, for reports.
    pub(super) fn key(&self) -> String {
        [PK, SK, ORG, SEQ]
            .iter()
            .filter_map(|name| match self.0.get(*name)? {
                AttributeValue::S(text) | AttributeValue::N(text) => Some(text.as_str()),
                _ => None,
            })
            .collect::<Vec<_>>()
            .join(" ")
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn text(&self, name: &str) -> Result<&str, StoreError> {
        self.0.get(name).and_then(|value| value.as_s().ok()).map(String::as_str).ok_or_else(|| malformed(name))
    }

    /// Returns a list of texts.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<&String>, StoreError> {
        let list = self.0.get(name).and_then(|value| value.as_l().ok()).ok_or_else(|| malformed(name))?;
        list.iter().map(|value| value.as_s().map_err(|_| malformed(name))).collect()
    }

    pub(super) fn parsed<T: FromStr>(&self, name: &str) -> Result<T, StoreError> {
        self.text(name)?.parse().map_err(|_| malformed(name))
    }

    pub(super) fn parsed_if<T: FromStr>(&self, name: &str) -> Result<Option<T>, StoreError> {
        if self.has(name) { self.parsed(name).map(Some) } else { Ok(None) }
    }

    pub(super) fn number(&self, name: &str) -> Result<u64, StoreError> {
        let digits = self.0.get(name).and_then(|value| value.as_n().ok());
        digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| malformed(name))
    }

    pub(super) fn number_if(&self, name: &str) -> Result<Option<u64>, StoreError> {
        if self.has(name) { self.number(name).map(Some) } else { Ok(None) }
    }

    pub(super) fn time(&self, name: &str) -> Result<Timestamp, StoreError> {
        self.number(name).map(Timestamp::from_millis)
    }

    pub(super) fn time_if(&self, name: &str) -> Result<Option<Timestamp>, StoreError> {
        if self.has(name) { self.time(name).map(Some) } else { Ok(None) }
    }

    pub(super) fn bytes(&self, name: &str) -> Result<&[u8], StoreError> {
        self.0.get(name).and_then(|value| value.as_b().ok()).map(Blob::as_ref).ok_or_else(|| malformed(name))
    }

    pub(super) fn array<const N: usize>(&self, name: &str) -> Result<[u8; N], StoreError> {
        self.bytes(name)?.try_into().map_err(|_| malformed(name))
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, StoreError> {
        self.0.get(name).and_then(|value| value.as_bool().ok()).copied().ok_or_else(|| malformed(name))
    }
}

/// Returns the error for an attribute that is missing or malformed.
pub(super) fn malformed(name: &str) -> StoreError {
    StoreError::Broken(format!("an item's attribute {name} is missing or malformed").into())
}
