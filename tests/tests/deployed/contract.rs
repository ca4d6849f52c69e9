//! The contract of the ports `LogStore` and `Registry`: every method and every refusal. One suite for all
//! implementations: the in-memory double, the DynamoDB adapter on the embedded DynamoDB and, if
//! `ANNALS_TEST_DYNAMODB_ENDPOINT` is set, on the DynamoDB at that address, in an own account.

use std::{collections::HashMap, ops::RangeInclusive, sync::Arc, time::Duration};

use annals_aws::{
    dynamodb::{DynamoStore, Tables, create_tables},
    system::SystemEntropy,
};
use annals_cloud::{AccessKey, Cloud, CloudOptions};
use annals_core::{
    change::{Change, Conflict, Replaced},
    destination::{
        BegunCheckpoint, Challenge, Checkpoints, ClaimKey, Claims, Compression, Content, Delivery, Destination,
        Failing, Holder, Intent, KeyLayout, LastCheckpoint, Lost, ObjectFormat, PendingChange,
        Place as DestinationPlace, PlaceName, Progress, Proof, Proven, ProvenBy, Rendering, Replay, Settings, Shape,
        Unsigned,
        advice::{self, Advice, Prose, Snippet, SnippetKind},
        connection_test::{ConnectionTestReport, Step, StepName, StepOutcome},
        failure::{Failure, FailureCode},
        policy::Policy,
    },
    entropy::{BASE36, characters},
    limited::Limited,
    log::{
        rate::RateState,
        segment::{AppendId, ClaimId, Claimed, EncodedBodies, Header, LineHash, Segment, Tail},
        store::{
            Commit, CommitError, Consistency, Found, Hole, KeyClaim, KeyUse, MAX_PLACES, Order, Place, StoreError,
        },
        tail::{Anchor, End},
    },
    organisation::{Organisation, OrganisationId, Plan, RetentionDays},
    platform::{PlatformScope, PlatformToken, PlatformTokens},
    portal::{PortalLink, Session, User},
    proof::{key::PublishedKey, log_checkpoint::LogCheckpoint},
    registry::{
        ACTIVE_SHARDS, ActiveDestination, ActivePosition, MaintenanceProgress, MaintenanceStep, PlanPass,
        RestoredTables, Stretch, shard_of,
    },
    time::Timestamp,
    token::{Role, Token, TokenHash, TokenId, TokenText},
    usage::{DeliveredMonths, DeliveryCounts, LogCounts, LogMonth, Month},
};
use annals_tests::{
    entropy::SeededEntropy, faulty::Store, memory::MemoryStore, sample, shipping::world::active_destinations,
    signer::MemorySigner,
};
use aws_config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::{Client, config::Credentials, types::AttributeValue};
use futures_util::future::join_all;

/// A store of its own, empty.
struct Environment {
    name: &'static str,
    store: Arc<dyn Store>,
    deletion: Deletion,
    /// The number of segments of 380 KB that one commit can hold.
    largest_commit: u64,
    _cloud: Option<Cloud>,
}

/// 4 MB of items (Amazon DynamoDB, "TransactWriteItems").
const LARGEST_COMMIT: u64 = 10;
/// MiniStack counts the text of the request instead, in which bytes are in base64.
const LARGEST_COMMIT_OF_MINISTACK: u64 = 7;

/// Deletes a segment as time to live does, bypassing the port.
enum Deletion {
    Memory(Arc<MemoryStore>),
    DynamoDb(Client, Tables),
}

impl std::ops::Deref for Environment {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

impl Environment {
    async fn dynamodb(name: &'static str, client: Client, largest_commit: u64, cloud: Option<Cloud>) -> Self {
        let suffix = characters(&SystemEntropy, BASE36, 10);
        let tables = Tables { log: format!("log-{suffix}"), registry: format!("registry-{suffix}") };
        create_tables(&client, &tables).await.unwrap();
        let store = Arc::new(DynamoStore::new(client.clone(), tables.clone()));
        Self { name, store, deletion: Deletion::DynamoDb(client, tables), largest_commit, _cloud: cloud }
    }

    async fn delete(&self, organisation: &OrganisationId, first: u64) {
        match &self.deletion {
            Deletion::Memory(store) => {
                let end = Timestamp::from_millis(u64::MAX);
                store.expire(end, |of, segment| of == organisation && segment == first);
            }
            Deletion::DynamoDb(client, tables) => {
                let delete = client
                    .delete_item()
                    .table_name(&tables.log)
                    .key("org", AttributeValue::S(organisation.to_string()))
                    .key("seq", AttributeValue::N(first.to_string()));
                delete.send().await.unwrap();
            }
        }
    }

    /// Commits. Fails if the commit is refused.
    async fn put(&self, organisation: &Organisation, segments: &[Segment]) {
        self.commit(&organisation.id, &commit(segments, None)).await.unwrap();
    }

    /// Makes a change with the next segment. Fails if it is refused.
    async fn make(&self, organisation: &Organisation, change: Change) {
        self.try_to(organisation, change).await.unwrap();
    }

    async fn try_to(&self, organisation: &Organisation, change: Change) -> Result<(), Conflict> {
        let tail = self.newest(&organisation.id).await.unwrap().tail().unwrap_or(Tail::ORIGIN);
        let change = commit(&[segment(tail.last + 1, 1)], Some(change));
        match self.commit(&organisation.id, &change).await {
            Ok(()) => Ok(()),
            Err(CommitError::Refused(conflict)) => {
                let after = self.newest(&organisation.id).await.unwrap().tail().unwrap_or(Tail::ORIGIN);
                assert_eq!(after, tail, "what is refused is not recorded");
                Err(conflict)
            }
            other => panic!("{other:?}"),
        }
    }

    async fn organisation(&self, id: &str) -> Organisation {
        let organisation = sample::organisation(id);
        self.make(&organisation, Change::CreateOrganisation(organisation.clone())).await;
        organisation
    }

    async fn read(&self, organisation: &Organisation, range: RangeInclusive<u64>, order: Order) -> Vec<u64> {
        let found = self.range(&organisation.id, range, order, None, Consistency::Strong).await.unwrap();
        found.iter().map(|segment| segment.first).collect()
    }
}

async fn environments() -> Vec<Environment> {
    let memory = Arc::new(MemoryStore::new());
    let cloud = Cloud::start(CloudOptions::default()).await.unwrap();
    let client = Client::new(&cloud.sdk_config(&AccessKey::new("any", "any")));
    let mut environments = vec![
        Environment {
            name: "memory",
            store: memory.clone(),
            deletion: Deletion::Memory(memory),
            largest_commit: LARGEST_COMMIT,
            _cloud: None,
        },
        Environment::dynamodb("the embedded DynamoDB", client, LARGEST_COMMIT, Some(cloud)).await,
    ];
    if let Ok(endpoint) = std::env::var("ANNALS_TEST_DYNAMODB_ENDPOINT") {
        let account = characters(&SystemEntropy, b"123456789", 12);
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(endpoint)
            .credentials_provider(Credentials::new(account, "any", None, None, "test"));
        let client = Client::from_conf(config.build());
        environments.push(
            Environment::dynamodb("the DynamoDB at the endpoint", client, LARGEST_COMMIT_OF_MINISTACK, None).await,
        );
    }
    environments
}

/// Tests that hold for every implementation.
macro_rules! contract {
    ($(async fn $name:ident($environment:ident) $body:block)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                for $environment in &environments().await {
                    println!("over {}", $environment.name);
                    $body
                }
            }
        )*
    };
}

fn append_id(number: u8) -> AppendId {
    AppendId([number; 16])
}

/// A segment that begins at `first`, with different content for each.
fn segment(first: u64, count: u16) -> Segment {
    let number = u8::try_from(first % 251).unwrap();
    Segment {
        first,
        count,
        recorded_at: sample::START.plus(Duration::from_millis(first)),
        previous_hash: LineHash([number; 32]),
        hash: LineHash([number + 1; 32]),
        append: append_id(number),
        rate: RateState::FULL,
        usage: Some(month("2026-11", first)),
        claimed: Vec::new(),
        organisation_name: "Bücher & \"Söhne\" 🦉".into(),
        bodies: EncodedBodies::encode(&[sample::body(&format!("event {first}"))]),
        resumes_after: None,
        expires_at: 1_900_000_000 + first,
    }
}

/// The counts of a month, different for each number.
fn month(month: &str, number: u64) -> LogMonth {
    let counts = LogCounts { events: number, bytes: 1000 * number, own_events: number / 2, reads: number / 3 };
    let unknown_until = number.is_multiple_of(2).then_some(sample::START);
    LogMonth { month: month.parse().unwrap(), counts, unknown_until }
}

/// The same with this number of bytes in bodies.
fn large_segment(first: u64, bytes: usize) -> Segment {
    let entropy = SeededEntropy::new(first);
    let bytes = (0..bytes.div_ceil(8)).flat_map(|_| entropy.next().to_le_bytes()).collect();
    Segment { bodies: EncodedBodies::from_bytes(bytes), ..segment(first, 1) }
}

/// The same with these many claims.
fn claimed_segment(first: u64, count: u16, claims: u16) -> Segment {
    let claimed = |index: u16| Claimed { claim: claim_id(first, index), index };
    Segment { claimed: (0..claims).map(claimed).collect(), ..segment(first, count) }
}

fn claim_id(first: u64, index: u16) -> ClaimId {
    let mut id = [7; 16];
    id[..8].copy_from_slice(&first.to_be_bytes());
    id[8..10].copy_from_slice(&index.to_be_bytes());
    ClaimId(id)
}

fn commit(segments: &[Segment], change: Option<Change>) -> Commit {
    Commit { segments: segments.to_vec(), change }
}

/// In seconds since the epoch.
const NOW: u64 = 1_800_000_000;

fn claim(number: u8) -> KeyClaim {
    KeyClaim {
        key: [number; 32],
        fingerprint: [number + 1; 32],
        id: claim_id(0, number.into()),
        from: 7_000_000_000 + u64::from(number),
        expires_at: NOW + 100,
    }
}

fn occupied(result: Result<(), CommitError>) -> Header {
    match result {
        Err(CommitError::Occupied(header)) => *header,
        other => panic!("not occupied: {other:?}"),
    }
}

