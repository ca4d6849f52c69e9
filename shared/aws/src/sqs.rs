//! The ship queue on SQS. The event source mapping receives the messages, on Lambda and locally.

use annals_core::{
    delivery::queue::{ShipOrder, ShipQueue},
    log::store::StoreError,
    operator::OperatorFault,
};
use async_trait::async_trait;
use aws_sdk_sqs::{
    Client,
    types::{QueueAttributeName, SendMessageBatchRequestEntry},
};

use crate::{
    metrics::{self, QueueUnknown},
    refusal::{operator_code, store_error},
};

/// The most messages in one SendMessageBatch (Amazon SQS, "Message quotas").
const BATCH: usize = 10;

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

#[async_trait]
impl ShipQueue for SqsShipQueue {
    async fn send(&self, orders: &[ShipOrder]) -> Result<(), StoreError> {
        for batch in orders.chunks(BATCH) {
            let mut request = self.client.send_message_batch().queue_url(&self.url);
            for (index, order) in batch.iter().enumerate() {
                let body = serde_json::to_string(order).map_err(|error| StoreError::Broken(error.into()))?;
                let entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body).build();
                request = request.entries(entry.map_err(|error| StoreError::Broken(error.into()))?);
            }
            let answer = request.send().await.map_err(store_error)?;
            if let Some(failed) = answer.failed().first() {
                let reason =
                    format!("SQS refused {} of {} orders: {}", answer.failed().len(), batch.len(), failed.code());
                return Err(match operator_code(failed.code(), failed.message().unwrap_or_default()) {
                    Some(code) => StoreError::Operator(OperatorFault::new(code, reason)),
                    None => StoreError::Unavailable(reason.into()),
                });
            }
        }
        Ok(())
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
