//! SQS.

use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
};
use s3s::crypto::{Checksum, Md5};

use super::*;
use crate::Redrive;

struct Queues {
    cloud: Cloud,
    client: aws_sdk_sqs::Client,
    work: String,
    dead: String,
}

async fn queues() -> Queues {
    let cloud = cloud().await;
    let key = cloud.iam().create_user(cloud.account(), "worker", policy("Allow", json!("sqs:*"), "*")).unwrap();
    let client = aws_sdk_sqs::Client::new(&cloud.sdk_config(&key));
    let dead = cloud.create_queue("dead", QueueOptions::default()).unwrap();
    let redrive = Redrive { dead_letter_queue: "dead".to_owned(), max_receive_count: 2 };
    let work = cloud.create_queue("work", QueueOptions { redrive: Some(redrive), ..QueueOptions::default() }).unwrap();
    Queues { cloud, client, work, dead }
}

impl Queues {
    async fn send(&self, body: &str) -> String {
        let entry = SendMessageBatchRequestEntry::builder().id("one").message_body(body).build().unwrap();
        let sent = self.client.send_message_batch().queue_url(&self.work).entries(entry).send().await.unwrap();
        assert_eq!(sent.successful()[0].md5_of_message_body(), hex::encode(Md5::checksum(body.as_bytes())));
        sent.successful()[0].message_id().to_owned()
    }

    async fn receive(&self, queue: &str) -> Vec<aws_sdk_sqs::types::Message> {
        self.client
            .receive_message()
            .queue_url(queue)
            .max_number_of_messages(10)
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .send()
            .await
            .unwrap()
            .messages
            .unwrap_or_default()
    }

    async fn count(&self, queue: &str, name: QueueAttributeName) -> String {
        let request = self.client.get_queue_attributes().queue_url(queue).attribute_names(QueueAttributeName::All);
        request.send().await.unwrap().attributes.unwrap()[&name].clone()
    }
}

#[tokio::test]
async fn a_message_carries_its_body_its_id_and_the_bodys_digest() {
    let queues = queues().await;
    let id = queues.send("hello").await;
    let message = queues.receive(&queues.work).await.remove(0);
    assert_eq!((message.message_id(), message.body()), (Some(id.as_str()), Some("hello")));
    assert_eq!(message.md5_of_body(), Some("5d41402abc4b2a76b9719d911017c592"));
    assert_eq!(message.attributes().unwrap()[&MessageSystemAttributeName::ApproximateReceiveCount], "1");
}

#[tokio::test]
async fn a_message_comes_again_after_its_visibility_timeout_and_goes_to_the_dead_letters_in_the_end() {
    let queues = queues().await;
    queues.send("a").await;
    for receipt in ["1", "2"] {
        let message = queues.receive(&queues.work).await.remove(0);
        assert_eq!(message.attributes().unwrap()[&MessageSystemAttributeName::ApproximateReceiveCount], receipt);
        assert!(queues.receive(&queues.work).await.is_empty(), "invisible while it is worked on");
        assert_eq!(queues.count(&queues.work, QueueAttributeName::ApproximateNumberOfMessagesNotVisible).await, "1");
        queues.cloud.clock().advance(Duration::from_secs(29));
        assert!(queues.receive(&queues.work).await.is_empty(), "30 s are not over");
        queues.cloud.clock().advance(Duration::from_secs(1));
    }
    assert!(queues.receive(&queues.work).await.is_empty());
    assert_eq!(queues.count(&queues.dead, QueueAttributeName::ApproximateNumberOfMessages).await, "1");
    let dead = queues.receive(&queues.dead).await.remove(0);
    assert_eq!(dead.body(), Some("a"));
    assert_eq!(
        dead.attributes().unwrap()[&MessageSystemAttributeName::DeadLetterQueueSourceArn],
        "arn:aws:sqs:us-east-1:111122223333:work"
    );
}

#[tokio::test]
async fn a_deleted_message_does_not_come_again() {
    let queues = queues().await;
    queues.send("a").await;
    let handle = queues.receive(&queues.work).await.remove(0).receipt_handle.unwrap();
    queues.client.delete_message().queue_url(&queues.work).receipt_handle(&handle).send().await.unwrap();
    queues.cloud.clock().advance(Duration::from_secs(31));
    assert!(queues.receive(&queues.work).await.is_empty());

    let delete = queues.client.delete_message().queue_url(&queues.work).receipt_handle("garbage");
    let error = delete.send().await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_receipt_handle_is_invalid(), "{error:?}");
}