contract! {
    async fn an_unknown_organisation_has_nothing(environment) {
        let id: OrganisationId = "nobody".parse().unwrap();
        assert_eq!(environment.newest(&id).await.unwrap().end, None);
        assert_eq!(environment.anchor(&id).await.unwrap(), None);
        assert_eq!(environment.anchors(&[id]).await.unwrap(), [None]);
        assert_eq!(environment.read(&sample::organisation("nobody"), 0..=u64::MAX, Order::Ascending).await, [0; 0]);
    }

    async fn a_new_organisation_has_an_anchor_at_the_origin_and_its_first_event(environment) {
        let acme = environment.organisation("acme").await;
        let anchor = Anchor { tail: Tail::ORIGIN, checked: Some(acme.created_at) };
        assert_eq!(environment.anchor(&acme.id).await.unwrap(), Some(anchor));
        assert_eq!(environment.newest(&acme.id).await.unwrap().end, Some(End::Segment(segment(1, 1).tail())));
        environment.delete(&acme.id, 1).await;
        assert_eq!(environment.newest(&acme.id).await.unwrap().end, Some(End::Anchor(anchor)), "what is left");
    }

    async fn what_is_read_is_what_was_written(environment) {
        let acme = sample::organisation("acme");
        let written = [
            segment(1, 1),
            claimed_segment(2, 1000, 1000),
            large_segment(1002, 380 * 1024),
            claimed_segment(1003, 3, 1),
        ];
        for one in &written {
            environment.put(&acme, std::slice::from_ref(one)).await;
            assert_eq!(environment.newest(&acme.id).await.unwrap().tail(), Some(one.tail()));
        }
        for consistency in [Consistency::Eventual, Consistency::Strong] {
            let read = environment.range(&acme.id, 1..=u64::MAX, Order::Ascending, None, consistency).await.unwrap();
            assert_eq!(read, written);
        }
    }

    async fn a_place_that_is_taken_is_refused_with_who_is_there(environment) {
        let acme = sample::organisation("acme");
        let first = segment(1, 5);
        environment.put(&acme, std::slice::from_ref(&first)).await;
        let rival = Segment { append: append_id(99), ..segment(1, 1) };
        let create = Some(Change::CreateOrganisation(acme.clone()));
        let occupant = async |commit: Commit| occupied(environment.commit(&acme.id, &commit).await);
        assert_eq!(occupant(commit(std::slice::from_ref(&rival), None)).await, first.header());
        assert_eq!(occupant(commit(std::slice::from_ref(&rival), create.clone())).await, first.header());
        assert_eq!(occupant(commit(&[rival.clone(), segment(2, 1)], None)).await, first.header());
        assert_eq!(environment.read(&acme, 1..=9, Order::Ascending).await, [1]);
        assert_eq!(environment.newest(&acme.id).await.unwrap().tail(), Some(first.tail()));
        // The change in the refused commit was not made.
        environment.commit(&acme.id, &commit(&[segment(6, 1)], create)).await.unwrap();
    }

    async fn a_refused_place_shows_the_claims_of_the_segment_there(environment) {
        let acme = sample::organisation("acme");
        for (one, rival) in [(claimed_segment(1, 1, 1), segment(1, 2)), (claimed_segment(2, 1000, 1000), segment(2, 1))] {
            environment.put(&acme, std::slice::from_ref(&one)).await;
            let rival = Segment { append: append_id(99), ..rival };
            for commit in [commit(std::slice::from_ref(&rival), None), commit(&[rival.clone(), segment(1002, 1)], None)] {
                let there = occupied(environment.commit(&acme.id, &commit).await);
                assert_eq!(there, one.header());
                assert_eq!(there.index_of(claim_id(one.first, one.count - 1)), Some(one.count - 1));
                assert_eq!(there.index_of(claim_id(one.first, 1001)), None);
            }
        }
    }

    async fn several_segments_are_written_together_or_not_at_all(environment) {
        let acme = sample::organisation("acme");
        let three = [segment(1, 2), segment(3, 3), segment(6, 1)];
        environment.put(&acme, &three).await;
        assert_eq!(environment.read(&acme, 1..=u64::MAX, Order::Ascending).await, [1, 3, 6]);
        let again = commit(&[segment(7, 1), Segment { append: append_id(77), ..segment(6, 1) }], None);
        assert_eq!(occupied(environment.commit(&acme.id, &again).await).append, three[2].append);
        assert_eq!(environment.read(&acme, 1..=u64::MAX, Order::Ascending).await, [1, 3, 6]);
    }

    async fn a_commit_that_arrives_twice_finds_itself(environment) {
        let acme = sample::organisation("acme");
        let single = commit(&[segment(1, 1)], None);
        let with_change = commit(&[segment(2, 1)], Some(Change::CreateOrganisation(acme.clone())));
        let several = commit(&[segment(3, 1), segment(4, 1)], None);
        for commit in [single, with_change, several] {
            environment.commit(&acme.id, &commit).await.unwrap();
            let occupant = occupied(environment.commit(&acme.id, &commit).await);
            assert_eq!(occupant.append, commit.segments[0].append);
        }
    }

    async fn of_many_at_once_exactly_one_gets_the_place(environment) {
        let acme = sample::organisation("acme");
        for place in 1..=5 {
            let tries = (1..=8).map(|number| {
                let segment = Segment { append: append_id(number), ..segment(place, 1) };
                let new = sample::organisation(&format!("company-{number}"));
                let change = (place == 1 && number % 2 == 0).then_some(Change::CreateOrganisation(new));
                let acme = &acme;
                async move { (append_id(number), environment.commit(&acme.id, &commit(&[segment], change)).await) }
            });
            let outcomes = join_all(tries).await;
            let winners: Vec<_> = outcomes.iter().filter(|(_, result)| result.is_ok()).map(|(id, _)| *id).collect();
            assert_eq!(winners.len(), 1, "{outcomes:?}");
            for (_, result) in outcomes.into_iter().filter(|(_, result)| result.is_err()) {
                match result {
                    Err(CommitError::Busy) => {}
                    lost => assert_eq!(occupied(lost).append, winners[0]),
                }
            }
        }
    }

    async fn a_key_in_use_is_refused_with_what_it_stands_for(environment) {
        let acme = sample::organisation("acme");
        let there = || Some(KeyUse::Claimed(claim(1)));
        assert_eq!(environment.claim(&acme.id, &claim(1), NOW).await.unwrap(), None);
        let again = KeyClaim { fingerprint: [9; 32], id: claim_id(9, 9), from: 3, ..claim(1) };
        assert_eq!(environment.claim(&acme.id, &again, NOW).await.unwrap(), there());
        assert_eq!(environment.claim(&acme.id, &claim(1), NOW).await.unwrap(), there(), "a claim that arrives twice");
        assert_eq!(environment.claim(&acme.id, &claim(2), NOW).await.unwrap(), None, "another key");
        let other = sample::organisation("other");
        assert_eq!(environment.claim(&other.id, &again, NOW).await.unwrap(), None, "keys are each organisation's own");
        assert_eq!(environment.newest(&acme.id).await.unwrap().end, None, "a claim is no segment");
    }

    async fn a_key_is_free_from_the_moment_it_expires(environment) {
        let acme = sample::organisation("acme");
        environment.claim(&acme.id, &claim(1), NOW).await.unwrap();
        let next = KeyClaim { id: claim_id(9, 9), expires_at: claim(1).expires_at + 100, ..claim(1) };
        let at = |now| environment.claim(&acme.id, &next, now);
        assert_eq!(at(claim(1).expires_at - 1).await.unwrap(), Some(KeyUse::Claimed(claim(1))));
        assert_eq!(at(claim(1).expires_at).await.unwrap(), None);
        assert_eq!(at(claim(1).expires_at).await.unwrap(), Some(KeyUse::Claimed(next.clone())));
    }

    async fn of_many_claims_of_a_key_at_once_exactly_one_is_stored(environment) {
        let acme = sample::organisation("acme");
        let claims = (1..=8).map(|number| KeyClaim { key: [7; 32], ..claim(number) });
        let outcomes = join_all(claims.map(|claim| {
            let acme = &acme;
            async move { (environment.claim(&acme.id, &claim, NOW).await.unwrap(), claim) }
        }));
        let (won, lost): (Vec<_>, Vec<_>) = outcomes.await.into_iter().partition(|(there, _)| there.is_none());
        let [(None, winner)] = won.as_slice() else { panic!("{won:?}") };
        assert!(lost.iter().all(|(there, _)| *there == Some(KeyUse::Claimed(winner.clone()))), "{lost:?}");
    }

    async fn a_claim_is_replaced_only_as_it_was_read(environment) {
        let acme = sample::organisation("acme");
        let renewed = KeyClaim { from: claim(1).from + 5, expires_at: NOW + 200, ..claim(1) };
        assert!(!environment.replace_claim(&acme.id, &claim(1), &renewed).await.unwrap(), "there is none");
        environment.claim(&acme.id, &claim(1), NOW).await.unwrap();
        for other in [
            KeyClaim { id: claim_id(9, 9), ..claim(1) },
            KeyClaim { from: claim(1).from - 1, ..claim(1) },
            KeyClaim { expires_at: NOW + 99, ..claim(1) },
        ] {
            assert!(!environment.replace_claim(&acme.id, &other, &renewed).await.unwrap(), "{other:?}");
        }
        assert!(environment.replace_claim(&acme.id, &claim(1), &renewed).await.unwrap());
        assert!(!environment.replace_claim(&acme.id, &claim(1), &renewed).await.unwrap(), "it was replaced before");
        let there = environment.claim(&acme.id, &claim(1), NOW + 150).await.unwrap();
        assert_eq!(there, Some(KeyUse::Claimed(renewed)));
    }

    async fn an_occupied_place_is_reported_before_a_refused_change(environment) {
        let acme = environment.organisation("acme").await;
        let exists = Some(Change::CreateOrganisation(acme.clone()));
        let rival = Segment { append: append_id(99), ..segment(1, 1) };
        let place = environment.commit(&acme.id, &commit(std::slice::from_ref(&rival), exists.clone())).await;
        assert_eq!(occupied(place), segment(1, 1).header());
        let change = environment.commit(&acme.id, &commit(&[segment(2, 1), segment(3, 1)], exists)).await;
        assert!(matches!(change, Err(CommitError::Refused(Conflict::Exists))), "{change:?}");
        assert_eq!(environment.read(&acme, 1..=9, Order::Ascending).await, [1], "nothing of the refused commit is stored");
    }

    async fn a_commit_of_almost_four_megabytes_is_taken(environment) {
        let acme = sample::organisation("acme");
        let segments: Vec<_> = (1..=environment.largest_commit).map(|first| large_segment(first, 380 * 1024)).collect();
        environment.put(&acme, &segments).await;
        assert_eq!(environment.newest(&acme.id).await.unwrap().tail(), segments.last().map(Segment::tail));
    }

    async fn what_is_too_large_is_broken_not_unavailable(environment) {
        let acme = sample::organisation("acme");
        let item = commit(&[large_segment(1, 401 * 1024)], None);
        let transaction: Vec<_> = (1..=12).map(|first| large_segment(first, 380 * 1024)).collect();
        for commit in [item, commit(&transaction, None)] {
            let result = environment.commit(&acme.id, &commit).await;
            assert!(matches!(result, Err(CommitError::Store(StoreError::Broken(_)))), "{result:?}");
        }
        assert_eq!(environment.newest(&acme.id).await.unwrap().end, None);
    }

    async fn the_tail_has_the_state_of_the_rate_limit(environment) {
        let acme = environment.organisation("acme").await;
        let rate = RateState::from_bytes(&[1; 13]);
        let segment = Segment { rate, ..segment(2, 1) };
        environment.commit(&acme.id, &commit(std::slice::from_ref(&segment), None)).await.unwrap();
        assert_ne!(rate, RateState::FULL);
        assert_eq!(environment.newest(&acme.id).await.unwrap().tail(), Some(segment.tail()));
    }

    async fn the_anchor_only_ever_goes_forward(environment) {
        let acme = environment.organisation("acme").await;
        let hour = Duration::from_secs(3600);
        let anchor = |tail: Tail, hours: u32| Anchor { tail, checked: Some(sample::START.plus(hour * hours)) };
        let (five, nine) = (segment(5, 1).tail(), segment(7, 3).tail());
        let to = async |to| environment.advance_anchor(&acme.id, &to).await.unwrap();
        assert!(to(anchor(five, 1)).await);
        assert_eq!(environment.anchor(&acme.id).await.unwrap(), Some(anchor(five, 1)));
        assert!(!to(anchor(five, 1)).await);
        assert!(!to(Anchor { tail: five, checked: None }).await);
        assert!(to(anchor(five, 2)).await, "checked again");
        assert!(!to(anchor(five, 1)).await, "an older check");
        assert!(to(anchor(nine, 2)).await);
        assert!(!to(anchor(five, 3)).await);
        assert_eq!(environment.anchor(&acme.id).await.unwrap(), Some(anchor(nine, 2)));
        assert_eq!(
            environment.newest(&acme.id).await.unwrap().end,
            Some(End::Segment(segment(1, 1).tail())),
            "a segment speaks for the tail"
        );
        assert!(to(anchor(nine, 100)).await);
        assert!(to(anchor(nine, 3)).await, "a time far in the future came from a wrong clock");
        let fresh: OrganisationId = "fresh".parse().unwrap();
        let unchecked = Anchor { tail: five, checked: None };
        assert!(environment.advance_anchor(&fresh, &unchecked).await.unwrap());
        assert_eq!(environment.newest(&fresh).await.unwrap().end, Some(End::Anchor(unchecked)));
        assert!(environment.advance_anchor(&fresh, &anchor(five, 1)).await.unwrap(), "the first check");
    }

    async fn the_counts_of_a_month_that_is_over_only_ever_go_forward(environment) {
        let acme = environment.organisation("acme").await;
        let other = environment.organisation("other").await;
        assert_eq!(environment.closed_months(&acme.id).await.unwrap(), []);
        let (november, january) = (month("2026-11", 5), month("2027-01", 9));
        environment.close_month(&acme.id, &november, 10).await.unwrap();
        environment.close_month(&acme.id, &month("2026-11", 4), 9).await.unwrap();
        environment.close_month(&acme.id, &january, 12).await.unwrap();
        environment.close_month(&other.id, &month("2026-12", 1), 1).await.unwrap();
        assert_eq!(environment.closed_months(&acme.id).await.unwrap(), [january, november], "an older view loses");
        let later = month("2026-11", 6);
        environment.close_month(&acme.id, &later, 11).await.unwrap();
        assert_eq!(environment.closed_months(&acme.id).await.unwrap(), [january, later]);
        // They are no part of the log.
        assert_eq!(environment.newest(&acme.id).await.unwrap().tail(), Some(segment(1, 1).tail()));
        assert_eq!(environment.read(&acme, 0..=u64::MAX, Order::Ascending).await, [1]);
        environment.delete(&acme.id, 1).await;
        assert!(matches!(environment.newest(&acme.id).await.unwrap().end, Some(End::Anchor(_))));
    }

    async fn a_deleted_destination_leaves_behind_what_was_delivered_to_it(environment) {
        let acme = environment.organisation("acme").await;
        let [idle, busy, old] = ["a", "b", "c"].map(|label| sample::destination(&acme, label));
        let busy = Destination { progress: Progress { delivered: delivered(7), ..Progress::default() }, ..busy };
        // A release that did not count delivered to this one.
        let last_success = Some(sample::START);
        let old = Destination { progress: Progress { last_success, ..Progress::default() }, ..old };
        for one in [&idle, &busy, &old] {
            let create = Change::CreateDestination { destination: Box::new(one.clone()), limit: 10 };
            environment.make(&acme, create).await;
            assert_eq!(environment.destination(&acme.id, &one.id).await.unwrap().as_ref(), Some(one));
        }
        assert_eq!(environment.deleted_deliveries(&acme.id).await.unwrap(), []);
        for one in [&idle, &busy, &old] {
            environment.make(&acme, Change::DeleteDestination(Box::new(one.clone()))).await;
        }
        let mut left = environment.deleted_deliveries(&acme.id).await.unwrap();
        left.sort_by_key(|(_, delivered)| delivered.unknown_until);
        let unknown = DeliveredMonths::default().with_unknown_until(last_success);
        assert_eq!(left, [(busy.id, delivered(7)), (old.id, unknown)]);
        assert_eq!(environment.destinations(&acme.id).await.unwrap(), []);
    }

    async fn ids_of_organisations_are_listed_in_their_order(environment) {
        for name in ["umbrella", "acme", "initech"] {
            environment.organisation(name).await;
        }
        let listed = async |after: Option<&str>, limit: usize| {
            let after: Option<OrganisationId> = after.map(|after| after.parse().unwrap());
            let mut ids = Vec::new();
            // The index is eventually consistent.
            for _ in 0..20 {
                ids = environment.organisation_ids(after.as_ref(), limit).await.unwrap();
                if !ids.is_empty() {
                    break;
                }
            }
            ids.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(listed(None, 10).await, ["acme", "initech", "umbrella"]);
        assert_eq!(listed(None, 2).await, ["acme", "initech"]);
        assert_eq!(listed(Some("acme"), 1).await, ["initech"]);
        assert_eq!(listed(Some("acne"), 10).await, ["initech", "umbrella"]);
        assert_eq!(listed(Some("umbrella"), 10).await, [""; 0]);
    }

    async fn the_progress_of_maintenance_counts_each_part_once(environment) {
        let (run, other) = (sample::START, sample::START.plus(Duration::from_secs(1)));
        let note = async |run, step| environment.note_maintenance(run, step).await.unwrap();
        let progress = |parts, finished| MaintenanceProgress { parts, finished };
        assert_eq!(note(run, MaintenanceStep::Finished { part: 2 }).await, progress(None, 1));
        assert_eq!(note(run, MaintenanceStep::Finished { part: 2 }).await, progress(None, 1));
        let divided = note(run, MaintenanceStep::Divided { parts: 2 }).await;
        assert_eq!((divided, divided.is_complete()), (progress(Some(2), 1), false));
        assert_eq!(note(other, MaintenanceStep::Divided { parts: 1 }).await, progress(Some(1), 0));
        let finished = note(run, MaintenanceStep::Finished { part: 1 }).await;
        assert_eq!((finished, finished.is_complete()), (progress(Some(2), 2), true));
        assert_eq!(note(run, MaintenanceStep::Divided { parts: 2 }).await, finished);
    }

    async fn anchors_are_read_in_the_order_in_which_they_are_asked_for(environment) {
        let ids: Vec<OrganisationId> = (0..120).map(|number| format!("org-{number}").parse().unwrap()).collect();
        let anchor = |number: usize| {
            let tail = segment(1 + number as u64, 1).tail();
            (!number.is_multiple_of(5)).then_some(Anchor { tail, checked: (!number.is_multiple_of(2)).then_some(sample::START) })
        };
        for (number, id) in ids.iter().enumerate() {
            if let Some(anchor) = anchor(number) {
                assert!(environment.advance_anchor(id, &anchor).await.unwrap());
            }
        }
        // Eventually consistent reads may miss what was written just now.
        let expected: Vec<_> = (0..ids.len()).map(anchor).collect();
        let mut read = Vec::new();
        for _ in 0..20 {
            read = environment.anchors(&ids).await.unwrap();
            if read == expected {
                break;
            }
        }
        assert_eq!(read, expected);
        assert_eq!(environment.anchors(&[]).await.unwrap(), []);
    }

    async fn newest_is_what_is_left_after_deletions_in_any_order(environment) {
        let acme = sample::organisation("acme");
        let anchor = Anchor { tail: segment(4, 1).tail(), checked: Some(sample::START) };
        environment.advance_anchor(&acme.id, &anchor).await.unwrap();
        environment.put(&acme, &[segment(1, 2), segment(3, 1), segment(4, 1)]).await;
        environment.delete(&acme.id, 4).await;
        assert_eq!(environment.newest(&acme.id).await.unwrap().tail(), Some(segment(3, 1).tail()));
        environment.delete(&acme.id, 1).await;
        assert_eq!(environment.read(&acme, 1..=u64::MAX, Order::Ascending).await, [3]);
        environment.delete(&acme.id, 3).await;
        assert_eq!(environment.newest(&acme.id).await.unwrap().tail(), Some(segment(4, 1).tail()), "the anchor");
        assert_eq!(environment.read(&acme, 1..=u64::MAX, Order::Ascending).await, [0; 0]);
    }

    async fn a_range_has_what_begins_in_it_in_either_order(environment) {
        let acme = environment.organisation("acme").await;
        environment.put(&acme, &[segment(2, 3), segment(5, 5), segment(10, 1), segment(11, 90), segment(101, 1)]).await;
        let (up, down) = (Order::Ascending, Order::Descending);
        for (range, order, expected) in [
            (0..=u64::MAX, up, &[1, 2, 5, 10, 11, 101][..]),
            (1..=u64::MAX, down, &[101, 11, 10, 5, 2, 1]),
            (3..=10, up, &[5, 10]),
            (3..=10, down, &[10, 5]),
            (5..=5, up, &[5]),
            (6..=9, up, &[]),
            (12..=100, down, &[]),
            (102..=u64::MAX, up, &[]),
        ] {
            assert_eq!(environment.read(&acme, range.clone(), order).await, expected, "{range:?} {order:?}");
        }
        for (limit, order, expected) in [(1, up, &[2][..]), (3, down, &[101, 11, 10])] {
            let found = environment.range(&acme.id, 2..=200, order, Some(limit), Consistency::Strong).await.unwrap();
            assert_eq!(found.iter().map(|segment| segment.first).collect::<Vec<_>>(), expected);
        }
        environment.delete(&acme.id, 5).await;
        environment.delete(&acme.id, 11).await;
        assert_eq!(environment.read(&acme, 2..=u64::MAX, up).await, [2, 10, 101]);
    }

    async fn a_page_ends_by_its_bytes_and_is_gone_on_from(environment) {
        let acme = sample::organisation("acme");
        for first in 1..=7 {
            environment.put(&acme, &[large_segment(first, 370 * 1024)]).await;
        }
        for order in [Order::Ascending, Order::Descending] {
            let (mut low, mut high) = (1, 7);
            let mut found = Vec::new();
            let mut pages = 0;
            loop {
                let page = environment.range(&acme.id, low..=high, order, Some(100), Consistency::Eventual).await.unwrap();
                let Some(last) = page.last() else { break };
                pages += 1;
                match order {
                    Order::Ascending => low = last.first + 1,
                    Order::Descending => high = last.first - 1,
                }
                found.extend(page.into_iter().map(|segment| segment.first));
                if low > high {
                    break;
                }
            }
            if order == Order::Descending {
                found.reverse();
            }
            assert_eq!(found, [1, 2, 3, 4, 5, 6, 7]);
            assert!(pages > 1, "2.5 MB are more than a page");
        }
    }

    async fn organisations_never_see_one_another(environment) {
        let names = ["acme", "acme-1", "acme_", "ACME", "a"];
        // All have the same id.
        let destination = |organisation: &Organisation, number: usize| Destination {
            bucket: format!("bucket-{number}").parse().unwrap(),
            ..sample::destination(organisation, "d1")
        };
        for (index, name) in names.iter().enumerate() {
            let organisation = environment.organisation(name).await;
            environment.put(&organisation, &[segment(2, u16::try_from(index).unwrap() + 1)]).await;
            environment.make(&organisation, create(&destination(&organisation, index), 1)).await;
        }
        for (index, name) in names.iter().enumerate() {
            let organisation = sample::organisation(name);
            let last = 2 + index as u64 + 1;
            assert_eq!(environment.newest(&organisation.id).await.unwrap().tail(), Some(segment(last, 1).tail()));
            assert_eq!(environment.read(&organisation, 0..=u64::MAX, Order::Descending).await, [last, 2, 1]);
            let own = destination(&organisation, index);
            assert_eq!(environment.destinations(&organisation.id).await.unwrap(), std::slice::from_ref(&own));
            assert_eq!(environment.destination(&organisation.id, &own.id).await.unwrap(), Some(own));
        }
    }

    async fn an_organisation_is_created_once(environment) {
        let acme = Organisation {
            name: "Acme & \"Söhne\"".into(),
            plan: Plan::EnterpriseTrial,
            retention: RetentionDays::try_from(30).unwrap(),
            longest_retention: RetentionDays::try_from(3650).unwrap(),
            shortest_retention: RetentionDays::try_from(14).unwrap(),
            version: 7,
            ..sample::organisation("acme")
        };
        environment.make(&acme, Change::CreateOrganisation(acme.clone())).await;
        for consistency in [Consistency::Eventual, Consistency::Strong] {
            assert_eq!(organisation(environment, &acme.id, consistency).await, Some(acme.clone()));
        }
        let again = Organisation { name: "Impostor".into(), ..acme.clone() };
        assert_eq!(environment.try_to(&acme, Change::CreateOrganisation(again)).await, Err(Conflict::Exists));
        assert_eq!(organisation(environment, &acme.id, Consistency::Strong).await, Some(acme));
        let nobody = "nobody".parse().unwrap();
        assert_eq!(organisation(environment, &nobody, Consistency::Strong).await, None);
    }

    async fn an_organisation_changes_from_the_version_that_was_read(environment) {
        let acme = environment.organisation("acme").await;
        let renamed = Organisation {
            name: "Renamed".into(),
            plan: Plan::Free,
            retention: RetentionDays::try_from(8).unwrap(),
            longest_retention: RetentionDays::try_from(9).unwrap(),
            shortest_retention: RetentionDays::try_from(8).unwrap(),
            version: 2,
            ..acme.clone()
        };
        environment.make(&acme, Change::UpdateOrganisation(renamed.clone())).await;
        assert_eq!(environment.try_to(&acme, Change::UpdateOrganisation(renamed.clone())).await, Err(Conflict::Changed));
        let ahead = Organisation { version: 4, ..renamed.clone() };
        assert_eq!(environment.try_to(&acme, Change::UpdateOrganisation(ahead)).await, Err(Conflict::Changed));
        assert_eq!(organisation(environment, &acme.id, Consistency::Strong).await, Some(renamed));
        let nobody = Organisation { version: 2, ..sample::organisation("nobody") };
        assert_eq!(environment.try_to(&nobody, Change::UpdateOrganisation(nobody.clone())).await, Err(Conflict::Missing));
    }

    async fn organisations_are_listed_by_id_page_by_page(environment) {
        let mut ids: Vec<String> = (0..120).map(|number| format!("org-{:02}", number * 7 % 120)).collect();
        for id in &ids {
            environment.organisation(id).await;
        }
        ids.sort();
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = environment.organisations(after.as_ref(), 50).await.unwrap();
            assert!(page.len() <= 50);
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            assert_eq!(page[0], sample::organisation(page[0].id.as_str()));
            found.extend(page.into_iter().map(|organisation| organisation.id.to_string()));
        }
        assert_eq!(found, ids);
        assert_eq!(environment.organisations(None, 500).await.unwrap().len(), 120);
    }

    async fn a_token_is_there_until_it_is_revoked(environment) {
        let (acme, other) = (environment.organisation("acme").await, environment.organisation("other").await);
        let (one, two, foreign) = (token(&acme, 1), token(&acme, 2), token(&other, 3));
        for (organisation, token) in [(&acme, &one), (&acme, &two), (&other, &foreign)] {
            environment.make(organisation, create_token(token)).await;
        }
        assert_eq!(environment.try_to(&acme, create_token(&one)).await, Err(Conflict::Exists));
        for consistency in [Consistency::Eventual, Consistency::Strong] {
            assert_eq!(stored_token(environment, &one.id, consistency).await, Some(one.clone()));
        }
        let list = async |organisation: &Organisation| {
            let mut tokens = environment.tokens(&organisation.id).await.unwrap();
            tokens.sort_by_key(|token| token.name.clone());
            tokens
        };
        assert_eq!(list(&acme).await, [one.clone(), two.clone()]);
        assert_eq!(list(&other).await, std::slice::from_ref(&foreign));
        let revoke = |organisation: &Organisation, token: &Token| {
            Change::RevokeToken(organisation.id.clone(), token.id.clone())
        };
        assert_eq!(environment.try_to(&other, revoke(&other, &one)).await, Err(Conflict::Missing), "it is not theirs");
        environment.make(&acme, revoke(&acme, &one)).await;
        assert_eq!(environment.try_to(&acme, revoke(&acme, &one)).await, Err(Conflict::Missing));
        assert_eq!(stored_token(environment, &one.id, Consistency::Strong).await, None);
        assert_eq!(list(&acme).await, [two]);
    }

    async fn a_token_keeps_every_one_of_its_fields(environment) {
        let acme = environment.organisation("acme").await;
        let full = Token {
            last_used_at: Some(sample::START.plus(Duration::from_secs(1))),
            replaces: Some(token(&acme, 8).id),
            replaced_by: Some(token(&acme, 9).id),
            ..token(&acme, 2)
        };
        environment.make(&acme, create_token(&full)).await;
        assert_eq!(stored_token(environment, &full.id, Consistency::Strong).await, Some(full.clone()));
        assert_eq!(environment.tokens(&acme.id).await.unwrap(), [full]);
    }

    async fn an_organisation_has_so_many_tokens_and_those_that_ended_make_room(environment) {
        let (acme, other) = (environment.organisation("acme").await, environment.organisation("other").await);
        let limited = |token: &Token, limit, cleared: &[&Token], now| Change::CreateToken {
            token: Box::new(token.clone()),
            limit,
            replaced: None,
            cleared: cleared.iter().map(|token| token.id.clone()).collect(),
            now,
        };
        let [one, two, three, four] = [1, 2, 3, 4].map(|number| token(&acme, number));
        let now = sample::START;
        environment.make(&acme, limited(&one, 2, &[], now)).await;
        environment.make(&acme, limited(&two, 2, &[], now)).await;
        assert_eq!(environment.try_to(&acme, limited(&three, 2, &[], now)).await, Err(Conflict::TokenLimit));
        environment.make(&other, limited(&token(&other, 5), 1, &[], now)).await;
        // Only ended tokens of the own organisation are deleted.
        let end = two.expires_at.unwrap();
        let just_before = end.minus(Duration::from_millis(1));
        assert_eq!(environment.try_to(&acme, limited(&three, 2, &[&two], just_before)).await, Err(Conflict::Changed));
        assert_eq!(environment.try_to(&acme, limited(&three, 2, &[&one], end)).await, Err(Conflict::Changed), "it has no end");
        assert_eq!(environment.try_to(&other, limited(&token(&other, 6), 1, &[&two], end)).await, Err(Conflict::Changed));
        environment.make(&acme, limited(&three, 2, &[&two], end)).await;
        assert_eq!(stored_token(environment, &two.id, Consistency::Strong).await, None);
        assert_eq!(environment.try_to(&acme, limited(&four, 2, &[], end)).await, Err(Conflict::TokenLimit));
        let renamed = Organisation { name: "Renamed".into(), version: 2, ..acme.clone() };
        environment.make(&acme, Change::UpdateOrganisation(renamed)).await;
        assert_eq!(environment.try_to(&acme, limited(&four, 2, &[], end)).await, Err(Conflict::TokenLimit));
        environment.make(&acme, Change::RevokeToken(acme.id.clone(), one.id.clone())).await;
        assert_eq!(environment.try_to(&acme, Change::RevokeToken(acme.id.clone(), one.id)).await, Err(Conflict::Missing));
        environment.make(&acme, limited(&four, 2, &[], end)).await;
        assert_eq!(environment.try_to(&acme, limited(&two, 2, &[], end)).await, Err(Conflict::TokenLimit));
        let nobody = sample::organisation("nobody");
        assert_eq!(environment.try_to(&nobody, limited(&token(&nobody, 7), 2, &[], end)).await, Err(Conflict::TokenLimit));
    }

    async fn a_token_gets_its_successor_once_and_its_end_with_it(environment) {
        let (acme, other) = (environment.organisation("acme").await, environment.organisation("other").await);
        let end = sample::START.plus(Duration::from_secs(7));
        let replace = |old: &Token, before: Option<&Token>, new: &Token| {
            let id = old.id.clone();
            let replaced = Replaced { id, replaced_by: before.map(|token| token.id.clone()), expires_at: end };
            Change::CreateToken {
                token: Box::new(new.clone()),
                limit: 100,
                replaced: Some(Box::new(replaced)),
                cleared: Vec::new(),
                now: sample::START,
            }
        };
        let [old, new, newer] = [1, 2, 3].map(|number| token(&acme, number));
        assert_eq!(environment.try_to(&acme, replace(&old, None, &new)).await, Err(Conflict::Missing));
        environment.make(&acme, create_token(&old)).await;
        assert_eq!(environment.try_to(&acme, replace(&old, Some(&newer), &new)).await, Err(Conflict::Changed));
        assert_eq!(environment.try_to(&other, replace(&old, None, &token(&other, 4))).await, Err(Conflict::Changed));
        assert_eq!(stored_token(environment, &old.id, Consistency::Strong).await, Some(old.clone()));
        environment.make(&acme, replace(&old, None, &new)).await;
        let ending = Token { expires_at: Some(end), replaced_by: Some(new.id.clone()), ..old.clone() };
        assert_eq!(stored_token(environment, &old.id, Consistency::Strong).await, Some(ending));
        assert_eq!(stored_token(environment, &new.id, Consistency::Strong).await, Some(new.clone()));
        assert_eq!(environment.try_to(&acme, replace(&old, None, &newer)).await, Err(Conflict::Changed));
        assert_eq!(stored_token(environment, &newer.id, Consistency::Strong).await, None, "what is refused creates nothing");
        environment.make(&acme, replace(&old, Some(&new), &newer)).await;
        assert_eq!(environment.tokens(&acme.id).await.unwrap().len(), 3);
    }

    async fn a_tokens_use_is_noted_where_none_is_that_is_as_late(environment) {
        let acme = environment.organisation("acme").await;
        let token = token(&acme, 1);
        let at = |seconds| sample::START.plus(Duration::from_secs(seconds));
        let used = async || stored_token(environment, &token.id, Consistency::Strong).await.map(|token| token.last_used_at);
        environment.note_token_use(&token.id, at(1), at(0)).await.unwrap();
        assert_eq!(used().await, None, "it brings no token into being");
        environment.make(&acme, create_token(&token)).await;
        for (now, unless_after, expected) in [(10, 0, 10), (20, 9, 10), (20, 10, 20), (15, 10, 20), (30, 25, 30)] {
            environment.note_token_use(&token.id, at(now), at(unless_after)).await.unwrap();
            assert_eq!(used().await, Some(Some(at(expected))), "{now} unless after {unless_after}");
        }
        let noted = Token { last_used_at: Some(at(30)), ..token.clone() };
        assert_eq!(environment.tokens(&acme.id).await.unwrap(), [noted], "and nothing else is changed");
    }

    async fn a_portal_link_is_used_up_by_the_session_that_begins(environment) {
        let acme = environment.organisation("acme").await;
        let (link, other) = (portal_link(&acme, 1), portal_link(&acme, 2));
        assert_eq!(environment.portal_link(&link.hash).await.unwrap(), None);
        for link in [&link, &other] {
            let create = Change::CreatePortalLink(Box::new(link.clone()));
            environment.make(&acme, create.clone()).await;
            assert_eq!(environment.try_to(&acme, create).await, Err(Conflict::Exists));
            assert_eq!(environment.portal_link(&link.hash).await.unwrap().as_ref(), Some(link));
        }
        let (one, two) = (session(&acme, 1), session(&acme, 2));
        let start = |link: &PortalLink, session: &Session| {
            Change::StartSession { link: link.hash, session: Box::new(session.clone()) }
        };
        environment.make(&acme, start(&link, &one)).await;
        assert_eq!(environment.portal_link(&link.hash).await.unwrap(), None);
        assert!(environment.is_link_used(&link.hash).await.unwrap());
        assert!(!environment.is_link_used(&other.hash).await.unwrap());
        assert_eq!(environment.session(&one.hash).await.unwrap(), Some(one.clone()));
        assert_eq!(environment.try_to(&acme, start(&link, &two)).await, Err(Conflict::Missing), "it was used");
        assert_eq!(environment.try_to(&acme, start(&other, &one)).await, Err(Conflict::Exists));
        assert_eq!(environment.session(&two.hash).await.unwrap(), None, "what is refused creates nothing");
        assert_eq!(environment.portal_link(&other.hash).await.unwrap(), Some(other), "and uses nothing up");
    }

    async fn a_session_is_there_until_it_is_ended(environment) {
        let acme = environment.organisation("acme").await;
        let (link, session) = (portal_link(&acme, 2), session(&acme, 2));
        environment.make(&acme, Change::CreatePortalLink(Box::new(link.clone()))).await;
        environment.make(&acme, Change::StartSession { link: link.hash, session: Box::new(session.clone()) }).await;
        assert_eq!(environment.session(&session.hash).await.unwrap(), Some(session.clone()));
        let later = Session { expires_at: session.expires_at.plus(Duration::from_secs(60)), ..session.clone() };
        for expires_at in [later.expires_at, session.expires_at] {
            environment.extend_session(&session.hash, expires_at).await.unwrap();
            assert_eq!(environment.session(&session.hash).await.unwrap(), Some(later.clone()), "it is never shortened");
        }
        environment.make(&acme, Change::EndSession(session.hash)).await;
        assert_eq!(environment.session(&session.hash).await.unwrap(), None);
        environment.extend_session(&session.hash, later.expires_at).await.unwrap();
        assert_eq!(environment.session(&session.hash).await.unwrap(), None, "what was ended does not come back");
        assert_eq!(environment.try_to(&acme, Change::EndSession(session.hash)).await, Err(Conflict::Missing));
    }

    async fn the_sessions_of_an_organisation_are_listed_until_they_are_ended(environment) {
        let (acme, other) = (environment.organisation("acme").await, environment.organisation("other").await);
        let mut expected = Vec::new();
        for (organisation, number) in [(&acme, 1), (&other, 2), (&acme, 3)] {
            let (link, session) = (portal_link(organisation, number), session(organisation, number));
            environment.make(organisation, Change::CreatePortalLink(Box::new(link.clone()))).await;
            let start = Change::StartSession { link: link.hash, session: Box::new(session.clone()) };
            environment.make(organisation, start).await;
            expected.push(session);
        }
        let sessions = async |organisation: &Organisation| {
            let mut sessions = environment.sessions(&organisation.id).await.unwrap();
            sessions.sort_by_key(|session| session.expires_at);
            sessions
        };
        assert_eq!(sessions(&acme).await, [expected[0].clone(), expected[2].clone()]);
        assert_eq!(sessions(&other).await, [expected[1].clone()]);
        environment.make(&acme, Change::EndSession(expected[0].hash)).await;
        assert_eq!(sessions(&acme).await, [expected[2].clone()]);
    }

    async fn a_destination_keeps_every_one_of_its_fields(environment) {
        let acme = environment.organisation("acme").await;
        let plain = sample::destination(&acme, "plain");
        let full = Destination { version: 2, ..full_destination(&plain) };
        environment.make(&acme, create(&plain, 1)).await;
        assert_eq!(environment.destination(&acme.id, &plain.id).await.unwrap(), Some(plain.clone()));
        environment.make(&acme, Change::UpdateDestination(Box::new(full.clone()))).await;
        assert_eq!(environment.destination(&acme.id, &plain.id).await.unwrap(), Some(full.clone()));
        let plain = Destination { version: 3, ..plain };
        assert!(environment.save_progress(&plain, None).await.unwrap());
        assert_eq!(environment.destinations(&acme.id).await.unwrap(), std::slice::from_ref(&plain), "nothing of before is left");
        let full = Destination { version: 4, ..full };
        assert!(environment.save_progress(&full, Some(&delivery(&full, 1, 1))).await.unwrap());
        assert_eq!(environment.destinations(&acme.id).await.unwrap(), [full]);
    }

    async fn a_plan_limits_destinations_also_after_it_was_changed(environment) {
        let acme = environment.organisation("acme").await;
        let [one, two] = ["d1", "d2"].map(|id| sample::destination(&acme, id));
        assert_eq!(environment.try_to(&acme, create(&one, 0)).await, Err(Conflict::Limit));
        environment.make(&acme, create(&one, 1)).await;
        assert_eq!(environment.try_to(&acme, create(&two, 1)).await, Err(Conflict::Limit));
        let renamed = Organisation { name: "Renamed".into(), version: 2, ..acme.clone() };
        environment.make(&acme, Change::UpdateOrganisation(renamed)).await;
        assert_eq!(environment.try_to(&acme, create(&two, 1)).await, Err(Conflict::Limit));
        environment.make(&acme, Change::DeleteDestination(Box::new(one.clone()))).await;
        environment.make(&acme, create(&two, 1)).await;
        assert_eq!(environment.destinations(&acme.id).await.unwrap(), [two]);
    }

    async fn who_claims_a_bucket_or_a_role_is_changed_by_one_at_a_time(environment) {
        let (acme, other) = (environment.organisation("acme").await, environment.organisation("other").await);
        let [one, two] = [sample::destination(&acme, "d1"), sample::destination(&other, "d2")];
        let key = ClaimKey::bucket(&one.bucket);
        let claims = |holders: &[&Destination], version| Claims {
            holders: holders.iter().map(|destination| Holder::of(destination)).collect(),
            version,
        };
        let save = async |claims: &Claims| environment.save_claims(&key, claims).await.unwrap();
        assert_eq!(environment.claims(&key).await.unwrap(), Claims::default());
        assert!(!save(&claims(&[&one], 2)).await, "nobody has claimed it");
        assert!(save(&claims(&[&one], 1)).await);
        assert!(!save(&claims(&[&two], 1)).await, "somebody was first");
        assert!(save(&claims(&[&one, &two], 2)).await);
        assert_eq!(environment.claims(&key).await.unwrap(), claims(&[&one, &two], 2));
        assert!(save(&claims(&[], 3)).await);
        assert_eq!(environment.claims(&key).await.unwrap(), claims(&[], 3));
        assert_eq!(environment.claims(&ClaimKey::role(&one.role_arn)).await.unwrap(), Claims::default());
    }

    async fn the_platforms_tokens_are_changed_by_one_at_a_time(environment) {
        let before = environment.platform_tokens().await.unwrap();
        let at = |millis: u64| Timestamp::from_millis(1_795_341_600_000 + millis);
        let id = |number: usize| format!("{number:012}").parse().unwrap();
        let token = |number: usize, scopes: &[PlatformScope]| PlatformToken {
            id: id(number),
            hash: TokenHash([u8::try_from(number).unwrap(); 32]),
            name: "Wörker \"1\"".into(),
            scopes: scopes.to_vec(),
            created_at: at(1),
            expires_at: (number == 1).then(|| at(2)),
            last_used_at: (number == 1).then(|| at(3)),
            replaces: (number == 1).then(|| id(8)),
            replaced_by: (number == 1).then(|| id(9)),
        };
        let both = vec![token(1, PlatformScope::ALL), token(2, &[PlatformScope::Audit])];
        let with = |tokens: &[PlatformToken], further| PlatformTokens {
            tokens: tokens.to_vec(),
            version: before.version + further,
        };
        assert!(!environment.save_platform_tokens(&with(&both, 2)).await.unwrap(), "an unknown version");
        assert!(environment.save_platform_tokens(&with(&both, 1)).await.unwrap());
        assert!(!environment.save_platform_tokens(&with(&[], 1)).await.unwrap(), "somebody was first");
        assert_eq!(environment.platform_tokens().await.unwrap(), with(&both, 1));
        assert!(environment.save_platform_tokens(&with(&[], 2)).await.unwrap());
        assert_eq!(environment.platform_tokens().await.unwrap(), with(&[], 2));
    }

    async fn organisations_may_name_the_same_bucket_and_role(environment) {
        let (acme, other) = (environment.organisation("acme").await, environment.organisation("other").await);
        let own = sample::destination(&acme, "d1");
        environment.make(&acme, create(&own, 5)).await;
        let fresh = sample::destination(&other, "d9");
        let same = Destination { bucket: own.bucket.clone(), role_arn: own.role_arn.clone(), ..fresh };
        environment.make(&other, create(&same, 5)).await;
        assert_eq!(environment.destinations(&other.id).await.unwrap(), std::slice::from_ref(&same));
        environment.make(&other, Change::DeleteDestination(Box::new(same))).await;
        assert_eq!(environment.destinations(&acme.id).await.unwrap(), [own]);
    }

    async fn a_destination_changes_from_the_version_that_was_read(environment) {
        let acme = environment.organisation("acme").await;
        let first = sample::destination(&acme, "d1");
        let second = Destination { paused: true, version: 2, ..first.clone() };
        let update = |destination: &Destination| Change::UpdateDestination(Box::new(destination.clone()));
        let delete = |destination: &Destination| Change::DeleteDestination(Box::new(destination.clone()));
        assert_eq!(environment.try_to(&acme, update(&second)).await, Err(Conflict::Missing));
        assert_eq!(environment.try_to(&acme, delete(&first)).await, Err(Conflict::Missing));
        environment.make(&acme, create(&first, 2)).await;
        assert_eq!(environment.try_to(&acme, create(&first, 2)).await, Err(Conflict::Exists));
        environment.make(&acme, update(&second)).await;
        let stale = Destination { next_sequence: 99, ..second.clone() };
        assert_eq!(environment.try_to(&acme, update(&stale)).await, Err(Conflict::Changed));
        assert_eq!(environment.try_to(&acme, delete(&first)).await, Err(Conflict::Changed));
        assert_eq!(environment.destination(&acme.id, &first.id).await.unwrap(), Some(second.clone()));
        environment.make(&acme, delete(&second)).await;
        assert_eq!(environment.destination(&acme.id, &first.id).await.unwrap(), None);
        assert_eq!(environment.try_to(&acme, delete(&second)).await, Err(Conflict::Missing));
    }

    async fn the_last_connection_test_of_a_destination_is_kept_until_the_destination_is_deleted(environment) {
        let (acme, other) = (environment.organisation("acme").await, environment.organisation("other").await);
        let one = sample::destination(&acme, "d1");
        let saved = async || environment.last_connection_test(&acme.id, &one.id).await.unwrap();
        environment.make(&acme, create(&one, 2)).await;
        assert_eq!(saved().await, None);
        let [first, second] = [1, 2].map(connection_test);
        for (report, last) in [(&first, &first), (&second, &second), (&first, &second), (&second, &second)] {
            environment.save_connection_test(&acme.id, &one.id, report).await.unwrap();
            assert_eq!(saved().await.as_ref(), Some(last));
        }
        assert_eq!(environment.last_connection_test(&other.id, &one.id).await.unwrap(), None, "another organisation's");
        assert_eq!(environment.destinations(&acme.id).await.unwrap(), std::slice::from_ref(&one), "the version is the same");
        environment.make(&acme, Change::DeleteDestination(Box::new(one.clone()))).await;
        assert_eq!(saved().await, None);
        environment.make(&acme, create(&one, 2)).await;
        assert_eq!(saved().await, None);
        environment.make(&acme, Change::DeleteDestination(Box::new(one.clone()))).await;
    }

    async fn limited_uses_are_counted_by_one_at_a_time(environment) {
        let (acme, other) = (environment.organisation("acme").await, environment.organisation("other").await);
        let [one, two] = [1, 2].map(|seconds| sample::START.plus(Duration::from_secs(seconds)));
        let save = async |before: &[Timestamp], after: &[Timestamp]| {
            environment.save_uses(&acme.id, Limited::Test, before, after).await.unwrap()
        };
        assert_eq!(environment.uses(&acme.id, Limited::Test).await.unwrap(), []);
        assert!(!save(&[one], &[one, two]).await, "nothing is there yet");
        assert!(save(&[], &[one]).await);
        assert!(!save(&[], &[two]).await, "somebody was first");
        assert!(save(&[one], &[one, two]).await);
        assert_eq!(environment.uses(&acme.id, Limited::Test).await.unwrap(), [one, two]);
        assert_eq!(environment.uses(&acme.id, Limited::Replay).await.unwrap(), [], "another limit");
        assert_eq!(environment.uses(&other.id, Limited::Test).await.unwrap(), [], "another organisation");
    }

    async fn a_plan_sees_active_destinations_and_no_others(environment) {
        let mut expected = HashMap::new();
        for number in 0..20 {
            let organisation = environment.organisation(&format!("org-{number}")).await;
            let destination = sample::destination(&organisation, &format!("d{number}"));
            environment.make(&organisation, create(&destination, 1)).await;
            let at = sample::START.plus(Duration::from_secs(number));
            let mut changed = Destination { next_sequence: number + 7, version: 2, ..destination };
            let full = full_destination(&changed);
            // What is pending hides when a checkpoint is due.
            let due = (number > 9).then_some(at);
            changed.checkpoints.due_at = due;
            match number % 7 {
                0 => changed.paused = true,
                1 => changed.disabled = true,
                2 => changed.intent = full.intent,
                3 => changed.replay = full.replay,
                4 => {
                    let failing = full.progress.failing.unwrap();
                    changed.progress.failing = Some(Failing { retry_at: at, ..failing });
                }
                5 => changed.progress.lag_from = Some(at),
                _ => {
                    environment.make(&organisation, Change::DeleteDestination(Box::new(Destination { version: 1, ..changed }))).await;
                    continue;
                }
            }
            assert!(environment.save_progress(&changed, None).await.unwrap());
            let due = changed.checkpoints.due_at;
            if number % 7 > 1 {
                expected.insert(
                    changed.id.to_string(),
                    ActiveDestination {
                        organisation: organisation.id,
                        id: changed.id,
                        next_sequence: number + 7,
                        pending: matches!(number % 7, 2 | 3),
                        checkpoint_due: due.filter(|_| !matches!(number % 7, 2 | 3)),
                        retry_at: (number % 7 == 4).then_some(at),
                        failure: (number % 7 == 4).then_some(FailureCode::RoleNotAssumable),
                        lag_from: changed.progress.lag_from,
                    },
                );
            }
        }
        let found = active_destinations(&*environment.store).await;
        assert_eq!(found.len(), expected.len());
        let found: HashMap<_, _> = found.into_iter().map(|active| (active.id.to_string(), active)).collect();
        assert_eq!(found, expected);
    }

    async fn a_shard_is_read_page_by_page_in_the_order_of_its_positions(environment) {
        let mut expected: HashMap<u16, Vec<ActivePosition>> = HashMap::new();
        for number in 0..40 {
            let organisation = environment.organisation(&format!("org-{number}")).await;
            let destination = sample::destination(&organisation, &format!("d{number}"));
            environment.make(&organisation, create(&destination, 1)).await;
            let position = ActivePosition::of(&organisation.id, &destination.id);
            expected.entry(shard_of(&destination.id)).or_default().push(position);
        }
        for shard in 0..ACTIVE_SHARDS {
            let mut expected = expected.remove(&shard).unwrap_or_default();
            expected.sort();
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = environment.active_destinations(shard, after.as_ref(), 3).await.unwrap();
                assert!(page.destinations.len() <= 3);
                found.extend(page.destinations.iter().map(ActiveDestination::position));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(found, expected);
        }
    }

    async fn a_place_has_a_segment_if_one_begins_there(environment) {
        let (acme, umbrella) = (environment.organisation("acme").await, environment.organisation("umbrella").await);
        let mut recorded_at = HashMap::new();
        for organisation in [&acme, &umbrella] {
            let tail = environment.newest(&organisation.id).await.unwrap().tail().unwrap();
            recorded_at.insert(organisation.id.clone(), tail.recorded_at);
        }
        let place = |organisation: &Organisation, sequence| Place { organisation: organisation.id.clone(), sequence };
        let places: Vec<Place> =
            (1..MAX_PLACES as u64 / 2).flat_map(|sequence| [place(&acme, sequence), place(&umbrella, sequence)]).collect();
        // The same place twice.
        let places = [places, vec![place(&acme, 1), place(&acme, 9)]].concat();
        let found = environment.find(&places).await.unwrap();
        let expected: Vec<Found> = places
            .iter()
            .map(|place| match place.sequence {
                1 => Found::Segment(recorded_at[&place.organisation]),
                _ => Found::Nothing,
            })
            .collect();
        assert_eq!(found, expected);
        assert_eq!(environment.find(&[]).await.unwrap(), []);
    }

    async fn how_far_planning_has_come_is_saved_unless_a_later_tick_has_saved_it(environment) {
        assert_eq!(environment.plan_passes().await.unwrap(), []);
        let after = ActivePosition::of(&"acme".parse().unwrap(), &"k3x9a0bqk3x9".parse().unwrap());
        let at = |seconds| sample::START.plus(Duration::from_secs(seconds));
        let first = PlanPass { shard: 1, tick: at(1), rest: Stretch::round_from(Some(after)) };
        let other = PlanPass { shard: 7, tick: at(2), rest: Vec::new() };
        assert!(environment.save_plan_pass(&first).await.unwrap());
        assert!(environment.save_plan_pass(&other).await.unwrap());
        assert_eq!(environment.plan_passes().await.unwrap(), [first.clone(), other.clone()]);
        let later = PlanPass { tick: at(5), ..first.clone() };
        assert!(environment.save_plan_pass(&later).await.unwrap());
        assert!(environment.save_plan_pass(&PlanPass { rest: Vec::new(), ..later.clone() }).await.unwrap());
        assert!(!environment.save_plan_pass(&first).await.unwrap());
        let expected = [PlanPass { rest: Vec::new(), ..later }, other];
        assert_eq!(environment.plan_passes().await.unwrap(), expected);
    }

    async fn progress_is_saved_from_the_version_before_and_only_from_it(environment) {
        let acme = environment.organisation("acme").await;
        let first = sample::destination(&acme, "d1");
        let second = Destination { next_sequence: 2, version: 2, ..first.clone() };
        assert!(!environment.save_progress(&second, None).await.unwrap(), "there is none");
        assert!(!environment.save_progress(&second, Some(&delivery(&second, 1, 1))).await.unwrap());
        assert_eq!(environment.destinations(&acme.id).await.unwrap(), []);
        environment.make(&acme, create(&first, 1)).await;
        assert!(environment.save_progress(&second, Some(&delivery(&second, 1, 1))).await.unwrap());
        let rival = Destination { next_sequence: 50, ..second.clone() };
        assert!(!environment.save_progress(&rival, Some(&delivery(&rival, 2, 2))).await.unwrap());
        assert!(!environment.save_progress(&Destination { version: 9, ..rival }, None).await.unwrap());
        assert_eq!(environment.destination(&acme.id, &first.id).await.unwrap(), Some(second.clone()));
        let deliveries = environment.deliveries(&acme.id, &first.id, 10).await.unwrap();
        assert_eq!(deliveries, [delivery(&second, 1, 1)], "what was refused delivered nothing");
    }

    async fn progress_that_arrives_twice_is_saved_once(environment) {
        let acme = environment.organisation("acme").await;
        let first = sample::destination(&acme, "d1");
        environment.make(&acme, create(&first, 1)).await;
        let second = Destination { next_sequence: 2, version: 2, ..first };
        let third = Destination { next_sequence: 3, version: 3, ..second.clone() };
        for _ in 0..2 {
            assert!(environment.save_progress(&second, None).await.unwrap());
        }
        for _ in 0..2 {
            assert!(environment.save_progress(&third, Some(&delivery(&third, 2, 5))).await.unwrap());
        }
        assert_eq!(environment.deliveries(&acme.id, &third.id, 10).await.unwrap(), [delivery(&third, 2, 5)]);
        assert!(!environment.save_progress(&second, None).await.unwrap(), "it is not the present one any more");
    }

    async fn signing_keys_are_published_in_order_and_each_number_once(environment) {
        let store = &environment.store;
        assert_eq!(store.signing_keys().await.unwrap(), []);
        let key = |reference: &str| PublishedKey {
            key: MemorySigner::verifier_key(reference),
            reference: reference.to_owned(),
            since: sample::START,
        };
        for (number, reference, expected) in [(1, "a", true), (1, "b", false), (2, "b", true), (2, "a", false)] {
            assert_eq!(store.publish_signing_key(number, &key(reference)).await.unwrap(), expected, "{number}");
        }
        assert_eq!(store.signing_keys().await.unwrap(), [key("a"), key("b")]);
    }

    async fn the_checkpoint_of_a_log_is_saved_from_the_one_before_and_only_from_it(environment) {
        let store = &environment.store;
        let acme = environment.organisation("acme").await.id;
        let other = environment.organisation("other").await.id;
        let at = |seconds| sample::START.plus(Duration::from_secs(seconds));
        let note = |seconds| LogCheckpoint { at: at(seconds), note: format!("note {seconds}\n") };
        assert_eq!(store.log_checkpoint(&acme).await.unwrap(), None);
        for (before, seconds, expected) in
            [(Some(at(1)), 1, false), (None, 1, true), (None, 2, false), (Some(at(1)), 2, true), (Some(at(1)), 3, false)]
        {
            let saved = store.save_log_checkpoint(&acme, before, &note(seconds)).await.unwrap();
            assert_eq!(saved, expected, "{before:?} {seconds}");
        }
        assert_eq!(store.log_checkpoint(&acme).await.unwrap(), Some(note(2)));
        assert_eq!(store.log_checkpoint(&other).await.unwrap(), None);
    }

    async fn deliveries_are_listed_from_the_newest_on(environment) {
        let acme = environment.organisation("acme").await;
        let [one, two] = ["d1", "d2"].map(|id| sample::destination(&acme, id));
        environment.make(&acme, create(&one, 2)).await;
        environment.make(&acme, create(&two, 2)).await;
        let mut saved = Vec::new();
        for version in 2..=30 {
            let next = Destination { version, ..one.clone() };
            let mut delivery = delivery(&one, version, version * 1000);
            delivery.replay = (version % 5 == 0).then(|| "replay-1".to_owned());
            assert!(environment.save_progress(&next, Some(&delivery)).await.unwrap());
            saved.insert(0, delivery);
        }
        assert_eq!(environment.deliveries(&acme.id, &one.id, 100).await.unwrap(), saved);
        assert_eq!(environment.deliveries(&acme.id, &one.id, 7).await.unwrap(), saved[..7]);
        assert_eq!(environment.deliveries(&acme.id, &two.id, 7).await.unwrap(), []);
    }

    async fn numbered_deliveries_are_found_although_the_clock_was_off(environment) {
        let (acme, other) = (environment.organisation("acme").await, environment.organisation("other").await);
        let [one, two] = ["d1", "d2"].map(|id| sample::destination(&acme, id));
        let found = async |destination: &Destination, range| {
            environment.deliveries_numbered(&acme.id, &destination.id, range).await.unwrap()
        };
        environment.make(&acme, create(&one, 2)).await;
        environment.make(&acme, create(&two, 2)).await;
        assert_eq!(found(&one, 1..=5).await, []);
        let mut saved = Vec::new();
        for version in 2..=60 {
            let next = Destination { version, ..one.clone() };
            // The first ten have no numbers. Of the others, each seventh was recorded with a clock that was behind.
            let millis = (version * 1000).saturating_sub(if version % 7 == 0 { 30_500 } else { 0 });
            let number = version.checked_sub(11).filter(|number| *number > 0);
            let delivery = Delivery { number, ..delivery(&one, version, millis.max(1)) };
            assert!(environment.save_progress(&next, Some(&delivery)).await.unwrap());
            saved.extend(number.map(|_| delivery));
        }
        assert_eq!(saved.len(), 49);
        for (first, last) in [(1, 49), (49, 49), (1, 1), (17, 33), (45, 49)] {
            assert_eq!(found(&one, first..=last).await, saved[first as usize - 1..last as usize], "{first} to {last}");
        }
        assert_eq!(found(&one, 40..=1000).await, saved[39..], "what is there");
        assert_eq!(found(&one, 50..=60).await, []);
        assert_eq!(found(&one, RangeInclusive::new(5, 4)).await, []);
        assert_eq!(found(&two, 1..=49).await, [], "another destination's");
        assert_eq!(environment.deliveries_numbered(&other.id, &one.id, 1..=49).await.unwrap(), []);
    }
}

