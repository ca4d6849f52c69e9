//! Attacks of one organisation on another by way of destinations, each against the embedded IAM, STS and S3.

use annals_cloud::Role;
use annals_core::{
    destination::{Challenge, Destination, Proof, ProvenBy, RolesWithoutExternalId},
    registry::Registry as _,
    time::Timestamp,
};
use annals_tests::customer::{Customer, account, name, put_policy, trust};
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Answer, Fixture, Org, event, text};

const TEST_OBJECT: &str = "test-wiremock-cloud-integration.txt";

/// A victim that set up its role as WireMock Cloud's guide says, without an external ID, and an attacker.
struct Stage {
    fixture: Fixture,
    victim: Org,
    attacker: Org,
    /// The victim's account.
    account: Customer,
}

impl Stage {
    async fn start() -> Self {
        Self::with_rule(RolesWithoutExternalId::Challenge).await
    }

    async fn with_rule(rule: RolesWithoutExternalId) -> Self {
        let fixture = Fixture::with_rule(rule).await;
        let (victim, attacker) = (fixture.organisation().await, fixture.organisation().await);
        let account = Customer::create(fixture.system.cloud(), None);
        Self { fixture, victim, attacker, account }
    }

    async fn create(&self, organisation: &Org, bucket: &str, role: &str) -> Answer {
        let input = json!({"bucket": bucket, "roleArn": role});
        self.fixture.with(&organisation.admin).post(&under(organisation, ""), &input).await
    }

    /// Creates a destination at the victim's bucket and role.
    async fn destination(&self, organisation: &Org) -> String {
        text(&self.create(organisation, &self.account.bucket, &self.account.role_arn).await.expect(201)["id"])
    }

    async fn test(&self, organisation: &Org, id: &str) -> Value {
        let path = under(organisation, &format!("/{id}/test"));
        self.fixture.with(&organisation.admin).post(&path, &json!({})).await.expect(200)
    }

    async fn confirm(&self, organisation: &Org, id: &str, code: &str) -> Answer {
        let path = under(organisation, &format!("/{id}/confirm"));
        self.fixture.with(&organisation.admin).post(&path, &json!({"code": code})).await
    }

    async fn shown(&self, organisation: &Org, id: &str) -> Value {
        self.fixture.with(&organisation.admin).get(&under(organisation, &format!("/{id}"))).await.expect(200)
    }

    async fn patch(&self, organisation: &Org, id: &str, settings: Value) -> Value {
        let path = under(organisation, &format!("/{id}"));
        let admin = self.fixture.with(&organisation.admin);
        admin.send(Method::PATCH, &path, &[], Some(settings.to_string())).await.expect(200)
    }

    /// The code in the test object, as whoever reads the bucket sees it.
    async fn code(&self) -> String {
        let objects = self.account.objects(self.fixture.system.cloud()).await;
        let content = String::from_utf8(objects[TEST_OBJECT].clone()).unwrap();
        content.lines().find_map(|line| line.strip_prefix("Code: ")).unwrap().to_owned()
    }

    /// The keys of delivered events in the victim's bucket.
    async fn delivered(&self) -> Vec<String> {
        let objects = self.account.objects(self.fixture.system.cloud()).await;
        objects.into_keys().filter(|key| !key.ends_with(TEST_OBJECT) && !key.contains("annals-checkpoints/")).collect()
    }

    /// Creates another role in the victim's account, which requires this external ID and may write to the bucket.
    fn role(&self, external_id: Option<&str>) -> String {
        let arn = format!("arn:aws:iam::{}:role/{}", self.account.account, name("put"));
        self.put_role(&arn, trust(self.fixture.system.cloud().account(), external_id));
        arn
    }

    fn put_role(&self, arn: &str, trust: Value) {
        let role = Role::new(arn, trust, vec![self.account.put_policy("*")]);
        self.fixture.system.cloud().iam().put_role(role).unwrap();
    }

    /// Changes a destination as another version of Annals might have stored it.
    async fn store(&self, organisation: &Org, id: &str, change: impl Fn(&mut Destination)) {
        let store = self.fixture.system.store();
        let found = store.destination(&organisation.id.parse().unwrap(), &id.parse().unwrap()).await.unwrap();
        let mut destination = found.unwrap();
        change(&mut destination);
        destination.version += 1;
        assert!(store.save_progress(&destination, None).await.unwrap());
    }
}

fn under(organisation: &Org, rest: &str) -> String {
    format!("/organisations/{}/destinations{rest}", organisation.id)
}