#[tokio::test]
async fn a_batch_reports_each_entry() {
    let queues = queues().await;
    let entry =
        |id: &str, body: &str| SendMessageBatchRequestEntry::builder().id(id).message_body(body).build().unwrap();
    let send =
        |entries: Vec<_>| queues.client.send_message_batch().queue_url(&queues.work).set_entries(Some(entries)).send();
    let sent = send(vec![entry("a", "one"), entry("b", "\u{1}")]).await.unwrap();
    assert_eq!(sent.successful()[0].id(), "a");
    assert_eq!((sent.failed()[0].id(), sent.failed()[0].code()), ("b", "InvalidMessageContents"));

    let error = send((0..11).map(|index| entry(&index.to_string(), "x")).collect()).await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_too_many_entries_in_batch_request(), "{error:?}");
    let error = send(vec![entry("a", "x"), entry("a", "x")]).await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_batch_entry_ids_not_distinct(), "{error:?}");
    let error = send(vec![]).await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_empty_batch_request(), "{error:?}");
    let half = "x".repeat(600_000);
    let error = send(vec![entry("a", &half), entry("b", &half)]).await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_batch_request_too_long(), "{error:?}");

    let handle = queues.receive(&queues.work).await.remove(0).receipt_handle.unwrap();
    let delete = |id: &str, handle: &str| {
        DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(handle).build().unwrap()
    };
    let request = queues.client.delete_message_batch().queue_url(&queues.work);
    let deleted = request.entries(delete("a", &handle)).entries(delete("b", "garbage")).send().await.unwrap();
    assert_eq!((deleted.successful()[0].id(), deleted.failed()[0].id()), ("a", "b"));
}

#[tokio::test]
async fn queues_are_created_once_and_missed() {
    let queues = queues().await;
    let create = |seconds| {
        let options = QueueOptions { visibility_timeout_seconds: seconds, ..QueueOptions::default() };
        queues.cloud.create_queue("made", options)
    };
    let url = create(60).unwrap();
    assert_eq!(create(60).unwrap(), url);
    assert!(create(61).unwrap_err().to_string().starts_with("QueueAlreadyExists: "));
    assert_eq!(queues.count(&url, QueueAttributeName::VisibilityTimeout).await, "60");
    assert_eq!(queues.count(&url, QueueAttributeName::QueueArn).await, "arn:aws:sqs:us-east-1:111122223333:made");
    for (name, redrive) in [("no name", None), ("orphan", Some("nowhere"))] {
        let redrive = redrive.map(|name| Redrive { dead_letter_queue: name.to_owned(), max_receive_count: 2 });
        assert!(queues.cloud.create_queue(name, QueueOptions { redrive, ..QueueOptions::default() }).is_err());
    }

    let missing = url.replace("made", "missing");
    let error = queues.client.receive_message().queue_url(&missing).send().await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_queue_does_not_exist(), "{error:?}");
    assert_eq!(refused(error).code, "AWS.SimpleQueueService.NonExistentQueue");
}

#[tokio::test]
async fn a_parameter_that_is_not_supported_is_refused() {
    let queues = queues().await;
    let receive = queues.client.receive_message().queue_url(&queues.work).wait_time_seconds(20).send().await;
    let refusal = refused(receive.unwrap_err());
    assert_eq!((refusal.status, refusal.code.as_str()), (400, "MalformedInput"));
    assert!(refusal.message.contains("WaitTimeSeconds"), "{}", refusal.message);
    let purge = queues.client.purge_queue().queue_url(&queues.work).send().await;
    assert_eq!(refused(purge.unwrap_err()).code, "InvalidAction");
}

#[tokio::test]
async fn queues_ask_for_permission() {
    let queues = queues().await;
    let idle =
        queues.cloud.iam().create_user(queues.cloud.account(), "idle", policy("Allow", json!("s3:*"), "*")).unwrap();
    let client = aws_sdk_sqs::Client::new(&queues.cloud.sdk_config(&idle));
    let error = client.receive_message().queue_url(&queues.work).send().await.unwrap_err();
    let refusal = refused(error);
    assert_eq!((refusal.status, refusal.code.as_str()), (403, "AccessDenied"));
    assert!(
        refusal.message.contains("sqs:receivemessage on resource: arn:aws:sqs:us-east-1:111122223333:work because no")
    );
}