async fn organisation(
    environment: &Environment,
    id: &OrganisationId,
    consistency: Consistency,
) -> Option<Organisation> {
    environment.store.organisation(id, consistency).await.unwrap()
}

async fn stored_token(environment: &Environment, id: &TokenId, consistency: Consistency) -> Option<Token> {
    environment.store.token(id, consistency).await.unwrap()
}

fn create(destination: &Destination, limit: usize) -> Change {
    Change::CreateDestination { destination: Box::new(destination.clone()), limit }
}

/// A change that creates a token, with a limit of one hundred.
fn create_token(token: &Token) -> Change {
    Change::CreateToken {
        token: Box::new(token.clone()),
        limit: 100,
        replaced: None,
        cleared: Vec::new(),
        now: sample::START,
    }
}

fn token(organisation: &Organisation, number: u64) -> Token {
    let (id, text) = TokenText::generate(&*SeededEntropy::new(number));
    Token {
        id,
        hash: text.hash(),
        organisation: organisation.id.clone(),
        name: format!("Token № {number}"),
        role: [Role::Producer, Role::Auditor, Role::Admin][usize::try_from(number % 3).unwrap()],
        created_at: sample::START,
        expires_at: (number == 2).then(|| sample::START.plus(Duration::from_secs(60))),
        last_used_at: None,
        replaces: None,
        replaced_by: None,
    }
}