#[tokio::test]
async fn a_squatter_with_two_names_takes_nothing_and_learns_nothing() {
    let stage = Stage::start().await;
    let fresh = (name("bucket"), format!("arn:aws:iam::{}:role/r", account()));
    let used = stage.create(&stage.attacker, &stage.account.bucket, &stage.account.role_arn).await;
    let id = text(&used.expect(201)["id"]);
    stage.fixture.with(&stage.attacker.admin).delete(&under(&stage.attacker, &format!("/{id}"))).await.expect(204);
    let victim = stage.destination(&stage.victim).await;
    stage.test(&stage.victim, &victim).await;
    stage.confirm(&stage.victim, &victim, &stage.code().await).await.expect(200);
    stage.fixture.tick().await;
    assert_eq!(stage.delivered().await.len(), 1);

    // Whoever names the same afterwards gets the same answer as for names that nobody uses.
    let shape = |answer: &Answer| {
        let mut body = answer.expect(201);
        for member in ["id", "bucket", "roleArn", "bucketOwner", "createdAt", "firstSequence", "nextSequence"] {
            body[member] = Value::Null;
        }
        body
    };
    let of_used = stage.create(&stage.attacker, &stage.account.bucket, &stage.account.role_arn).await;
    let id = text(&of_used.json()["id"]);
    stage.fixture.with(&stage.attacker.admin).delete(&under(&stage.attacker, &format!("/{id}"))).await.expect(204);
    let of_fresh = stage.create(&stage.attacker, &fresh.0, &fresh.1).await;
    assert_eq!(shape(&of_used), shape(&of_fresh));
}

#[tokio::test]
async fn a_role_that_accepts_any_external_id_carries_no_events_of_another_organisation() {
    let stage = Stage::start().await;
    let id = stage.destination(&stage.attacker).await;
    stage.fixture.tick().await;
    let report = stage.test(&stage.attacker, &id).await;
    assert_eq!(report["outcome"], "unconfirmed", "{report}");
    stage.fixture.tick().await;
    assert_eq!(stage.delivered().await, [""; 0]);
    let shown = stage.shown(&stage.attacker, &id).await;
    assert_eq!((&shown["state"], &shown["proof"]["state"]), (&json!("unproven"), &json!("unproven")));
    assert_eq!(shown["failing"]["code"], "external_id_not_required");

    // The victim goes on as if the attacker did not exist.
    let own = stage.destination(&stage.victim).await;
    assert_eq!(stage.test(&stage.victim, &own).await["outcome"], "unconfirmed");
    let confirmed = stage.confirm(&stage.victim, &own, &stage.code().await).await.expect(200);
    assert_eq!(confirmed["proof"]["by"], "code");
    stage.fixture.tick().await;
    assert_eq!(stage.delivered().await.len(), 1);
    assert_eq!(stage.shown(&stage.victim, &own).await["state"], "sent");
    assert_eq!(stage.test(&stage.victim, &own).await["outcome"], "passed");
}

#[tokio::test]
async fn the_setup_of_the_wiremock_guide_works_with_one_more_step() {
    let stage = Stage::start().await;
    stage.fixture.with(&stage.victim.producer).post("/events", &event("m-1")).await.expect(201);
    let id = stage.destination(&stage.victim).await;
    let report = stage.test(&stage.victim, &id).await;
    assert!(report["steps"].as_array().unwrap().iter().all(|step| step["outcome"] != "failed"), "{report}");
    assert!(text(&report["nextStep"]).contains("confirm"), "{report}");
    let code = stage.code().await.to_lowercase().replace('-', " ");
    let confirmed = stage.confirm(&stage.victim, &id, &code).await.expect(200);
    assert_eq!(confirmed["state"], "pending");
    stage.fixture.tick().await;
    let chain = annals_tests::lines::Chain::of(
        &stage
            .account
            .objects(stage.fixture.system.cloud())
            .await
            .into_iter()
            .filter(|(key, _)| !key.ends_with(TEST_OBJECT))
            .collect(),
    );
    assert_eq!(chain.range().unwrap().0, 1, "from the first event of the last seven days");
}

#[tokio::test]
async fn a_deployment_that_allows_roles_without_an_external_id_delivers_without_a_code() {
    let stage = Stage::with_rule(RolesWithoutExternalId::Allow).await;
    let id = stage.destination(&stage.victim).await;
    assert_eq!(stage.test(&stage.victim, &id).await["outcome"], "passed");
    stage.fixture.tick().await;
    assert_eq!(stage.delivered().await.len(), 1);
    let shown = stage.shown(&stage.victim, &id).await;
    assert_eq!((&shown["state"], &shown["proof"]["by"]), (&json!("sent"), &json!("allowed")));
}

