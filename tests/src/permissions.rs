//! The rights that `template.yaml` gives to the functions' roles, and a DynamoDB that grants no other. The embedded DynamoDB
//! checks no permissions; this one stands before it and answers as AWS does.

use std::{collections::BTreeSet, fmt};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Response, StatusCode},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    deployment::FunctionRole,
    template::{resolved, resources},
};

/// A right of a function's role: an action, and the logical id of the resource with what follows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// Such as `dynamodb:Query`.
    pub action: String,
    /// Such as `LogTable.Arn` or `RegistryTable.Arn/index/listing`.
    pub resource: String,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.action, self.resource)
    }
}

/// Returns the rights of a function's role, without that to write its own log, of which Lambda makes use.
#[must_use]
pub fn rights(role: FunctionRole) -> BTreeSet<Right> {
    let resources = resources();
    let name = match role {
        FunctionRole::Api => "ApiRole",
        FunctionRole::Console => "ConsoleRole",
        FunctionRole::TestConnection => "TestConnectionRole",
        FunctionRole::Shipper => "ShipperRole",
    };
    let properties = &resources[name]["Properties"];
    // A policy under a condition lets DynamoDB and SQS use a key in the role's name. The embedded ones have no such key.
    let managed = properties["ManagedPolicyArns"].as_array().into_iter().flatten();
    let managed = managed.filter(|policy| policy.get("!Ref").is_some());
    let managed = managed.map(|policy| &resources[&resolved(policy)]["Properties"]["PolicyDocument"]);
    let inline = properties["Policies"].as_array().into_iter().flatten().map(|policy| &policy["PolicyDocument"]);
    let mut rights = BTreeSet::new();
    for document in inline.chain(managed) {
        for statement in document["Statement"].as_array().unwrap() {
            // A statement may have a condition of the template.
            let statement = statement.get("!If").map_or(statement, |branches| &branches[1]);
            let actions = match &statement["Action"] {
                Value::String(action) => vec![action.clone()],
                actions => {
                    actions.as_array().unwrap().iter().map(|action| action.as_str().unwrap().to_owned()).collect()
                }
            };
            let resource = resource(&statement["Resource"]);
            rights.extend(actions.into_iter().map(|action| Right { action, resource: resource.clone() }));
        }
    }
    rights.retain(|right| !right.action.starts_with("logs:"));
    assert!(rights.len() > 3, "{name}: the template is not understood");
    rights
}

fn resource(value: &Value) -> String {
    if let Some(text) = value["!Sub"].as_str() {
        return text.replace("${", "").replace('}', "");
    }
    // A table or the signing key is the stack's own or another.
    value.get("!If").map_or_else(|| resolved(value), |choice| resource(&choice[2]))
}

/// How the tables answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tables {
    /// They do what the role may do.
    Work,
    /// Every call is refused with this error code and message.
    Refuse(&'static str, &'static str),
}

/// A DynamoDB that grants some rights only. Dropping it closes its address.
#[derive(Debug)]
pub struct GuardedDynamoDb {
    address: String,
    server: JoinHandle<()>,
}

impl Drop for GuardedDynamoDb {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Debug)]
struct Guard {
    endpoint: String,
    client: reqwest::Client,
    rights: BTreeSet<Right>,
    tables: Tables,
}

impl GuardedDynamoDb {
    /// Starts a guard before the DynamoDB at `endpoint`.
    pub async fn start(endpoint: &str, rights: BTreeSet<Right>, tables: Tables) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let guard = Guard { endpoint: endpoint.to_owned(), client: reqwest::Client::new(), rights, tables };
        let router = Router::new().fallback(answer).with_state(std::sync::Arc::new(guard));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, server }
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.address
    }
}

async fn answer(
    State(guard): State<std::sync::Arc<Guard>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<axum::body::Body> {
    if let Tables::Refuse(code, message) = guard.tables {
        return refusal(code, message);
    }
    let target = headers["x-amz-target"].to_str().unwrap();
    let operation = target.split_once('.').unwrap().1;
    let request: Value = serde_json::from_slice(&body).unwrap();
    for right in required(operation, &request) {
        if !guard.rights.contains(&right) {
            let Right { action, resource } = right;
            let message = format!(
                "User: arn:aws:sts::111122223333:assumed-role/annals-Role-1/annals is not authorized to perform: {action} on \
                 resource: arn:aws:dynamodb:us-east-1:111122223333:table/{resource} because no identity-based policy allows \
                 the {action} action"
            );
            return refusal("AccessDeniedException", &message);
        }
    }
    let forwarded = guard.client.post(&guard.endpoint).headers(headers).body(body).send().await.unwrap();
    let mut response = Response::builder().status(forwarded.status());
    for (name, value) in forwarded.headers().iter().filter(|(name, _)| *name != "transfer-encoding") {
        response = response.header(name, value);
    }
    response.body(forwarded.bytes().await.unwrap().into()).unwrap()
}

fn refusal(code: &str, message: &str) -> Response<axum::body::Body> {
    let body = json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": message});
    Response::builder()
        .status(StatusCode::BAD_REQUEST)
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amzn-requestid", "4KBNVRGD25RG1KEO9UT4V3FQDJVV4KQNSO5AEMVJF66Q9ASUAAJG")
        .body(body.to_string().into())
        .unwrap()
}

/// The rights that a call needs (DynamoDB Developer Guide, "DynamoDB API permissions").
fn required(operation: &str, request: &Value) -> Vec<Right> {
    let right = |action: &str, table: &Value, index: &str| {
        let table = match table.as_str().unwrap() {
            name if name.contains("LogTable") => "LogTable.Arn",
            name if name.contains("RegistryTable") => "RegistryTable.Arn",
            other => other,
        };
        Right { action: format!("dynamodb:{action}"), resource: format!("{table}{index}") }
    };
    match operation {
        "TransactWriteItems" => request["TransactItems"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|item| item.as_object().unwrap())
            .map(|(kind, item)| match kind.as_str() {
                "ConditionCheck" => right("ConditionCheckItem", &item["TableName"], ""),
                kind => right(&format!("{kind}Item"), &item["TableName"], ""),
            })
            .collect(),
        "BatchGetItem" => {
            let tables = request["RequestItems"].as_object().unwrap().keys();
            tables.map(|table| right(operation, &table.as_str().into(), "")).collect()
        }
        _ => {
            let index = request["IndexName"].as_str().map_or_else(String::new, |index| format!("/index/{index}"));
            vec![right(operation, &request["TableName"], &index)]
        }
    }
}