/// Odd ones have every field set.
fn user(number: u64) -> User {
    let email = (number % 2 == 1).then(|| format!("{number}@example.com"));
    User { id: format!("id {number}"), name: format!("№ {number}"), email }
}

fn portal_link(organisation: &Organisation, number: u64) -> PortalLink {
    PortalLink {
        hash: TokenText::generate_plain(&*SeededEntropy::new(number)).hash(),
        organisation: organisation.id.clone(),
        role: if number % 2 == 1 { Role::Admin } else { Role::Auditor },
        user: user(number),
        path: (number % 2 == 1).then(|| "/console/events?q=a%20b".parse().unwrap()),
        return_url: (number % 2 == 1).then(|| "https://app.example.com/x?y=z".parse().unwrap()),
        expires_at: sample::START.plus(Duration::from_millis(number)),
    }
}

fn session(organisation: &Organisation, number: u64) -> Session {
    let token = TokenText::generate_plain(&*SeededEntropy::new(1000 + number));
    Session::start(portal_link(organisation, number), &token, sample::START.plus(Duration::from_millis(number)))
}

fn connection_test(seconds: u64) -> ConnectionTestReport {
    let condition = advice::Span::Code("{\"StringEquals\":{}}".into());
    let step =
        |name, outcome| Step { name, outcome, detail: "What it means.".into(), fix: None, code: None, aws: None };
    ConnectionTestReport {
        passed: false,
        steps: vec![
            step(StepName::AssumeRole, StepOutcome::Passed),
            Step {
                fix: Some((Prose::from("Add ") + condition).into()),
                ..step(StepName::ExternalId, StepOutcome::Warning)
            },
            Step {
                fix: Some(Advice::new("", [Prose::from("One."), Prose::from("Two.")])),
                code: Some(FailureCode::BucketMissing),
                aws: Some("NoSuchBucket".into()),
                ..step(StepName::ReachBucket, StepOutcome::Failed)
            },
            step(StepName::WriteObject, StepOutcome::Skipped),
        ],
        key: "audit/test.txt".into(),
        tested_at: sample::START.plus(Duration::from_secs(seconds)),
        needs_code: seconds.is_multiple_of(2),
        place: seconds.is_multiple_of(3).then(|| PlaceName {
            bucket: "acme-audit".into(),
            role_arn: "arn:aws:iam::444455556666:role/annals".into(),
            prefix: "audit/".into(),
            bucket_owner: "444455556666".into(),
        }),
        learnt_region: None,
    }
}