#[tokio::test]
async fn a_deployment_that_refuses_roles_without_an_external_id_writes_nothing_with_them() {
    let stage = Stage::with_rule(RolesWithoutExternalId::Refuse).await;
    let id = stage.destination(&stage.victim).await;
    let report = stage.test(&stage.victim, &id).await;
    assert_eq!(report["outcome"], "failed", "{report}");
    let steps = report["steps"].as_array().unwrap();
    assert!(steps.iter().any(|step| step["code"] == "external_id_not_required"), "{report}");
    stage.fixture.tick().await;
    let objects = stage.account.objects(stage.fixture.system.cloud()).await;
    assert_eq!(objects.into_keys().collect::<Vec<_>>(), [""; 0]);
    stage.confirm(&stage.victim, &id, "AAAAA-AAAAA").await.expect_problem(409, "no_code");

    // A role that requires the external ID delivers.
    let own = stage.role(Some(&stage.victim.external_id));
    stage.fixture.with(&stage.victim.admin).delete(&under(&stage.victim, &format!("/{id}"))).await.expect(204);
    let id = text(&stage.create(&stage.victim, &stage.account.bucket, &own).await.expect(201)["id"]);
    stage.fixture.tick().await;
    assert_eq!(stage.shown(&stage.victim, &id).await["state"], "sent");
}

#[tokio::test]
async fn the_victims_role_in_other_spellings_is_refused_or_proves_nothing() {
    let stage = Stage::start().await;
    let (account, role) = (&stage.account.account, stage.account.role_arn.rsplit('/').next().unwrap());
    for path in [format!("/{role}"), format!("x/../{role}"), format!("./{role}"), format!("x//{role}"), "..".into()] {
        let arn = format!("arn:aws:iam::{account}:role/{path}");
        let problem = stage.create(&stage.attacker, &stage.account.bucket, &arn).await;
        let problem = problem.expect_problem(400, "invalid_input");
        assert_eq!(problem["errors"][0]["pointer"], "/roleArn", "{arn}");
    }
    let arn = format!("arn:aws:iam::{account}:role/{}", role.to_uppercase());
    // STS may take the name in any case: then the role accepts any external ID, too.
    stage.put_role(&arn, trust(stage.fixture.system.cloud().account(), None));
    let id = text(&stage.create(&stage.attacker, &stage.account.bucket, &arn).await.expect(201)["id"]);
    stage.test(&stage.attacker, &id).await;
    stage.fixture.tick().await;
    assert_eq!(stage.delivered().await, [""; 0]);
}

#[tokio::test]
async fn roles_of_other_partitions_and_of_the_services_own_account_are_refused() {
    let stage = Stage::start().await;
    let own = stage.fixture.system.cloud().account();
    let account = &stage.account.account;
    for arn in [
        format!("arn:aws-cn:iam::{account}:role/put"),
        format!("arn:aws-us-gov:iam::{account}:role/put"),
        format!("arn:aws-eusc:iam::{account}:role/put"),
        format!("arn:aws:iam::{own}:role/annals-shipper"),
        format!("arn:aws:iam::{own}:user/root"),
        format!("arn:aws:sts::{account}:assumed-role/put/session"),
        format!("arn:aws:iam::{account}:role/put*"),
        "arn:aws:iam::*:role/put".to_owned(),
    ] {
        let answer = stage.create(&stage.attacker, &stage.account.bucket, &arn).await;
        assert_eq!(answer.expect_problem(400, "invalid_input")["errors"][0]["pointer"], "/roleArn", "{arn}");
    }
}

#[tokio::test]
async fn a_role_of_a_sibling_account_that_trusts_ours_for_other_work_carries_nothing() {
    let stage = Stage::start().await;
    // Such as OrganizationAccountAccessRole, which may do anything and trusts the account without an external ID.
    let sibling = account();
    let arn = format!("arn:aws:iam::{sibling}:role/OrganizationAccountAccessRole");
    let everything = json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
    let role = Role::new(&arn, trust(stage.fixture.system.cloud().account(), None), vec![everything]);
    stage.fixture.system.cloud().iam().put_role(role).unwrap();
    let bucket = annals_cloud::Bucket::new(name("sibling"), &sibling, "us-east-1");
    let bucket_name = bucket.name.clone();
    stage.fixture.system.cloud().iam().put_bucket(bucket).unwrap();
    let id = text(&stage.create(&stage.attacker, &bucket_name, &arn).await.expect(201)["id"]);
    stage.fixture.tick().await;
    assert_eq!(stage.shown(&stage.attacker, &id).await["failing"]["code"], "external_id_not_required");
}

