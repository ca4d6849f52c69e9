//! The port to the ship queue: orders to ship, and parts of jobs over all destinations or organisations.
//!
//! A message is a hint: the tables hold the state. It can be received more than once and in any order.

#![warn(missing_docs)]

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{destination::failure::FailureCode, log::store::StoreError, registry::ActiveDestination, time::Timestamp};

use super::{
    maintenance::{DivideJob, MaintainJob},
    plan::PlanJob,
};

/// A message of the ship queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum QueueMessage {
    /// A part of a job over everything.
    Job(Job),
    /// The order to ship to one destination.
    Ship(ShipOrder),
}

/// A part of a job over all destinations or organisations. Whoever works on it and runs out of time sends the rest as
/// another message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "camelCase")]
pub enum Job {
    /// Planning the rest of a shard.
    Plan(PlanJob),
    /// Dividing the rest of a run of maintenance into parts.
    Divide(DivideJob),
    /// Maintaining the rest of a part.
    Maintain(MaintainJob),
}

/// The order to ship to one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShipOrder {
    /// The organisation's id.
    pub organisation: String,
    /// The destination's id.
    pub destination: String,
    /// The sequence to deliver next, at the time of planning. If no such event exists, there is nothing to do.
    pub next_sequence: u64,
    /// Whether there is something to do even if no new event exists: a delivery is unfinished, a checkpoint is due, the
    /// events that waited have expired, or the log contradicted what was delivered.
    pub pending: bool,
}

impl ShipOrder {
    /// Returns the order to ship to a destination at `now`.
    #[must_use]
    pub fn of(active: &ActiveDestination, now: Timestamp) -> Self {
        Self {
            organisation: active.organisation.to_string(),
            destination: active.id.to_string(),
            next_sequence: active.next_sequence,
            pending: active.pending
                || active.checkpoint_due.is_some_and(|due| due <= now)
                || active.failure.is_some_and(FailureCode::is_contradiction),
        }
    }
}

impl From<ShipOrder> for QueueMessage {
    fn from(order: ShipOrder) -> Self {
        Self::Ship(order)
    }
}

impl From<Job> for QueueMessage {
    fn from(job: Job) -> Self {
        Self::Job(job)
    }
}

/// Messages that the queue did not take.
#[derive(Debug, thiserror::Error)]
#[error("{} messages were not sent", refused.len())]
pub struct NotSent {
    /// The indices of these messages, in order. Some of them may have been sent after all.
    pub refused: Vec<usize>,
    /// Why the last of them was not sent.
    #[source]
    pub reason: StoreError,
}

impl From<NotSent> for StoreError {
    fn from(not_sent: NotSent) -> Self {
        not_sent.reason
    }
}

/// The queue between planning and shipping.
#[async_trait]
pub trait ShipQueue: fmt::Debug + Send + Sync {
    /// Sends `messages`, each of them once.
    ///
    /// # Errors
    /// Returns an error if the queue did not take all of them. It took those that the error does not name.
    async fn send(&self, messages: &[QueueMessage]) -> Result<(), NotSent>;

    /// Returns whether messages wait or are being processed. Approximate.
    async fn is_busy(&self) -> Result<bool, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{ActivePosition, Stretch};

    fn json(message: impl Into<QueueMessage>) -> String {
        let message = message.into();
        let json = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<QueueMessage>(&json).unwrap(), message);
        json
    }

    #[test]
    fn messages_are_json_and_an_order_is_what_earlier_versions_sent() {
        let order = ShipOrder {
            organisation: "acme".to_owned(),
            destination: "k3x9a0bqk3x9".to_owned(),
            next_sequence: 7,
            pending: true,
        };
        insta::assert_snapshot!(
            json(order),
            @r#"{"organisation":"acme","destination":"k3x9a0bqk3x9","nextSequence":7,"pending":true}"#
        );
        let after = ActivePosition::of(&"acme".parse().unwrap(), &"k3x9a0bqk3x9".parse().unwrap());
        let rest =
            vec![Stretch { after: Some(after.clone()), until: None }, Stretch { after: None, until: Some(after) }];
        insta::assert_snapshot!(
            json(Job::Plan(PlanJob { shard: 3, tick: Timestamp::from_millis(1_795_341_600_000), rest })),
            @r#"{"job":"plan","shard":3,"tick":"2026-11-22T10:00:00.000Z","rest":[{"after":"acme#k3x9a0bqk3x9","until":null},{"after":null,"until":"acme#k3x9a0bqk3x9"}]}"#
        );
        let (run, acme) = (Timestamp::from_millis(1_795_341_600_000), "acme".parse().unwrap());
        insta::assert_snapshot!(
            json(Job::Divide(DivideJob { run, parts: 2, after: Some(acme) })),
            @r#"{"job":"divide","run":"2026-11-22T10:00:00.000Z","parts":2,"after":"acme"}"#
        );
        let again = vec!["initech".parse().unwrap()];
        let until = Some("umbrella".parse().unwrap());
        insta::assert_snapshot!(
            json(Job::Maintain(MaintainJob { run, part: 3, after: None, until, again })),
            @r#"{"job":"maintain","run":"2026-11-22T10:00:00.000Z","part":3,"after":null,"until":"umbrella","again":["initech"]}"#
        );
        assert!(serde_json::from_str::<QueueMessage>(r#"{"job":"dance"}"#).is_err());
        assert!(serde_json::from_str::<QueueMessage>("{}").is_err());
    }
}
