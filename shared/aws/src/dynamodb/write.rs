//! A conditional write of a transaction, and the meaning of its failure.

use std::collections::HashMap;

use annals_core::{change::Conflict, log::store::StoreError};
use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};

use super::item::{Attributes, ORG};

/// A write of a transaction with its condition.
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

    pub(super) fn update(key: Attributes, update: &'static str, condition: Option<&str>) -> Self {
        Self::Update { key, update, condition: condition.map(str::to_owned), names: None, values: None }
    }

    pub(super) fn delete(key: Attributes, condition: Option<&str>) -> Self {
        Self::Delete { key, condition: condition.map(str::to_owned), names: None, values: None }
    }

    pub(super) fn value(mut self, name: &str, value: AttributeValue) -> Self {
        let (Self::Put { values, .. } | Self::Update { values, .. } | Self::Delete { values, .. }) = &mut self;
        values.get_or_insert_default().insert(name.to_owned(), value);
        self
    }

    pub(super) fn number(self, name: &str, value: u64) -> Self {
        self.value(name, AttributeValue::N(value.to_string()))
    }

    pub(super) fn text(self, name: &str, value: impl ToString) -> Self {
        self.value(name, AttributeValue::S(value.to_string()))
    }

    /// Adds an alias for an attribute whose name may be a reserved word.
    pub(super) fn alias(mut self, alias: &str, name: &str) -> Self {
        let (Self::Put { names, .. } | Self::Update { names, .. } | Self::Delete { names, .. }) = &mut self;
        names.get_or_insert_default().insert(alias.to_owned(), name.to_owned());
        self
    }

    /// Returns whether the write belongs to the table of the log instead of the registry.
    pub(super) fn is_of_log(&self) -> bool {
        let (Self::Put { item: key, .. } | Self::Update { key, .. } | Self::Delete { key, .. }) = self;
        key.contains_key(ORG)
    }

    /// Returns the write as an action on `table`.
    pub(super) fn into_action(self, table: &str) -> Result<TransactWriteItem, StoreError> {
        let broken = |error: aws_sdk_dynamodb::error::BuildError| StoreError::Broken(error.into());
        let all_old = ReturnValuesOnConditionCheckFailure::AllOld;
        let action = TransactWriteItem::builder();
        Ok(match self {
            Self::Put { item, condition, names, values } => action.put(
                Put::builder()
                    .table_name(table)
                    .set_item(Some(item))
                    .condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(all_old)
                    .build()
                    .map_err(broken)?,
            ),
            Self::Update { key, update, condition, names, values } => action.update(
                Update::builder()
                    .table_name(table)
                    .set_key(Some(key))
                    .update_expression(update)
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(all_old)
                    .build()
                    .map_err(broken)?,
            ),
            Self::Delete { key, condition, names, values } => action.delete(
                Delete::builder()
                    .table_name(table)
                    .set_key(Some(key))
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(all_old)
                    .build()
                    .map_err(broken)?,
            ),
        }
        .build())
    }
}

/// The meaning of a write's failed condition.
#[derive(Debug, Clone, Copy)]
pub(super) enum Condition {
    Means(Conflict),
    /// [`Conflict::Changed`] if the item exists, otherwise [`Conflict::Missing`].
    Version,
}

impl Condition {
    /// Returns the conflict, given whether the item exists.
    pub(super) fn conflict(self, exists: bool) -> Conflict {
        match self {
            Self::Means(conflict) => conflict,
            Self::Version if exists => Conflict::Changed,
            Self::Version => Conflict::Missing,
        }
    }
}