#[tokio::test]
async fn a_service_role_cannot_be_assumed() {
    let stage = Stage::start().await;
    let arn = format!("arn:aws:iam::{}:role/service-role/lambda", stage.account.account);
    let service = json!({"Statement": [{
        "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole",
    }]});
    stage.put_role(&arn, service);
    let id = text(&stage.create(&stage.attacker, &stage.account.bucket, &arn).await.expect(201)["id"]);
    let report = stage.test(&stage.attacker, &id).await;
    assert_eq!(report["steps"][0]["code"], "role_not_assumable");
    stage.fixture.tick().await;
    assert_eq!(stage.delivered().await, [""; 0]);
}

#[tokio::test]
async fn prefixes_that_would_widen_the_session_are_refused() {
    let stage = Stage::start().await;
    let id = stage.destination(&stage.attacker).await;
    let admin = stage.fixture.with(&stage.attacker.admin);
    for prefix in ["*", "a/*", "a?b", "${aws:username}", "a/${*}", "../", "a/../b", "a//b", "{x}", "\\", "a\"b"] {
        let body = json!({"prefix": prefix}).to_string();
        let answer = admin.send(Method::PATCH, &under(&stage.attacker, &format!("/{id}")), &[], Some(body)).await;
        assert_eq!(answer.expect_problem(400, "invalid_input")["errors"][0]["pointer"], "/prefix", "{prefix}");
    }
}

#[tokio::test]
async fn buckets_that_are_aliases_or_of_another_kind_are_refused() {
    let stage = Stage::start().await;
    for bucket in [
        "victim-abcdefghijklmnop-s3alias",
        "victim--use1-az4--x-s3",
        "victim--ol-s3",
        "victim.mrap",
        "victim--table-s3",
        "xn--victim",
        "sthree-victim",
        "arn:aws:s3-outposts:us-east-1:444455556666:outpost/op-1/bucket/b",
        "arn:aws:s3:us-east-1:444455556666:accesspoint/victim",
        "victim/other",
        "192.168.5.4",
        "VICTIM",
    ] {
        let answer = stage.create(&stage.attacker, bucket, &stage.account.role_arn).await;
        assert_eq!(answer.expect_problem(400, "invalid_input")["errors"][0]["pointer"], "/bucket", "{bucket}");
    }
}

#[tokio::test]
async fn a_code_cannot_be_guessed_one_by_one() {
    let stage = Stage::start().await;
    let id = stage.destination(&stage.attacker).await;
    assert_eq!(stage.confirm(&stage.attacker, &id, "AAAAA-AAAAA").await.expect(409)["code"], "no_code");
    stage.test(&stage.attacker, &id).await;
    let right = stage.code().await;
    let before = stage.fixture.tail(&stage.attacker.id).await.last;
    for left in (0..Challenge::MOST_ATTEMPTS).rev() {
        let problem = stage.confirm(&stage.attacker, &id, "AAAAA-AAAAA").await;
        let problem = problem.expect_problem(400, "invalid_input");
        assert_eq!(problem["errors"][0]["pointer"], "/code");
        let detail = text(&problem["errors"][0]["detail"]);
        assert!(detail.contains(&left.to_string()) || left == 0 && detail.contains("last attempt"), "{detail}");
    }
    stage.confirm(&stage.attacker, &id, &right).await.expect_problem(409, "no_code");
    let recorded = stage.fixture.types_behind(&stage.attacker.id, before).await;
    assert_eq!(recorded, ["destination.confirm"; Challenge::MOST_ATTEMPTS as usize], "each attempt is recorded");
    stage.test(&stage.attacker, &id).await;
    assert_ne!(stage.code().await, right, "a new code");
}

#[tokio::test]
async fn many_guesses_at_once_are_no_more_attempts() {
    let stage = Stage::start().await;
    let id = stage.destination(&stage.attacker).await;
    stage.test(&stage.attacker, &id).await;
    let guesses = (0..20).map(|number| {
        let (stage, id) = (&stage, &id);
        async move { stage.confirm(&stage.attacker, id, &format!("AAAAA-AAA{number:02}")).await.status }
    });
    let answers = futures_util::future::join_all(guesses).await;
    let told = answers.iter().filter(|status| **status == 400).count();
    assert!(told <= Challenge::MOST_ATTEMPTS as usize, "{answers:?}");
    assert!(answers.iter().all(|status| matches!(status, 400 | 409 | 503)), "{answers:?}");
}

