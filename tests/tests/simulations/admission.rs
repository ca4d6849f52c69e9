//! Who is let in: how soon a revocation is felt, what a token's use leaves behind, how tokens change over, and how
//! often somebody may ask. Where the store has a part in it, over the in-memory double, whose eventually consistent
//! reads are as stale as they can be, and over the DynamoDB adapter on the embedded DynamoDB.

use std::{net::IpAddr, sync::Arc, time::Duration};

use annals_aws::dynamodb::{DynamoStore, Tables, create_tables};
use annals_cloud::{AccessKey, Cloud, CloudOptions};
use annals_core::{
    administration::{Actor, Administration, AdministrationError},
    admission::{
        Admission, AdmissionError, KNOWN_FOR, USE_PRECISION,
        rate_limiter::{Rate, RateLimits},
    },
    caller::Caller,
    change::Conflict,
    event::Context,
    log::{
        Log,
        append::AppendPolicy,
        read::ReadLimit,
        store::{Consistency, Order},
    },
    organisation::{Organisation, OrganisationInput},
    platform::{PlatformScope, PlatformTokenInput},
    time::Clock as _,
    token::{MAX_TOKENS, Role, RotationInput, SuccessorEnd, Token, TokenHash, TokenInput, TokenText},
};
use annals_tests::{
    clock::VirtualClock,
    entropy::SeededEntropy,
    faulty::{Fault, FaultyStore, Store},
    memory::{MemoryStore, Staleness},
    sample,
};

const PLATFORM: &str = "annals_platform_of_a_test";
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// One deployment: a store, and processes on it that share the clock and nothing else.
struct World {
    name: &'static str,
    store: Arc<dyn Store>,
    clock: Arc<VirtualClock>,
    entropy: Arc<SeededEntropy>,
    _cloud: Option<Cloud>,
}

struct Process {
    administration: Administration,
    admission: Admission,
}

impl World {
    fn memory() -> Self {
        let clock = VirtualClock::new(sample::START);
        // Whatever was written within the hour, a read that need not see it does not.
        let staleness =
            Staleness { chance: 1.0, window: 3600 * SECOND, clock: clock.clone(), entropy: SeededEntropy::new(1) };
        Self::over("memory", Arc::new(MemoryStore::new().with_staleness(staleness)), clock, None)
    }

    async fn dynamodb() -> Self {
        let cloud = Cloud::start(CloudOptions::default()).await.unwrap();
        let client = aws_sdk_dynamodb::Client::new(&cloud.sdk_config(&AccessKey::new("any", "any")));
        let tables = Tables { log: "log".into(), registry: "registry".into() };
        create_tables(&client, &tables).await.unwrap();
        let store = Arc::new(DynamoStore::new(client, tables).in_simulated_time());
        Self::over("the embedded DynamoDB", store, VirtualClock::new(sample::START), Some(cloud))
    }

    async fn all() -> [Self; 2] {
        [Self::memory(), Self::dynamodb().await]
    }

    fn over(name: &'static str, store: Arc<dyn Store>, clock: Arc<VirtualClock>, cloud: Option<Cloud>) -> Self {
        println!("over {name}");
        Self { name, store, clock, entropy: SeededEntropy::new(7), _cloud: cloud }
    }

    fn process(&self) -> Process {
        self.process_with(RateLimits::NONE)
    }

    fn process_with(&self, limits: RateLimits) -> Process {
        self.process_on(self.store.clone(), limits)
    }

    fn process_on(&self, store: Arc<dyn Store>, limits: RateLimits) -> Process {
        let (clock, entropy) = (self.clock.clone(), self.entropy.clone());
        let policy = AppendPolicy::default();
        let log = Arc::new(Log::new(store.clone(), clock.clone(), entropy.clone(), policy));
        let administration = Administration::new(log, store, clock, entropy);
        let admission = administration.admission(TokenHash::of(PLATFORM), limits);
        Process { administration, admission }
    }

    async fn stored(&self, token: &Token) -> Option<Token> {
        self.store.token(&token.id, Consistency::Strong).await.unwrap()
    }