/// `destination` with every field set.
fn full_destination(destination: &Destination) -> Destination {
    let intent = |first| Intent {
        first,
        last: first + 5,
        key: format!("audit/{first}.json"),
        attempted: first > 10,
        prefix: "audit".parse().unwrap(),
        compression: Compression::Gzip,
        rendering: Rendering {
            format: if first > 10 { ObjectFormat::CloudEvents } else { ObjectFormat::Native },
            shape: Shape::Flat,
        },
        expired: if first > 10 { vec![first..=first, first + 2..=first + 5] } else { Vec::new() },
        taken_at: (first > 10).then_some(sample::START),
    };
    let policy = Policy::trust("aws", "111122223333", "annals-7f3kq9");
    let policy = advice::Span::Policy(Snippet { kind: SnippetKind::Trust, policy });
    let failure = Failure {
        code: FailureCode::RoleNotAssumable,
        cause: "The role cannot be assumed.".into(),
        fix: Advice::new("Check \"this\" – please:", [Prose::from("Paste ") + policy + "."]),
        aws: Some("AccessDenied: no".into()),
    };
    let at = |seconds| sample::START.plus(Duration::from_secs(seconds));
    Destination {
        settings: Settings {
            prefix: "logs/annals".parse().unwrap(),
            region: Some("eu-central-1".parse().unwrap()),
            compression: Compression::Gzip,
            layout: KeyLayout::Hive,
            rendering: Rendering { format: ObjectFormat::Ocsf, shape: Shape::Native },
            bucket_owner: Some("777788889999".parse().unwrap()),
        },
        paused: true,
        disabled: true,
        proof: Proof {
            proven: Some(Proven { by: ProvenBy::Upgrade, at: at(11), check_at: at(12) }),
            lost_at: Some(at(13)),
            challenge: Some(Challenge { code: "7KQ2MXW4TR".into(), issued_at: at(14), attempts: 4 }),
            claimed: true,
        },
        pending: Some(PendingChange {
            place: DestinationPlace {
                bucket: "another.bucket".parse().unwrap(),
                role_arn: "arn:aws:iam::777788889999:role/path/another".parse().unwrap(),
                prefix: "else/where".parse().unwrap(),
                region: Some("us-east-1".parse().unwrap()),
                bucket_owner: Some("123456789012".parse().unwrap()),
            },
            proof: Proof {
                proven: Some(Proven { by: ProvenBy::Code, at: at(15), check_at: at(16) }),
                lost_at: None,
                challenge: Some(Challenge { code: "7KQ2MXW4TS".into(), issued_at: at(17), attempts: 1 }),
                claimed: false,
            },
            requested_at: at(18),
            reached_at: Some(at(19)),
            examine_at: at(20),
        }),
        first_sequence: Some(2),
        next_sequence: 12,
        deliveries: 8,
        intent: Some(intent(3)),
        replay: Some(Replay { id: "r1".into(), next: 20, last: 30, started_at: at(5), intent: Some(intent(20)) }),
        progress: Progress {
            last_success: Some(at(6)),
            failing: Some(Failing { failure, since: at(7), attempts: 3, retry_at: at(8) }),
            lost: Some(Lost { events: 12, last: 5..=9, noticed_at: at(9) }),
            last_hash: Some(LineHash([9; 32])),
            lag_from: Some(at(10)),
            delivered: delivered(2).with_unknown_until(Some(at(11))),
        },
        checkpoints: full_checkpoints(),
        ..destination.clone()
    }
}