#[tokio::test]
async fn the_code_of_one_organisation_proves_nothing_for_another() {
    let stage = Stage::start().await;
    let (theirs, own) = (stage.destination(&stage.attacker).await, stage.destination(&stage.victim).await);
    stage.test(&stage.attacker, &theirs).await;
    let attackers = stage.code().await;
    stage.test(&stage.victim, &own).await;
    let victims = stage.code().await;
    assert_ne!(attackers, victims);
    stage.confirm(&stage.victim, &own, &attackers).await.expect_problem(400, "invalid_input");
    stage.confirm(&stage.attacker, &theirs, &victims).await.expect_problem(400, "invalid_input");
    // The object says for whom it is, so that nobody is talked into passing it on.
    let objects = stage.account.objects(stage.fixture.system.cloud()).await;
    assert!(String::from_utf8_lossy(&objects[TEST_OBJECT]).contains(&stage.victim.id));
}

#[tokio::test]
async fn a_code_ends_with_its_destination() {
    let stage = Stage::start().await;
    let id = stage.destination(&stage.attacker).await;
    stage.test(&stage.attacker, &id).await;
    let code = stage.code().await;
    stage.fixture.with(&stage.attacker.admin).delete(&under(&stage.attacker, &format!("/{id}"))).await.expect(204);
    let again = stage.destination(&stage.attacker).await;
    stage.confirm(&stage.attacker, &again, &code).await.expect_problem(409, "no_code");
    stage.confirm(&stage.attacker, &id, &code).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn the_code_is_nowhere_but_in_the_bucket() {
    let stage = Stage::start().await;
    let id = stage.destination(&stage.attacker).await;
    let admin = stage.fixture.with(&stage.attacker.admin);
    let report = admin.post(&under(&stage.attacker, &format!("/{id}/test")), &json!({})).await;
    let code = stage.code().await;
    let bare = code.replace('-', "");
    let mut answers = vec![report];
    for path in [under(&stage.attacker, ""), under(&stage.attacker, &format!("/{id}"))] {
        answers.push(admin.get(&path).await);
    }
    answers.push(admin.get(&format!("/organisations/{}/audit?pageSize=1000", stage.attacker.id)).await);
    for answer in answers {
        assert!(!answer.body.contains(&code) && !answer.body.contains(&bare), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_role_that_accepts_every_id_of_the_service_is_not_proven() {
    let stage = Stage::start().await;
    let mut any = trust(stage.fixture.system.cloud().account(), None);
    any["Statement"][0]["Condition"] = json!({"StringLike": {"sts:ExternalId": "annals-*"}});
    let arn = format!("arn:aws:iam::{}:role/{}", stage.account.account, name("like"));
    stage.put_role(&arn, any);
    let id = text(&stage.create(&stage.attacker, &stage.account.bucket, &arn).await.expect(201)["id"]);
    assert_eq!(stage.test(&stage.attacker, &id).await["outcome"], "unconfirmed");
    stage.fixture.tick().await;
    assert_eq!(stage.delivered().await, [""; 0]);
}

#[tokio::test]
async fn an_own_role_with_the_victims_bucket_neither_writes_nor_claims() {
    let stage = Stage::start().await;
    let attackers = stage.fixture.customer(&stage.attacker);
    let mut role = stage.fixture.system.cloud().iam().role(&attackers.role_arn).unwrap();
    role.policies = vec![put_policy(&stage.account.bucket, "*")];
    stage.fixture.system.cloud().iam().put_role(role).unwrap();
    let id = text(&stage.create(&stage.attacker, &stage.account.bucket, &attackers.role_arn).await.expect(201)["id"]);
    stage.patch(&stage.attacker, &id, json!({"bucketOwner": stage.account.account})).await;
    stage.fixture.tick().await;
    let shown = stage.shown(&stage.attacker, &id).await;
    assert_eq!((&shown["proof"]["by"], &shown["state"]), (&json!("externalId"), &json!("failing")));

    let role = stage.role(Some(&stage.victim.external_id));
    let own = text(&stage.create(&stage.victim, &stage.account.bucket, &role).await.expect(201)["id"]);
    stage.fixture.tick().await;
    assert_eq!(stage.shown(&stage.victim, &own).await["state"], "sent", "nobody has the bucket");
}

#[tokio::test]
async fn a_bucket_is_shared_under_prefixes_that_do_not_overlap() {
    let stage = Stage::start().await;
    let role = stage.role(Some(&stage.victim.external_id));
    let first = text(&stage.create(&stage.victim, &stage.account.bucket, &role).await.expect(201)["id"]);
    stage.patch(&stage.victim, &first, json!({"prefix": "one"})).await;
    stage.fixture.tick().await;
    assert_eq!(stage.delivered().await.len(), 1);

    let second_role = stage.role(Some(&stage.attacker.external_id));
    let second = text(&stage.create(&stage.attacker, &stage.account.bucket, &second_role).await.expect(201)["id"]);
    stage.fixture.tick().await;
    let shown = stage.shown(&stage.attacker, &second).await;
    assert_eq!(shown["failing"]["code"], "bucket_taken", "the empty prefix contains the other");
    assert!(!shown.to_string().contains(&stage.victim.id) && !shown.to_string().contains(&first), "{shown}");
    let report = stage.test(&stage.attacker, &second).await;
    assert_eq!((&report["outcome"], &report["steps"][2]["code"]), (&json!("failed"), &json!("bucket_taken")));
    for prefix in ["one/below", "one"] {
        stage.patch(&stage.attacker, &second, json!({"prefix": prefix})).await;
        stage.fixture.tick().await;
        assert_eq!(stage.shown(&stage.attacker, &second).await["failing"]["code"], "bucket_taken", "{prefix}");
    }
    stage.patch(&stage.attacker, &second, json!({"prefix": "on"})).await;
    stage.fixture.tick().await;
    assert_eq!(stage.shown(&stage.attacker, &second).await["state"], "sent");

    // One's prefix cannot be moved over the other's afterwards, and what is deleted is free.
    stage.patch(&stage.victim, &first, json!({"prefix": "on/x"})).await;
    stage.fixture.tick().await;
    let shown = stage.shown(&stage.victim, &first).await;
    assert_eq!((&shown["state"], &shown["prefix"]), (&json!("sent"), &json!("one/")), "delivery goes on where it was");
    assert_eq!(shown["pendingChange"]["state"], "proven", "the role is, but the folder is another's");
    let report = stage.test(&stage.victim, &first).await;
    assert_eq!((&report["outcome"], &report["steps"][2]["code"]), (&json!("failed"), &json!("bucket_taken")));
    stage.fixture.with(&stage.attacker.admin).delete(&under(&stage.attacker, &format!("/{second}"))).await.expect(204);
    stage.patch(&stage.victim, &first, json!({"prefix": "on"})).await;
    stage.fixture.tick().await;
    let shown = stage.shown(&stage.victim, &first).await;
    assert_eq!((&shown["state"], &shown["prefix"]), (&json!("sent"), &json!("on/")));
}

#[tokio::test]
async fn a_role_is_shared_only_if_it_requires_the_external_id_of_each() {
    let stage = Stage::start().await;
    let own = stage.destination(&stage.victim).await;
    stage.test(&stage.victim, &own).await;
    stage.confirm(&stage.victim, &own, &stage.code().await).await.expect(200);
    stage.patch(&stage.victim, &own, json!({"prefix": "one"})).await;
    stage.fixture.tick().await;
    assert_eq!(stage.shown(&stage.victim, &own).await["state"], "sent");
    // Somebody who reads the bucket enters the code for another organisation, too.
    let theirs = stage.destination(&stage.attacker).await;
    stage.patch(&stage.attacker, &theirs, json!({"prefix": "two"})).await;
    stage.test(&stage.attacker, &theirs).await;
    let objects = stage.account.objects(stage.fixture.system.cloud()).await;
    let content = String::from_utf8_lossy(&objects[&format!("two/{TEST_OBJECT}")]).into_owned();
    let code = content.lines().find_map(|line| line.strip_prefix("Code: ")).unwrap();
    stage.confirm(&stage.attacker, &theirs, code).await.expect(200);
    stage.fixture.tick().await;
    assert_eq!(stage.shown(&stage.attacker, &theirs).await["failing"]["code"], "role_taken");

    // Both external IDs in the trust policy: whoever wrote it means both.
    let mut both = trust(stage.fixture.system.cloud().account(), None);
    both["Statement"][0]["Condition"] =
        json!({"StringEquals": {"sts:ExternalId": [stage.victim.external_id, stage.attacker.external_id]}});
    stage.put_role(&stage.account.role_arn, both);
    for (organisation, id) in [(&stage.victim, &own), (&stage.attacker, &theirs)] {
        assert_eq!(stage.test(organisation, id).await["outcome"], "passed");
    }
    stage.fixture.tick().await;
    assert_eq!(stage.shown(&stage.attacker, &theirs).await["state"], "sent");
}

#[tokio::test]
async fn a_role_that_no_longer_requires_the_external_id_loses_its_proof_and_events_wait() {
    let stage = Stage::start().await;
    let role = stage.role(Some(&stage.victim.external_id));
    let id = text(&stage.create(&stage.victim, &stage.account.bucket, &role).await.expect(201)["id"]);
    stage.fixture.tick().await;
    let delivered = stage.delivered().await;
    assert_eq!(delivered.len(), 1);
    stage.put_role(&role, trust(stage.fixture.system.cloud().account(), None));
    // The daily check, a day earlier.
    let due = |destination: &mut Destination| {
        let proven = destination.proof.proven.as_mut().unwrap();
        proven.check_at = Timestamp::EPOCH;
    };
    stage.store(&stage.victim, &id, due).await;
    stage.fixture.with(&stage.victim.producer).post("/events", &event("waits")).await.expect(201);
    stage.fixture.tick().await;
    let shown = stage.shown(&stage.victim, &id).await;
    assert_eq!((&shown["state"], &shown["failing"]["code"]), (&json!("unproven"), &json!("proof_lost")));
    assert_eq!(stage.delivered().await, delivered);

    stage.put_role(&role, trust(stage.fixture.system.cloud().account(), Some(&stage.victim.external_id)));
    assert_eq!(stage.test(&stage.victim, &id).await["outcome"], "passed");
    stage.fixture.tick().await;
    assert_eq!(stage.delivered().await.len(), 2, "nothing is lost");
    assert_eq!(stage.shown(&stage.victim, &id).await["state"], "sent");

    // A test finds the loss at once.
    stage.put_role(&role, trust(stage.fixture.system.cloud().account(), None));
    assert_eq!(stage.test(&stage.victim, &id).await["outcome"], "unconfirmed");
    assert_eq!(stage.shown(&stage.victim, &id).await["failing"]["code"], "proof_lost");
}

#[tokio::test]
async fn a_destination_of_an_earlier_version_goes_on_and_gives_way_to_the_owner() {
    let stage = Stage::start().await;
    let id = stage.destination(&stage.attacker).await;
    // As version 0.1 left it: it has delivered, with a role that accepts any external ID.
    let upgraded = |destination: &mut Destination| {
        destination.progress.last_success = Some(destination.created_at);
        destination.proof = Proof::of_earlier_version(destination.progress.last_success);
    };
    stage.store(&stage.attacker, &id, upgraded).await;
    stage.fixture.with(&stage.attacker.producer).post("/events", &event("m-1")).await.expect(201);
    stage.fixture.tick().await;
    let shown = stage.shown(&stage.attacker, &id).await;
    assert_eq!((&shown["state"], &shown["proof"]["by"]), (&json!("sent"), &json!(ProvenBy::Upgrade.as_str())));

    let own = stage.destination(&stage.victim).await;
    stage.test(&stage.victim, &own).await;
    stage.confirm(&stage.victim, &own, &stage.code().await).await.expect(200);
    stage.fixture.tick().await;
    assert_eq!(stage.shown(&stage.victim, &own).await["state"], "sent", "the owner's proof is stronger");
    // The check before the next delivery ends the other.
    stage.fixture.with(&stage.attacker.producer).post("/events", &event("m-2")).await.expect(201);
    let due = |destination: &mut Destination| destination.proof.proven.as_mut().unwrap().check_at = Timestamp::EPOCH;
    stage.store(&stage.attacker, &id, due).await;
    stage.fixture.tick().await;
    let code = &stage.shown(&stage.attacker, &id).await["failing"]["code"];
    assert!(*code == "bucket_taken" || *code == "role_taken", "{code}");
}

#[tokio::test]
async fn a_code_for_one_folder_does_not_prove_the_whole_bucket() {
    let stage = Stage::start().await;
    let id = stage.destination(&stage.attacker).await;
    stage.patch(&stage.attacker, &id, json!({"prefix": "shared/attacker"})).await;
    stage.test(&stage.attacker, &id).await;
    let objects = stage.account.objects(stage.fixture.system.cloud()).await;
    let content = String::from_utf8_lossy(&objects[&format!("shared/attacker/{TEST_OBJECT}")]).into_owned();
    let code = content.lines().find_map(|line| line.strip_prefix("Code: ")).unwrap();
    stage.confirm(&stage.attacker, &id, code).await.expect(200);
    let below = stage.patch(&stage.attacker, &id, json!({"prefix": "shared/attacker/below"})).await;
    assert_eq!(below["pendingChange"]["state"], "proven");
    let whole = stage.patch(&stage.attacker, &id, json!({"prefix": ""})).await;
    assert_eq!(whole["pendingChange"]["state"], "unproven");
    for _ in 0..2 {
        stage.fixture.with(&stage.attacker.producer).post("/events", &event("m")).await.expect(201);
        stage.fixture.tick().await;
    }
    let delivered = stage.delivered().await;
    assert!(delivered.len() == 2 && delivered.iter().all(|key| key.starts_with("shared/attacker/")), "{delivered:?}");
}

/// An attacker with a proven destination of its own, which has delivered.
async fn proven_attacker(stage: &Stage) -> (Customer, String) {
    let own = Customer::create(stage.fixture.system.cloud(), Some(&stage.attacker.external_id));
    let id = text(&stage.create(&stage.attacker, &own.bucket, &own.role_arn).await.expect(201)["id"]);
    stage.fixture.tick().await;
    assert_eq!(stage.shown(&stage.attacker, &id).await["state"], "sent");
    (own, id)
}

#[tokio::test]
async fn a_proven_destination_cannot_be_moved_to_the_bucket_of_a_victim() {
    let stage = Stage::start().await;
    let victim = stage.destination(&stage.victim).await;
    stage.test(&stage.victim, &victim).await;
    stage.confirm(&stage.victim, &victim, &stage.code().await).await.expect(200);
    stage.fixture.tick().await;
    let before = stage.delivered().await;
    let (own, id) = proven_attacker(&stage).await;
    let (bucket, role) = (&stage.account.bucket, &stage.account.role_arn);
    for body in [
        json!({"bucket": bucket, "roleArn": role}),
        json!({"bucket": bucket, "roleArn": own.role_arn}),
        json!({"bucket": own.bucket, "roleArn": role}),
        json!({"bucket": bucket, "roleArn": role, "prefix": "attacker"}),
    ] {
        let changed = stage.patch(&stage.attacker, &id, body.clone()).await;
        assert_eq!((&changed["bucket"], &changed["roleArn"]), (&json!(own.bucket), &json!(own.role_arn)), "{body}");
        stage.fixture.tick().await;
        let report = stage.test(&stage.attacker, &id).await;
        assert_ne!(report["outcome"], "passed", "{body}: {report}");
        stage.confirm(&stage.attacker, &id, "AAAAA-AAAAA").await;
        stage.fixture.with(&stage.attacker.producer).post("/events", &event("m")).await.expect(201);
        stage.fixture.tick().await;
        let shown = stage.shown(&stage.attacker, &id).await;
        assert_eq!((&shown["state"], &shown["bucket"]), (&json!("sent"), &json!(own.bucket)), "{body}: {shown}");
        assert_ne!(shown["pendingChange"]["state"], "ready", "{body}: {shown}");
    }
    assert_eq!(stage.delivered().await, before, "nothing of the attacker's is in the victim's bucket");
    assert_eq!(stage.shown(&stage.victim, &victim).await["state"], "sent");
}

#[tokio::test]
async fn a_pending_change_claims_nothing_and_a_move_lets_go_of_the_old_bucket() {
    let stage = Stage::start().await;
    let (own, id) = proven_attacker(&stage).await;
    // What only waits does not keep the owner out.
    let role = stage.role(None);
    stage.patch(&stage.attacker, &id, json!({"bucket": stage.account.bucket, "roleArn": role})).await;
    stage.test(&stage.attacker, &id).await;
    let victim = stage.destination(&stage.victim).await;
    stage.test(&stage.victim, &victim).await;
    stage.confirm(&stage.victim, &victim, &stage.code().await).await.expect(200);
    stage.fixture.tick().await;
    assert_eq!(stage.shown(&stage.victim, &victim).await["state"], "sent");

    // The attacker moves to another bucket of its own: the old one is free for whoever proves it.
    let path = under(&stage.attacker, &format!("/{id}/change"));
    let withdrawn = stage.fixture.with(&stage.attacker.admin).delete(&path).await.expect(200);
    assert_eq!(withdrawn["pendingChange"], Value::Null);
    let next = Customer::create(stage.fixture.system.cloud(), Some(&stage.attacker.external_id));
    stage.patch(&stage.attacker, &id, json!({"bucket": next.bucket, "roleArn": next.role_arn})).await;
    assert_eq!(stage.test(&stage.attacker, &id).await["outcome"], "passed");
    assert_eq!(stage.shown(&stage.attacker, &id).await["bucket"], next.bucket);
    let trusted = trust(stage.fixture.system.cloud().account(), Some(&stage.victim.external_id));
    let role = Role::new(&own.role_arn, trusted, vec![put_policy(&own.bucket, "*")]);
    stage.fixture.system.cloud().iam().put_role(role).unwrap();
    stage.patch(&stage.victim, &victim, json!({"bucket": own.bucket, "roleArn": own.role_arn})).await;
    assert_eq!(stage.test(&stage.victim, &victim).await["outcome"], "passed");
    stage.fixture.tick().await;
    let shown = stage.shown(&stage.victim, &victim).await;
    assert_eq!((&shown["state"], &shown["bucket"]), (&json!("sent"), &json!(own.bucket)), "{shown}");
}
