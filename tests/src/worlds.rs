//! Scenarios that hold in every world that a test file knows: the embedded one, and those that the environment names.

/// Makes a test of each scenario, an `async fn` that takes a `&World`, which runs it in each of `World::all()`.
#[macro_export]
macro_rules! in_every_world {
    ($($scenario:ident)*) => {
        mod scenarios {
            $(
                #[tokio::test]
                async fn $scenario() {
                    for world in super::World::all().await {
                        super::$scenario(&world).await;
                    }
                }
            )*
        }
    };
}
