//! Tests that run in several environments: the embedded one and those that environment variables name.

/// Makes a test of each scenario, an `async fn` that takes a `&Environment`, which runs it in each of
/// `Environment::all()`.
#[macro_export]
macro_rules! in_every_environment {
    ($($scenario:ident)*) => {
        mod scenarios {
            $(
                #[tokio::test]
                async fn $scenario() {
                    for environment in super::Environment::all().await {
                        super::$scenario(&environment).await;
                    }
                }
            )*
        }
    };
}