    async fn types(&self, organisation: &Organisation) -> Vec<String> {
        let log = Log::new(self.store.clone(), self.clock.clone(), self.entropy.clone(), AppendPolicy::default());
        let limit = ReadLimit { events: 1000, bytes: usize::MAX };
        let last = log.tail(&organisation.id).await.unwrap().last;
        let run = log.read(&organisation.id, 1..=last, None, Order::Ascending, limit).await.unwrap();
        let kind =
            |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["type"].as_str().unwrap().into();
        run.lines.iter().map(|line| kind(&line.text)).collect()
    }
}

impl Process {
    async fn organisation(&self, id: &str) -> Organisation {
        let input = OrganisationInput::parse(br#"{"name":"Acme"}"#).unwrap();
        self.administration.put_organisation(&id.parse().unwrap(), input, &platform()).await.unwrap();
        self.administration.organisation(&id.parse().unwrap()).await.unwrap()
    }

    async fn token(&self, organisation: &Organisation, expires_in: Option<Duration>) -> (Token, TokenText) {
        self.try_token(organisation, expires_in).await.unwrap()
    }

    async fn try_token(
        &self,
        organisation: &Organisation,
        expires_in: Option<Duration>,
    ) -> Result<(Token, TokenText), AdministrationError> {
        let expires_at = expires_in.map(|expires_in| organisation.created_at.plus(expires_in));
        let input = TokenInput { name: "SIEM".into(), role: Role::Auditor, expires_at };
        self.administration.create_token(organisation, input, &platform()).await
    }

    /// Whether the token is let in.
    async fn admits(&self, token: &TokenText) -> bool {
        match self.admission.admit(token.reveal(), None).await {
            Ok(Caller::Token(_)) => true,
            Err(AdmissionError::Unknown) => false,
            other => panic!("{other:?}"),
        }
    }

    async fn wait(&self, token: &str, address: Option<IpAddr>) -> Option<Duration> {
        match self.admission.admit(token, address).await {
            Err(AdmissionError::TooMany(wait)) => Some(wait),
            Ok(_) | Err(AdmissionError::Unknown) => None,
            Err(error) => panic!("{error}"),
        }
    }
}

fn platform() -> Actor {
    Actor { caller: Caller::Platform, context: Context::default() }
}

const NO_OVERLAP: RotationInput = RotationInput { overlap: Duration::ZERO, end: SuccessorEnd::Never };

#[tokio::test]
async fn a_revoked_token_is_refused_here_at_once_and_elsewhere_within_a_second() {
    for world in World::all().await {
        // Other processes read the token at any moment before the revocation: each is at another point of its half
        // second.
        for millis in [0, 1, 250, 499, 500] {
            let (here, elsewhere) = (world.process(), world.process());
            let acme = here.organisation(&format!("acme-{millis}")).await;
            let (token, text) = here.token(&acme, None).await;
            assert!(here.admits(&text).await && elsewhere.admits(&text).await);
            world.clock.advance(Duration::from_millis(millis));
            assert!(elsewhere.admits(&text).await);
            here.administration.revoke_token(&acme, &token.id, &platform()).await.unwrap();
            assert!(!here.admits(&text).await, "{}: here, at once", world.name);
            assert!(!world.process().admits(&text).await, "{}: where it was never seen, at once", world.name);
            let mut still = Duration::ZERO;
            while elsewhere.admits(&text).await {
                world.clock.advance(Duration::from_millis(1));
                still += Duration::from_millis(1);
                assert!(still <= KNOWN_FOR && still < SECOND, "{}: {still:?}", world.name);
            }
            let expected = if millis == 500 { 500 } else { 500 - millis };
            assert_eq!(
                still,
                Duration::from_millis(expected),
                "{}: from the read on, not from the last use",
                world.name
            );
            assert!(!elsewhere.admits(&text).await, "and never again");
        }
    }
}

#[tokio::test]
async fn a_token_that_was_just_created_is_known_everywhere_at_once() {
    for world in World::all().await {
        let process = world.process();
        let acme = process.organisation("acme").await;
        let (_, text) = process.token(&acme, None).await;
        assert!(world.process().admits(&text).await, "{}", world.name);
    }
}

#[tokio::test]
async fn a_known_token_ends_at_its_end() {
    let world = World::memory();
    let process = world.process();
    let acme = process.organisation("acme").await;
    let (_, text) = process.token(&acme, Some(Duration::from_millis(300))).await;
    assert!(process.admits(&text).await);
    world.clock.advance(Duration::from_millis(299));
    assert!(process.admits(&text).await);
    world.clock.advance(Duration::from_millis(1));
    assert!(!process.admits(&text).await);
}

/// Whether a named token of the platform is let in.
async fn admits_platform_token(process: &Process, token: &TokenText) -> bool {
    match process.admission.admit(token.reveal(), None).await {
        Ok(Caller::PlatformToken(_)) => true,
        Err(AdmissionError::Unknown) => false,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_named_token_of_the_platform_is_known_everywhere_at_once_and_ends_within_a_second() {
    for world in World::all().await {
        let (here, elsewhere) = (world.process(), world.process());
        let create = async |name: &str, expires_at| {
            let input = PlatformTokenInput { name: name.into(), scopes: vec![PlatformScope::Audit], expires_at };
            here.administration.create_platform_token(input).await.unwrap()
        };
        let (first, first_text) = create("First", None).await;
        assert!(admits_platform_token(&elsewhere, &first_text).await);
        let end = world.clock.now().plus(Duration::from_millis(700));
        let (_, second_text) = create("Second", Some(end)).await;
        assert!(admits_platform_token(&elsewhere, &second_text).await, "{}: although others are known", world.name);
        let (_, invented) = TokenText::generate_for_platform(&*world.entropy);
        assert!(!admits_platform_token(&elsewhere, &invented).await);

        here.administration.revoke_platform_token(&first.id).await.unwrap();
        assert!(!admits_platform_token(&here, &first_text).await, "{}: here, at once", world.name);
        let mut still = Duration::ZERO;
        while admits_platform_token(&elsewhere, &first_text).await {
            world.clock.advance(Duration::from_millis(1));
            still += Duration::from_millis(1);
            assert!(still <= KNOWN_FOR, "{}: {still:?}", world.name);
        }
        assert!(admits_platform_token(&elsewhere, &second_text).await);
        while world.clock.now() < end {
            world.clock.advance(Duration::from_millis(1));
            assert_eq!(
                admits_platform_token(&elsewhere, &second_text).await,
                world.clock.now() < end,
                "{}",
                world.name
            );
        }
        let again = here.administration.revoke_platform_token(&first.id).await;
        assert!(matches!(again, Err(AdministrationError::NotFound)), "{again:?}");
    }
}

#[tokio::test]
async fn the_use_of_a_named_token_of_the_platform_is_saved_once_an_hour_beside_other_changes() {
    for world in World::all().await {
        let process = world.process();
        let input = PlatformTokenInput { name: "Worker".into(), scopes: vec![PlatformScope::Events], expires_at: None };
        let (_, text) = process.administration.create_platform_token(input).await.unwrap();
        let first = world.clock.now();
        let last_used = async || world.process().administration.platform_tokens().await.unwrap()[0].last_used_at;
        assert_eq!(last_used().await, None);
        assert!(admits_platform_token(&process, &text).await);
        assert_eq!(last_used().await, Some(first), "{}", world.name);
        for minutes in [1, 58, 1] {
            world.clock.advance(Duration::from_secs(minutes * 60));
            assert!(admits_platform_token(&process, &text).await);
        }
        assert_eq!(last_used().await, Some(first.plus(Duration::from_secs(60 * 60))), "{}", world.name);
    }
}

#[tokio::test]
async fn what_is_no_token_is_refused_without_asking_the_store() {
    let world = World::memory();
    let counting = FaultyStore::new(Arc::new(MemoryStore::new()), |_| None);
    let process = world.process_on(counting.clone(), RateLimits::default());
    let (_, good) = TokenText::generate(&*world.entropy);
    let good = good.reveal();
    let mistyped = format!("{}x", &good[..good.len() - 1]);
    let many = "x".repeat(1_000_000);
    for text in ["", "annals_", &mistyped, &good.to_uppercase(), &good[1..], &many, "annals_\u{0}", "Ünïcödé"] {
        for _ in 0..200 {
            assert!(matches!(process.admission.admit(text, None).await, Err(AdmissionError::Unknown)), "{text:.99}");
        }
    }
    assert_eq!(counting.calls(), 0);
    assert!(matches!(process.admission.admit(PLATFORM, None).await, Ok(Caller::Platform)));
    assert_eq!(counting.calls(), 0);
}

#[tokio::test]
async fn invented_tokens_run_into_their_networks_rate_and_valid_ones_go_on() {
    let world = World::memory();
    let counting = FaultyStore::new(Arc::new(MemoryStore::new()), |_| None);
    let failed_authentications = Rate::new(1, 3).unwrap();
    let process = world.process_on(counting.clone(), RateLimits { failed_authentications, ..RateLimits::default() });
    let acme = process.organisation("acme").await;
    let (_, known) = process.token(&acme, None).await;
    let (_, never_seen) = process.token(&acme, None).await;
    let invented = || TokenText::generate(&*world.entropy).1;
    let (theirs, ours): (IpAddr, IpAddr) = ("203.0.113.7".parse().unwrap(), "198.51.100.1".parse().unwrap());
    assert_eq!(process.wait(known.reveal(), Some(theirs)).await, None);
    for _ in 0..3 {
        assert_eq!(process.wait(invented().reveal(), Some(theirs)).await, None);
    }
    let calls = counting.calls();
    for _ in 0..100 {
        assert_eq!(process.wait(invented().reveal(), Some(theirs)).await, Some(SECOND));
    }
    assert_eq!(counting.calls(), calls + 100, "one read for each");
    assert_eq!(process.wait(known.reveal(), Some(theirs)).await, None, "who is known there goes on");
    assert_eq!(process.wait(never_seen.reveal(), Some(theirs)).await, None, "and who comes for the first time");
    world.clock.advance(KNOWN_FOR);
    assert_eq!(process.wait(known.reveal(), Some(theirs)).await, None, "and who is no longer known");
    world.clock.advance(KNOWN_FOR);
    assert_eq!(process.wait(invented().reveal(), Some(ours)).await, None, "another network");
    assert_eq!(process.wait(PLATFORM, Some(theirs)).await, None);
    assert_eq!(process.wait(known.reveal(), Some(theirs)).await, None, "a valid token takes nothing");
    assert_eq!(process.wait(invented().reveal(), Some(theirs)).await, None);
    assert_eq!(process.wait(invented().reveal(), Some(theirs)).await, Some(SECOND));
}

#[tokio::test]
async fn each_organisation_has_a_rate_of_its_own_over_all_its_tokens() {
    let world = World::memory();
    let limits = RateLimits {
        organisation: Rate::new(2, 4).unwrap(),
        platform: Rate::new(1, 1).unwrap(),
        ..RateLimits::default()
    };
    let process = world.process_with(limits);
    let (acme, other) = (process.organisation("acme").await, process.organisation("other").await);
    let (one, two) = (process.token(&acme, None).await.1, process.token(&acme, None).await.1);
    let (_, others) = process.token(&other, None).await;
    for token in [&one, &two, &one, &two] {
        assert_eq!(process.wait(token.reveal(), None).await, None);
    }
    for token in [&one, &two] {
        assert_eq!(process.wait(token.reveal(), None).await, Some(Duration::from_millis(500)));
    }
    assert_eq!(process.wait(others.reveal(), None).await, None);
    assert_eq!(process.wait(PLATFORM, None).await, None);
    assert_eq!(process.wait(PLATFORM, None).await, Some(SECOND));
    world.clock.advance(Duration::from_millis(500));
    assert_eq!(process.wait(one.reveal(), None).await, None);
    assert_eq!(process.wait(two.reveal(), None).await, Some(Duration::from_millis(500)));
    world.clock.advance(60 * SECOND);
    let Ok(caller) = process.admission.admit(one.reveal(), None).await else { panic!("there is room") };
    for events in [0, 1, 19] {
        process.admission.charge(&caller, events).unwrap();
    }
    process.admission.charge(&caller, 40).unwrap();
    let refused = process.admission.charge(&caller, 20);
    assert!(matches!(refused, Err(AdmissionError::TooMany(SECOND))), "one for each ten events: {refused:?}");
}

#[tokio::test]
async fn a_tokens_use_is_noted_once_an_hour_and_is_no_event() {
    for world in World::all().await {
        let process = world.process();
        let acme = process.organisation("acme").await;
        let (token, text) = process.token(&acme, None).await;
        let noted = async || world.stored(&token).await.unwrap().last_used_at;
        assert_eq!(noted().await, None);
        let first = world.clock.now();
        assert!(process.admits(&text).await);
        assert_eq!(noted().await, Some(first), "{}", world.name);
        world.clock.advance(USE_PRECISION - Duration::from_millis(1));
        assert!(process.admits(&text).await && world.process().admits(&text).await);
        assert_eq!(noted().await, Some(first), "{}: within the hour", world.name);
        world.clock.advance(Duration::from_millis(501));
        let second = world.clock.now();
        assert!(process.admits(&text).await);
        assert_eq!(noted().await, Some(second), "{}: after it", world.name);
        let listed = process.administration.tokens(&acme.id).await.unwrap();
        assert_eq!(listed[0].last_used_at, Some(second));
        assert_eq!(world.types(&acme).await, ["organisation.create", "token.create"]);

        process.administration.revoke_token(&acme, &token.id, &platform()).await.unwrap();
        let later = second.plus(DAY);
        world.store.note_token_use(&token.id, later, later.minus(USE_PRECISION)).await.unwrap();
        assert_eq!(world.stored(&token).await, None, "{}: noting a use brings no token back", world.name);
    }
}

#[tokio::test]
async fn a_use_that_cannot_be_noted_is_nobodys_failure_and_is_noted_later() {
    for fault in [Fault::Throttled, Fault::Unsent, Fault::AnswerLost, Fault::CrashBefore] {
        let memory = Arc::new(MemoryStore::new());
        let world = World::over("memory", memory.clone(), VirtualClock::new(sample::START), None);
        let acme = world.process().organisation("acme").await;
        let (token, text) = world.process().token(&acme, None).await;
        let store = FaultyStore::new(memory, move |call| (call.name == "note_token_use").then_some(fault));
        let process = world.process_on(store.clone(), RateLimits::NONE);
        let admitted = tokio::spawn({
            let (admission, text) = (process.admission.clone(), text.clone());
            async move { admission.admit(text.reveal(), None).await.is_ok() }
        });
        while !admitted.is_finished() {
            // One that hangs is given up after a tenth of a second.
            world.clock.advance(Duration::from_millis(10));
            tokio::task::yield_now().await;
        }
        assert!(admitted.await.unwrap(), "{fault:?}");
        let calls = store.calls();
        world.clock.advance(KNOWN_FOR);
        assert!(process.admits(&text).await);
        assert_eq!(store.calls(), calls + 1, "{fault:?}: only the token is read, for a minute");
        store.heal();
        world.clock.advance(60 * SECOND);
        assert!(process.admits(&text).await);
        assert!(world.stored(&token).await.unwrap().last_used_at.is_some(), "{fault:?}");
    }
}

#[tokio::test]
async fn a_rotated_token_goes_on_beside_its_successor_for_as_long_as_was_said() {
    for world in World::all().await {
        let process = world.process();
        let acme = process.organisation("acme").await;
        let (old, old_text) = process.token(&acme, None).await;
        assert!(process.admits(&old_text).await);
        let input = RotationInput::parse(b"", world.clock.now()).unwrap();
        let rotation = process.administration.rotate_token(&acme, &old.id, input, &platform()).await.unwrap();
        assert_eq!((&rotation.token.name, rotation.token.role), (&old.name, old.role));
        assert_eq!(rotation.token.expires_at, None);
        let stored = world.stored(&old).await.unwrap();
        assert_eq!(stored.expires_at, Some(world.clock.now().plus(DAY)));
        assert_eq!(stored.replaced_by, Some(rotation.token.id.clone()));
        assert_eq!(world.stored(&rotation.token).await, Some(rotation.token.clone()), "{}", world.name);
        let elsewhere = world.process();
        for process in [&process, &elsewhere] {
            assert!(process.admits(&old_text).await && process.admits(&rotation.text).await, "both are live");
        }
        world.clock.advance(DAY - Duration::from_millis(1));
        assert!(process.admits(&old_text).await);
        world.clock.advance(Duration::from_millis(1));
        assert!(!process.admits(&old_text).await && process.admits(&rotation.text).await);
        assert_eq!(world.types(&acme).await, ["organisation.create", "token.create", "token.rotate"], "one event");
    }
}

#[tokio::test]
async fn a_rotation_without_overlap_ends_the_token_at_once() {
    for world in World::all().await {
        let process = world.process();
        let acme = process.organisation("acme").await;
        let (old, old_text) = process.token(&acme, None).await;
        assert!(process.admits(&old_text).await);
        let rotation = process.administration.rotate_token(&acme, &old.id, NO_OVERLAP, &platform()).await.unwrap();
        assert!(!process.admits(&old_text).await, "{}", world.name);
        assert!(process.admits(&rotation.text).await);
    }
}

#[tokio::test]
async fn a_rotation_never_gives_a_token_more_time_than_it_had() {
    let world = World::memory();
    let process = world.process();
    let acme = process.organisation("acme").await;
    let (old, _) = process.token(&acme, Some(SECOND)).await;
    let input = RotationInput { overlap: DAY, end: SuccessorEnd::Never };
    process.administration.rotate_token(&acme, &old.id, input, &platform()).await.unwrap();
    assert_eq!(world.stored(&old).await.unwrap().expires_at, old.expires_at);
}

#[tokio::test]
async fn of_a_chain_of_successors_no_more_than_two_are_live() {
    for world in World::all().await {
        let process = world.process();
        let acme = process.organisation("acme").await;
        let (first, _) = process.token(&acme, None).await;
        let overlap = RotationInput { overlap: DAY, end: SuccessorEnd::Never };
        let rotate =
            async |token: &Token| process.administration.rotate_token(&acme, &token.id, overlap, &platform()).await;
        let second = rotate(&first).await.unwrap().token;
        let before = world.store.newest(&acme.id).await.unwrap();
        for token in [&first, &second] {
            let refused = rotate(token).await;
            let other = if token.id == first.id { &second.id } else { &first.id };
            assert!(
                matches!(&refused, Err(AdministrationError::RotationInProgress(id)) if id == other),
                "{}: {refused:?}",
                world.name
            );
        }
        assert_eq!(world.store.newest(&acme.id).await.unwrap(), before, "what is refused is not recorded");

        // The successor was lost: it is revoked, and the token gets another.
        process.administration.revoke_token(&acme, &second.id, &platform()).await.unwrap();
        let second = rotate(&first).await.unwrap().token;
        // The token has ended: its successor may get one.
        world.clock.advance(DAY);
        let third = rotate(&second).await.unwrap().token;
        assert_eq!(third.replaces, Some(second.id.clone()));
        let live = process.administration.tokens(&acme.id).await.unwrap();
        assert_eq!(live.iter().filter(|token| token.is_live(world.clock.now())).count(), 2);
        let missing = process.organisation("other").await;
        let refused = process.administration.rotate_token(&missing, &third.id, overlap, &platform()).await;
        assert!(matches!(refused, Err(AdministrationError::NotFound)), "another organisation's");
    }
}

#[tokio::test]
async fn of_two_rotations_at_once_one_is_made() {
    for world in World::all().await {
        let process = world.process();
        let acme = process.organisation("acme").await;
        let (token, _) = process.token(&acme, None).await;
        let other = world.process();
        let actor = platform();
        let (one, two) = tokio::join!(
            process.administration.rotate_token(&acme, &token.id, NO_OVERLAP, &actor),
            other.administration.rotate_token(&acme, &token.id, NO_OVERLAP, &actor),
        );
        let made = usize::from(one.is_ok()) + usize::from(two.is_ok());
        assert_eq!(made, 1, "{}: {one:?} {two:?}", world.name);
        assert_eq!(process.administration.tokens(&acme.id).await.unwrap().len(), 2, "{}", world.name);
    }
}

#[tokio::test]
async fn whichever_call_fails_a_rotation_is_made_and_recorded_together_or_not_at_all() {
    let mut made = [0, 0];
    for nth in 1..=8 {
        for fault in [Fault::Throttled, Fault::Busy, Fault::Unsent, Fault::AnswerLost] {
            let memory = Arc::new(MemoryStore::new());
            let world = World::over("memory", memory.clone(), VirtualClock::new(sample::START), None);
            let acme = world.process().organisation("acme").await;
            let (token, _) = world.process().token(&acme, None).await;
            let process = world.process_on(FaultyStore::nth(memory, nth, fault), RateLimits::NONE);
            let rotation = tokio::spawn({
                let (administration, acme, id) = (process.administration.clone(), acme.clone(), token.id.clone());
                async move { administration.rotate_token(&acme, &id, NO_OVERLAP, &platform()).await }
            });
            while !rotation.is_finished() {
                world.clock.advance(Duration::from_millis(10));
                tokio::task::yield_now().await;
            }
            let is_made = rotation.await.unwrap().is_ok();
            made[usize::from(is_made)] += 1;
            let tokens = world.process().administration.tokens(&acme.id).await.unwrap();
            let events = world.types(&acme).await.iter().filter(|kind| *kind == "token.rotate").count();
            assert_eq!(events, usize::from(is_made), "call {nth}, {fault:?}");
            assert_eq!(tokens.len(), 1 + events, "call {nth}, {fault:?}");
            assert_eq!(world.stored(&token).await.unwrap().replaced_by.is_some(), is_made, "call {nth}, {fault:?}");
        }
    }
    assert!(made.iter().all(|&count| count > 0), "{made:?}");
}

#[tokio::test]
async fn an_organisation_has_a_hundred_tokens_at_most_and_those_that_ended_make_room() {
    for world in World::all().await {
        let process = world.process();
        let acme = process.organisation("acme").await;
        let (first, _) = process.token(&acme, None).await;
        for number in 1..MAX_TOKENS {
            // The last three will have ended in an hour.
            process.token(&acme, (number + 3 >= MAX_TOKENS).then_some(3600 * SECOND)).await;
        }
        let before = world.store.newest(&acme.id).await.unwrap();
        let full = |result: Result<(), AdministrationError>| {
            let is_limit = matches!(result, Err(AdministrationError::Conflict(Conflict::TokenLimit)));
            assert!(is_limit, "{}: {result:?}", world.name);
        };
        full(process.try_token(&acme, None).await.map(drop));
        let overlap = RotationInput { overlap: DAY, end: SuccessorEnd::Never };
        let rotate = async || process.administration.rotate_token(&acme, &first.id, overlap, &platform()).await;
        full(rotate().await.map(drop));
        assert_eq!(world.store.newest(&acme.id).await.unwrap(), before, "what is refused is not recorded");
        assert_eq!(world.stored(&first).await.unwrap().replaced_by, None);

        world.clock.advance(3600 * SECOND);
        rotate().await.unwrap();
        let count = async || process.administration.tokens(&acme.id).await.unwrap().len();
        assert_eq!(count().await, MAX_TOKENS - 2, "{}: the three that had ended are gone", world.name);
        process.token(&acme, None).await;
        process.token(&acme, None).await;
        full(process.try_token(&acme, None).await.map(drop));
        process.administration.revoke_token(&acme, &first.id, &platform()).await.unwrap();
        process.token(&acme, None).await;
        full(process.try_token(&acme, None).await.map(drop));
        assert_eq!(count().await, MAX_TOKENS);
        let other = process.organisation("other").await;
        process.token(&other, None).await;
    }
}
