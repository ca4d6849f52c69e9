//! Scenarios that hold in every environment that a test file knows: the embedded one, and those that the environment names.

/// Makes a test of each scenario, an `async fn` that takes a `&Environment`, which runs it in each of `Environment::all()`.
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
