//! The ship queue on SQS. The event source mapping receives the messages, on Lambda and locally.

use annals_core::{
    delivery::queue::{NotSent, QueueMessage, ShipQueue},
    log::store::StoreError,
    operator::OperatorFault,
};
use async_trait::async_trait;
use aws_sdk_sqs::{
    Client,
    types::{QueueAttributeName, SendMessageBatchRequestEntry},
};
use futures_util::future::join_all;

use crate::{
    metrics::{self, QueueUnknown},
    refusal::{operator_code, store_error},
};

/// The most messages in one SendMessageBatch (Amazon SQS, "Message quotas").
const BATCH: usize = 10;
/// The number of batches that are sent at once.
const BATCHES_AT_ONCE: usize = 10;

#[derive(Debug, Clone)]
pub struct SqsShipQueue {
    client: Client,
    url: String,
}

impl SqsShipQueue {
    #[must_use]
    pub fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }
}

impl SqsShipQueue {
    /// Sends up to [`BATCH`] messages.
    async fn send_batch(&self, messages: &[QueueMessage]) -> Result<(), NotSent> {
        let all = |reason| NotSent { refused: (0..messages.len()).collect(), reason };
        let mut request = self.client.send_message_batch().queue_url(&self.url);
        for (index, message) in messages.iter().enumerate() {
            let body = serde_json::to_string(message).map_err(|error| all(StoreError::Broken(error.into())))?;
            let entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body).build();
            request = request.entries(entry.map_err(|error| all(StoreError::Broken(error.into())))?);
        }
        let answer = request.send().await.map_err(|error| all(store_error(error)))?;
        let Some(last) = answer.failed().last() else { return Ok(()) };
        let reason = format!("SQS refused {} of {} messages: {}", answer.failed().len(), messages.len(), last.code());
        let mut refused: Vec<usize> = answer.failed().iter().filter_map(|failed| failed.id().parse().ok()).collect();
        refused.sort_unstable();
        let reason = match operator_code(last.code(), last.message().unwrap_or_default()) {
            Some(code) => StoreError::Operator(OperatorFault::new(code, reason)),
            None => StoreError::Unavailable(reason.into()),
        };
        Err(NotSent { refused, reason })
    }
}

#[async_trait]
impl ShipQueue for SqsShipQueue {
    async fn send(&self, messages: &[QueueMessage]) -> Result<(), NotSent> {
        let batches: Vec<&[QueueMessage]> = messages.chunks(BATCH).collect();
        let (mut refused, mut reason) = (Vec::new(), None);
        for (round, some) in batches.chunks(BATCHES_AT_ONCE).enumerate() {
            let results = join_all(some.iter().map(|batch| self.send_batch(batch))).await;
            for (number, result) in results.into_iter().enumerate() {
                if let Err(not_sent) = result {
                    let first = (round * BATCHES_AT_ONCE + number) * BATCH;
                    refused.extend(not_sent.refused.into_iter().map(|index| first + index));
                    reason = Some(not_sent.reason);
                }
            }
        }
        reason.map_or(Ok(()), |reason| Err(NotSent { refused, reason }))
    }

    async fn is_busy(&self) -> Result<bool, StoreError> {
        let counts = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let request = self.client.get_queue_attributes().queue_url(&self.url);
        let request = request.set_attribute_names(Some(counts.into()));
        let answer = request.send().await.map_err(store_error);
        let answer = answer.inspect_err(|error| metrics::emit(&QueueUnknown::because(error)))?;
        Ok(answer.attributes().is_some_and(|counts| counts.values().any(|count| count != "0")))
    }
}
