//! A DynamoDB that hangs, as on a disk that does.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use axum::{Router, routing::get};
use dynoxide::{Database, storage_backend};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};

use crate::{serve_dynamodb, server};

/// DynamoDB's form; the embedded one does not check signatures.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=any/20261201/us-east-1/dynamodb/aws4_request, \
                             SignedHeaders=host;x-amz-date, Signature=00";

/// A clock that keeps whoever reads it waiting, with the database locked.
struct Hanging {
    reached: Mutex<Option<oneshot::Sender<()>>>,
    released: Mutex<mpsc::Receiver<()>>,
}

impl storage_backend::Clock for Hanging {
    fn now_unix_secs(&self) -> u64 {
        let reached = self.reached.lock().unwrap().take();
        if let Some(reached) = reached {
            reached.send(()).unwrap();
            // Ends the test if the other server hangs, too. Otherwise it is released much earlier.
            let _ = self.released.lock().unwrap().recv_timeout(Duration::from_secs(60));
        }
        0
    }

    fn now_unix_secs_f64(&self) -> f64 {
        0.0
    }
}

#[tokio::test]
async fn a_database_that_hangs_keeps_no_other_server_from_answering() {
    let ((reached, hangs), (release, released)) = (oneshot::channel(), mpsc::channel());
    let clock = Hanging { reached: Mutex::new(Some(reached)), released: Mutex::new(released) };
    let database = Database::memory_with_clock(Arc::new(clock)).unwrap();
    let (stop, stopping) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let (listener, dynamodb) = server::listen(0).await.unwrap();
    serve_dynamodb(&mut tasks, listener, database.clone(), stopping.clone()).unwrap();
    let (listener, other) = server::listen(0).await.unwrap();
    server::serve(&mut tasks, listener, Router::new().route("/", get(async || "here")), stopping);

    let hanging = std::thread::spawn(move || database.sweep_ttl());
    hangs.await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let list_tables = client
        .post(format!("http://{dynamodb}"))
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", "DynamoDB_20120810.ListTables")
        .header("x-amz-date", "20261201T000000Z")
        .header("authorization", AUTHORIZATION)
        .body("{}");
    let waiting = tokio::spawn(list_tables.send());
    // Often enough for the request to reach the database in between.
    for _ in 0..100 {
        let answer = client.get(format!("http://{other}")).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "here");
    }
    assert!(!waiting.is_finished(), "the database hangs");
    release.send(()).unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
    hanging.join().unwrap().unwrap();
    stop.send(true).unwrap();
    while tasks.join_next().await.is_some() {}
}
