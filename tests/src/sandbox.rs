//! An environment in which Lambda runs the API function: its process, and a proxy on its way to DynamoDB.

use std::collections::BTreeMap;

use crate::{
    deployment::{Deployment, FunctionRole},
    dynamodb_proxy::DynamoProxy,
    runtime_api::Function,
};

#[derive(Debug)]
pub struct Sandbox {
    pub function: Function,
    pub dynamodb: DynamoProxy,
}

impl Sandbox {
    /// Starts the API function's binary. `variables` are added to the deployment's.
    pub async fn start(binary: &str, deployment: &Deployment, variables: &[(&str, &str)]) -> Self {
        let mut environment: BTreeMap<_, _> = deployment.environment(FunctionRole::Api).into_iter().collect();
        let dynamodb = DynamoProxy::start(&environment["AWS_ENDPOINT_URL_DYNAMODB"], &environment["LOG_TABLE"]).await;
        environment.insert("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), dynamodb.url().to_owned());
        environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Self { function: Function::start(binary, environment).await, dynamodb }
    }

    /// Starts it as Lambda Managed Instances do, and waits until all its pollers wait for a request.
    pub async fn managed(binary: &str, deployment: &Deployment, pollers: usize) -> Self {
        let concurrency = pollers.to_string();
        let variables = [
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "2048"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "lambda-managed-instances"),
            ("AWS_LAMBDA_MAX_CONCURRENCY", &concurrency),
            ("ORGANISATION_RATE", "100000/100000"),
            ("PLATFORM_RATE", "100000/100000"),
        ];
        let sandbox = Self::start(binary, deployment, &variables).await;
        sandbox.function.until_idle(pollers).await;
        sandbox
    }
}