/// What was delivered in two months.
fn delivered(objects: u64) -> DeliveredMonths {
    let mut delivered = DeliveredMonths::default();
    for month in ["2026-11", "2027-01"] {
        let counts = DeliveryCounts { objects, events: 3, bytes: 1 << 40 };
        delivered.add(month.parse::<Month>().unwrap().begins_at(), counts);
    }
    delivered
}

fn full_checkpoints() -> Checkpoints {
    let at = |seconds| sample::START.plus(Duration::from_secs(seconds));
    let last = LastCheckpoint {
        deliveries: 7,
        sequence: 11,
        hash: LineHash([3; 32]),
        at: at(11),
        key: "logs/annals/annals-checkpoints/2026-11/22/x.checkpoint".into(),
        sha256: LineHash([4; 32]),
        signer: MemorySigner::verifier_key("1"),
        bucket: Some("acme-audit".parse().unwrap()),
    };
    let begun = BegunCheckpoint {
        becomes: LastCheckpoint { deliveries: 8, ..last.clone() },
        prefix: "audit".parse().unwrap(),
        note: "text\n\n— signature\n".into(),
    };
    let unsigned =
        Unsigned { since: at(12), code: "signing_denied".into(), detail: "No.".into(), attempts: 2, retry_at: at(13) };
    Checkpoints { last: Some(last), begun: Some(begun), unsigned: Some(unsigned), restored: true, due_at: Some(at(14)) }
}

fn delivery(destination: &Destination, first: u64, millis: u64) -> Delivery {
    Delivery {
        organisation: destination.organisation.clone(),
        destination: destination.id.clone(),
        number: None,
        first,
        last: first + 9,
        last_hash: (first > 1).then_some(LineHash([7; 32])),
        expired: if first > 1 { vec![first..=first, first + 3..=first + 5] } else { Vec::new() },
        lost: None,
        key: format!("audit/2026-11/22/{first}.json"),
        bucket: (first > 1).then(|| destination.bucket.clone()),
        replay: None,
        already_there: first.is_multiple_of(2),
        content: (first > 1).then(|| Content { events: 10, bytes: 12_345, sha256: "ab".repeat(32) }),
        lag_seconds: 600,
        lag_events: 17,
        delivered_at: sample::START.plus(Duration::from_millis(millis)),
    }
}

#[tokio::test]
async fn an_item_that_cannot_be_read_is_left_out_of_every_list() {
    for environment in environments().await {
        let Deletion::DynamoDb(client, tables) = &environment.deletion else { continue };
        let name = environment.name;
        let damage = async |pk: &str, sk: &str, attribute: &str| {
            let update = client
                .update_item()
                .table_name(&tables.registry)
                .key("pk", AttributeValue::S(pk.to_owned()))
                .key("sk", AttributeValue::S(sk.to_owned()))
                .update_expression("SET #attribute = :damaged")
                .expression_attribute_names("#attribute", attribute)
                .expression_attribute_values(":damaged", AttributeValue::Bool(true));
            update.send().await.unwrap();
        };
        for id in ["a", "b", "c", "d"] {
            environment.organisation(id).await;
        }
        let acme = environment.organisation("acme").await;
        let mut destinations = Vec::new();
        for id in ["1", "2"] {
            let destination = sample::destination(&acme, id);
            let create = Change::CreateDestination { destination: Box::new(destination.clone()), limit: 2 };
            environment.make(&acme, create).await;
            destinations.push(destination);
        }
        damage("org#b", "organisation", "plan").await;
        damage("org#c", "organisation", "plan").await;
        let listed = async |after: Option<&str>, limit| {
            let after = after.map(|after| after.parse().unwrap());
            let listed = environment.organisations(after.as_ref(), limit).await.unwrap();
            listed.iter().map(|organisation| organisation.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(listed(None, 3).await, ["a", "acme", "d"], "{name}");
        assert_eq!(listed(Some("a"), 1).await, ["acme"], "{name}");
        assert_eq!(listed(Some("acme"), 1).await, ["d"], "{name}: a page ends only where the list does");
        assert_eq!(listed(Some("d"), 1).await, [""; 0], "{name}");
        let broken = format!("destination#{}", destinations[0].id);
        damage("org#acme", &broken, "nextSequence").await;
        let found = environment.destinations(&acme.id).await.unwrap();
        assert_eq!(found, [destinations[1].clone()], "{name}");
        let active = active_destinations(&*environment.store).await;
        assert_eq!(active.iter().map(|one| &one.id).collect::<Vec<_>>(), [&destinations[1].id], "{name}");
        assert!(environment.destination(&acme.id, &destinations[0].id).await.is_err(), "{name}: alone it is an error");
    }
}

#[tokio::test]
async fn a_hole_is_named_once_and_its_first_place_is_taken() {
    for environment in environments().await {
        let name = environment.name;
        let acme = environment.organisation("acme").await;
        let hole = |restore: &str, first, last| Hole { restore: restore.parse().unwrap(), first, last };
        let behind = |first, after| Segment { append: append_id(250), resumes_after: Some(after), ..segment(first, 1) };
        let leave =
            async |segment: &Segment, hole: &Hole| environment.leave_hole(&acme.id, hole, segment).await.unwrap();
        assert_eq!(environment.holes(&acme.id).await.unwrap(), [], "{name}");
        let (first, resumed) = (hole("copy-1", 2, 9), behind(10, 1));
        assert!(leave(&resumed, &first).await, "{name}");
        assert_eq!(environment.holes(&acme.id).await.unwrap(), std::slice::from_ref(&first), "{name}");
        assert_eq!(environment.newest(&acme.id).await.unwrap().tail(), Some(resumed.tail()), "{name}");
        let range = async |range, order, limit| {
            let found = environment.range(&acme.id, range, order, limit, Consistency::Strong).await.unwrap();
            found.into_iter().map(|segment| (segment.first, segment.resumes_after)).collect::<Vec<_>>()
        };
        assert_eq!(range(1..=u64::MAX, Order::Ascending, None).await, [(1, None), (10, Some(1))], "{name}");
        assert_eq!(range(2..=u64::MAX, Order::Ascending, Some(1)).await, [(10, Some(1))], "{name}");
        assert_eq!(range(1..=9, Order::Descending, Some(1)).await, [(1, None)], "{name}");
        assert_eq!(range(2..=9, Order::Ascending, Some(1)).await, [], "{name}");
        let places = [2, 3, 10].map(|sequence| Place { organisation: acme.id.clone(), sequence });
        let there = Found::Segment(resumed.recorded_at);
        assert_eq!(environment.find(&places).await.unwrap(), [there, Found::Nothing, there], "{name}");
        // Who has seen the log without what is behind the hole loses, also in another restore.
        let occupied = async |segments: &[Segment]| match environment.commit(&acme.id, &commit(segments, None)).await {
            Err(CommitError::Occupied(header)) => *header,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(occupied(&[segment(2, 1)]).await, resumed.header(), "{name}");
        occupied(&[segment(2, 1), segment(3, 1)]).await;
        let (second, again) = (hole("copy-2", 11, 19), Segment { append: append_id(249), ..behind(20, 10) });
        assert!(!leave(&Segment { resumes_after: Some(1), ..again.clone() }, &hole("copy-2", 2, 19)).await, "{name}");
        assert!(!leave(&behind(10, 1), &hole("copy-2", 3, 9)).await, "{name}: the place behind it is taken");
        assert!(!leave(&behind(20, 10), &hole("copy-1", 11, 19)).await, "{name}: the same restore");
        assert_eq!(environment.holes(&acme.id).await.unwrap(), std::slice::from_ref(&first), "{name}");
        assert!(leave(&again, &second).await, "{name}");
        assert_eq!(environment.holes(&acme.id).await.unwrap(), [first, second], "{name}");
        // The place of the last hole still says where the log ends.
        for segment in [1, 10, 20] {
            environment.delete(&acme.id, segment).await;
        }
        assert_eq!(environment.newest(&acme.id).await.unwrap().tail(), Some(again.tail()), "{name}");
        let umbrella = environment.organisation("umbrella").await;
        assert_eq!(environment.holes(&umbrella.id).await.unwrap(), [], "{name}");
    }
}

#[tokio::test]
async fn a_copy_of_a_table_is_known_as_one_until_it_is_adopted() {
    for environment in environments().await {
        let name = environment.name;
        assert_eq!(environment.copied_tables().await.unwrap(), None, "{name}: tables without a mark are marked");
        assert_eq!(environment.copied_tables().await.unwrap(), None, "{name}");
        match &environment.deletion {
            Deletion::Memory(store) => store.restore(&store.back_up(), RestoredTables::Both),
            Deletion::DynamoDb(client, tables) => {
                for (table, keys) in [(&tables.log, ["org", "seq"]), (&tables.registry, ["pk", "sk"])] {
                    let items = client.scan().table_name(table).send().await.unwrap().items.unwrap();
                    let [mark] = &items[..] else { panic!("{name}: {items:?}") };
                    let mut copy = mark.clone();
                    copy.iter_mut().filter(|(key, _)| !keys.contains(&key.as_str())).for_each(|(_, value)| {
                        *value = AttributeValue::S("the-original".into());
                    });
                    client.put_item().table_name(table).set_item(Some(copy)).send().await.unwrap();
                }
            }
        }
        for _ in 0..2 {
            assert_eq!(environment.copied_tables().await.unwrap(), Some(RestoredTables::Both), "{name}");
        }
        environment.adopt_tables().await.unwrap();
        assert_eq!(environment.copied_tables().await.unwrap(), None, "{name}");
    }
}
