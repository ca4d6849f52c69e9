//! One task of the timetable becomes one event: what it is done to, what it changes in the company, and how the producer
//! tells it.

use serde_json::{Map, Value, json};

use super::{
    company::{CORE_APIS, Company, DOMAIN, Grant, MockApi, Person, Stub, Thing},
    random::Random,
    timetable::{Actor, Deed, Task},
};

/// What an event says of the deed; members that are null are left out.
#[derive(Debug, Default)]
struct Told {
    action: &'static str,
    /// The event's `type`, where it says more than entity and action.
    kind: Value,
    entity: Value,
    parent: Value,
    subject: Value,
    permission: Value,
    before: Value,
    after: Value,
    payload: Value,
    metadata: Value,
}

/// Does it, and tells it as the JSON object that is posted.
pub(super) fn act(company: &mut Company, random: &mut Random, task: &Task) -> Value {
    let told = tell(company, random, task);
    let actor = present(company, random, task, &told);
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            body.insert(name.to_owned(), value);
        }
    };
    put("action", told.action.into());
    put("type", told.kind);
    put("entity", told.entity);
    put("principal", actor.principal);
    put("parentEntity", told.parent);
    put("subject", told.subject);
    put("permission", told.permission);
    put("before", told.before);
    put("after", told.after);
    put("clientType", actor.client.into());
    put("context", actor.context);
    put("payload", if told.payload.is_null() { actor.payload } else { told.payload });
    put("metadata", if told.metadata.is_null() { actor.metadata } else { told.metadata });
    Value::Object(body)
}

fn tell(company: &mut Company, random: &mut Random, task: &Task) -> Told {
    match task.deed {
        Deed::Login => login(company, random, task.actor),
        Deed::CreateStub => {
            let api = busy_api(company, random);
            create_stub(company, random, api, Value::Null)
        }
        Deed::ImportStub { api, import } => {
            let metadata = json!({"importId": Random::new(import).uuid(), "source": "openapi.yaml"});
            create_stub(company, random, api, metadata)
        }
        Deed::EditStub => {
            let api = busy_api(company, random);
            edit_stub(company, random, api)
        }
        Deed::DeployStub { api } => edit_stub(company, random, api),
        Deed::DeleteStub => delete_stub(company, random),
        Deed::ChangeSettings => {
            let api = busy_api(company, random);
            change(&mut company.apis[api].settings, random)
        }
        Deed::DeploySettings { api } => change(&mut company.apis[api].settings, random),
        Deed::CreateApi => {
            let api = company.new_sandbox(random);
            let told = created(&api.thing);
            company.apis.push(api);
            told
        }
        Deed::RenameApi => rename_api(company, random),
        Deed::DeleteApi => delete_api(company, random),
        Deed::Grant => grant(company, random),
        Deed::Revoke => revoke(company, random),
        Deed::ShareCatalogue => share_catalogue(company, random),
        Deed::CreateTeam => {
            let name = random.pick(&["Tiger Team", "Peak Season", "Onboarding", "API Guild", "Migration", "Pilot"]);
            let team = company.new_team(format!("{name} {}", company.teams.len() - 6), random);
            add(&mut company.teams, team)
        }
        Deed::ChangeTeam => change_some(&mut company.teams, random),
        Deed::JoinTeam => join_team(company, random),
        Deed::ChangeOrganisation => change(&mut company.organisation, random),
        Deed::Invite => invite(company, random),
        Deed::Signup => signup(company, random),
        Deed::ChangeUser => change_user(company, random),
        Deed::RemoveUser { person } => {
            let gone = company.leave(person);
            Told {
                action: "DELETE",
                entity: gone.entity(),
                parent: company.organisation.entity(),
                before: json!({"email": gone.email, "role": gone.role, "status": "active"}),
                ..Told::default()
            }
        }
        Deed::CreateTemplate => {
            let template = company.new_template(random);
            add(&mut company.templates, template)
        }
        Deed::ChangeTemplate => change_some(&mut company.templates, random),
        Deed::CreateCatalogue => {
            let catalogue = company.new_catalogue(random);
            add(&mut company.catalogues, catalogue)
        }
        Deed::ChangeCatalogue => change_some(&mut company.catalogues, random),
        Deed::CreateDataSource => {
            let source = company.new_source(random);
            add(&mut company.sources, source)
        }
        Deed::ChangeDataSource => change_some(&mut company.sources, random),
        Deed::DeleteDataSource => delete_some(&mut company.sources, random),
        Deed::CreateDatabase => {
            let database = company.new_database(random);
            add(&mut company.databases, database)
        }
        Deed::ChangeDatabase => change_some(&mut company.databases, random),
        Deed::CreateKey => {
            let key = company.new_key(random);
            add(&mut company.keys, key)
        }
        Deed::RotateKey => rotate_key(company, random),
        Deed::DeleteKey => delete_some(&mut company.keys, random),
        Deed::CreateApiKey => {
            let key = company.new_api_key(random);
            add(&mut company.api_keys, key)
        }
        Deed::DeleteApiKey => delete_some(&mut company.api_keys, random),
        Deed::ChangeSubscription => change_subscription(company, random, task.actor),
        Deed::CreateGit => {
            let git = company.new_git(random);
            add(&mut company.git, git)
        }
        Deed::ChangeGit => change_some(&mut company.git, random),
        Deed::SyncGit => sync_git(company, random),
        Deed::CreateSink => {
            let sink = company.new_sink(random);
            add(&mut company.sinks, sink)
        }
        Deed::ChangeSink => change_some(&mut company.sinks, random),
        Deed::DeleteSink => delete_some(&mut company.sinks, random),
    }
}

/// A mock API to work on: most often one of those that stay, now and then a sandbox.
fn busy_api(company: &Company, random: &mut Random) -> usize {
    if random.percent(85) { company.any_api(random) } else { random.index(company.apis.len()) }
}

fn created(thing: &Thing) -> Told {
    Told {
        action: "CREATE",
        entity: thing.entity(),
        parent: thing.parent.clone(),
        after: thing.whole(),
        ..Told::default()
    }
}

fn add(things: &mut Vec<Thing>, thing: Thing) -> Told {
    let told = created(&thing);
    things.push(thing);
    told
}

fn change(thing: &mut Thing, random: &mut Random) -> Told {
    let (before, after) = thing.change(random);
    Told { action: "UPDATE", entity: thing.entity(), parent: thing.parent.clone(), before, after, ..Told::default() }
}

fn change_some(things: &mut [Thing], random: &mut Random) -> Told {
    let index = random.index(things.len());
    change(&mut things[index], random)
}

/// Deletes the one or the other, and only changes something where little is left.
fn delete_some(things: &mut Vec<Thing>, random: &mut Random) -> Told {
    if things.len() < 2 {
        return change_some(things, random);
    }
    let thing = things.swap_remove(random.index(things.len()));
    Told {
        action: "DELETE",
        entity: thing.entity(),
        parent: thing.parent.clone(),
        before: thing.whole(),
        ..Told::default()
    }
}

fn login(company: &mut Company, random: &mut Random, actor: Actor) -> Told {
    let Actor::Person(person) = actor else { return change(&mut company.organisation, random) };
    let person = &mut company.people[person];
    person.session = random.uuid();
    let factor = random.pick(&["webauthn", "totp", "push"]);
    Told {
        action: "LOGIN",
        kind: "user.login.sso".into(),
        entity: person.entity(),
        parent: company.organisation.entity(),
        payload: json!({
            "identityProvider": format!("https://login.{DOMAIN}"),
            "protocol": "SAML",
            "secondFactor": factor,
            "sessionId": person.session,
        }),
        ..Told::default()
    }
}

fn create_stub(company: &mut Company, random: &mut Random, api: usize, metadata: Value) -> Told {
    let stub = company.new_stub(&company.apis[api], random);
    let told = Told {
        action: "CREATE",
        entity: stub.entity(),
        parent: company.apis[api].thing.entity(),
        after: stub.whole(),
        metadata,
        ..Told::default()
    };
    company.apis[api].stubs.push(stub);
    told
}

fn edit_stub(company: &mut Company, random: &mut Random, api: usize) -> Told {
    let MockApi { thing, stubs, .. } = &mut company.apis[api];
    if stubs.is_empty() {
        return create_stub(company, random, api, Value::Null);
    }
    // What was made last is worked on most.
    let (one, other) = (random.index(stubs.len()), random.index(stubs.len()));
    let stub = &mut stubs[one.max(other)];
    let (before, after) = edit(stub, random);
    Told { action: "UPDATE", entity: stub.entity(), parent: thing.entity(), before, after, ..Told::default() }
}

fn edit(stub: &mut Stub, random: &mut Random) -> (Value, Value) {
    let response = |stub: &Stub| json!({"status": stub.status, "fixedDelayMilliseconds": stub.delay});
    match random.index(4) {
        0 => {
            let before = json!({"response": response(stub), "priority": stub.priority});
            stub.status = random.pick_other(&[200, 202, 400, 404, 409, 429, 500, 503], stub.status);
            stub.priority = random.between(1, 10);
            (before, json!({"response": response(stub), "priority": stub.priority}))
        }
        1 => {
            let shown = |stub: &Stub| json!({"request": {"method": stub.method, "urlPathTemplate": stub.path}});
            let before = shown(stub);
            // The path moves on to the next version of the API.
            let rest = stub.path.splitn(3, '/').nth(2).unwrap_or_default().to_owned();
            let version = stub.path.split('/').nth(1).unwrap_or_default().to_owned();
            let next = random.pick_other(&["v1", "v2", "v3", "v4"], version.as_str());
            stub.path = format!("/{next}/{rest}");
            (before, shown(stub))
        }
        _ => {
            let before = json!({"response": response(stub)});
            stub.delay = random.pick_other(&[0, 50, 120, 250, 800, 2000, 5000], stub.delay);
            (before, json!({"response": response(stub)}))
        }
    }
}

fn delete_stub(company: &mut Company, random: &mut Random) -> Told {
    let api = busy_api(company, random);
    if company.apis[api].stubs.len() < 3 {
        return create_stub(company, random, api, Value::Null);
    }
    let MockApi { thing, stubs, .. } = &mut company.apis[api];
    let stub = stubs.swap_remove(random.index(stubs.len()));
    Told { action: "DELETE", entity: stub.entity(), parent: thing.entity(), before: stub.whole(), ..Told::default() }
}

fn rename_api(company: &mut Company, random: &mut Random) -> Told {
    let sandboxes = company.apis.len() - CORE_APIS;
    if sandboxes == 0 || random.percent(60) {
        let api = company.any_api(random);
        return change(&mut company.apis[api].thing, random);
    }
    let MockApi { thing, settings, .. } = &mut company.apis[CORE_APIS + random.index(sandboxes)];
    let before = json!({"name": thing.name});
    let plain = thing.name.split(" (").next().unwrap_or_default().to_owned();
    let suffix = random.pick(&["keep until release", "archived", "partner demo", "shadow", "regression", "do not use"]);
    thing.name = if thing.name.ends_with(&format!("({suffix})")) { plain } else { format!("{plain} ({suffix})") };
    settings.name.clone_from(&thing.name);
    settings.parent = thing.entity();
    let after = json!({"name": thing.name});
    let (entity, parent) = (thing.entity(), thing.parent.clone());
    Told { action: "UPDATE", kind: "mock_api.renamed".into(), entity, parent, before, after, ..Told::default() }
}

fn delete_api(company: &mut Company, random: &mut Random) -> Told {
    let sandboxes = company.apis.len() - CORE_APIS;
    if sandboxes == 0 {
        return rename_api(company, random);
    }
    let MockApi { thing, stubs, .. } = company.apis.swap_remove(CORE_APIS + random.index(sandboxes));
    company.forget(&thing.id);
    Told {
        action: "DELETE",
        entity: thing.entity(),
        parent: thing.parent.clone(),
        before: thing.whole(),
        payload: json!({"stubMappingsDeleted": stubs.len(), "requested": "immediately"}),
        ..Told::default()
    }
}

fn granted(company: &mut Company, random: &mut Random, entity: Value, parent: Value) -> Told {
    let subject = if random.percent(45) {
        random.pick(&company.teams).entity()
    } else {
        company.people[company.any_person(random)].entity()
    };
    let permission = company.some_permission(random);
    let grant = Grant { entity, parent, subject, permission };
    let told = told_of(&grant, "ACL_GRANT");
    company.grants.push(grant);
    told
}

fn told_of(grant: &Grant, action: &'static str) -> Told {
    Told {
        action,
        entity: grant.entity.clone(),
        parent: grant.parent.clone(),
        subject: grant.subject.clone(),
        permission: grant.permission.clone(),
        ..Told::default()
    }
}

fn grant(company: &mut Company, random: &mut Random) -> Told {
    let thing = &company.apis[busy_api(company, random)].thing;
    let (entity, parent) = (thing.entity(), thing.parent.clone());
    granted(company, random, entity, parent)
}

fn share_catalogue(company: &mut Company, random: &mut Random) -> Told {
    let catalogue = random.pick(&company.catalogues);
    let (entity, parent) = (catalogue.entity(), catalogue.parent.clone());
    granted(company, random, entity, parent)
}

fn revoke(company: &mut Company, random: &mut Random) -> Told {
    if company.grants.is_empty() {
        return grant(company, random);
    }
    let grant = company.grants.swap_remove(random.index(company.grants.len()));
    told_of(&grant, "ACL_REVOKE")
}

fn join_team(company: &mut Company, random: &mut Random) -> Told {
    let subject = company.people[company.any_person(random)].entity();
    let index = random.index(company.teams.len());
    let team = &mut company.teams[index];
    let before = json!({"members": team.counter});
    team.counter += 1;
    Told {
        action: "UPDATE",
        kind: "team.member_added".into(),
        entity: team.entity(),
        parent: team.parent.clone(),
        subject,
        before,
        after: json!({"members": team.counter}),
        ..Told::default()
    }
}

fn invite(company: &mut Company, random: &mut Random) -> Told {
    let person = company.newcomer(random);
    let told = Told {
        action: "INVITE",
        entity: company.organisation.entity(),
        subject: person.entity(),
        after: json!({"email": person.email, "role": person.role, "expiresInDays": 7}),
        ..Told::default()
    };
    company.invited = Some(person);
    told
}

fn signup(company: &mut Company, random: &mut Random) -> Told {
    let person = match company.invited.take() {
        Some(person) => person,
        None => company.newcomer(random),
    };
    let told = Told {
        action: "SIGNUP",
        entity: person.entity(),
        parent: company.organisation.entity(),
        after: json!({"email": person.email, "role": person.role, "status": "active"}),
        ..Told::default()
    };
    company.people.push(person);
    told
}

fn change_user(company: &mut Company, random: &mut Random) -> Told {
    let index = company.any_ordinary_person(random);
    let parent = company.organisation.entity();
    let person = &mut company.people[index];
    let before = json!({"role": person.role});
    person.role = random.pick_other(&["contributor", "editor", "maintainer"], person.role);
    Told {
        action: "UPDATE",
        kind: "user.role_changed".into(),
        entity: person.entity(),
        parent,
        before,
        after: json!({"role": person.role}),
        ..Told::default()
    }
}

fn rotate_key(company: &mut Company, random: &mut Random) -> Told {
    let index = random.index(company.keys.len());
    let key = &mut company.keys[index];
    let shown = |key: &Thing| json!({"version": key.counter, "fingerprint": format!("SHA1:{}", key.mark)});
    let before = shown(key);
    key.counter += 1;
    key.mark = random.hex(40);
    Told {
        action: "UPDATE",
        kind: "key.rotated".into(),
        entity: key.entity(),
        parent: key.parent.clone(),
        before,
        after: shown(key),
        ..Told::default()
    }
}

fn change_subscription(company: &mut Company, random: &mut Random, actor: Actor) -> Told {
    let subscription = &mut company.subscription;
    if !matches!(actor, Actor::Scheduler { .. }) {
        return change(subscription, random);
    }
    let used = subscription.counter;
    subscription.counter += random.between(90_000, 400_000);
    Told {
        action: "UPDATE",
        kind: "subscription.usage_metered".into(),
        entity: subscription.entity(),
        parent: subscription.parent.clone(),
        before: json!({"requestsThisPeriod": used}),
        after: json!({"requestsThisPeriod": subscription.counter}),
        payload: json!({"meter": "mock-requests", "unit": "request", "closed": true}),
        ..Told::default()
    }
}

fn sync_git(company: &mut Company, random: &mut Random) -> Told {
    let index = random.index(company.git.len());
    let git = &mut company.git[index];
    let before = json!({"commit": git.mark});
    git.mark = random.hex(40);
    git.counter = random.between(1, 14);
    Told {
        action: "UPDATE",
        kind: "openapi_git_integration.synced".into(),
        entity: git.entity(),
        parent: git.parent.clone(),
        before,
        after: json!({"commit": git.mark}),
        payload: json!({"operationsChanged": git.counter, "conflicts": 0}),
        ..Told::default()
    }
}

/// Who did it, and from where.
struct Presence {
    principal: Value,
    client: &'static str,
    context: Value,
    payload: Value,
    metadata: Value,
}

fn present(company: &Company, random: &mut Random, task: &Task, told: &Told) -> Presence {
    match task.actor {
        Actor::Person(person) => person_at_work(&company.people[person], random, task.deed, told),
        Actor::Newcomer => {
            // Whoever signed up last is the last of the people.
            let person = company.people.last().unwrap_or(&company.people[0]);
            person_at_work(person, random, task.deed, told)
        }
        Actor::Pipeline { pipeline, run } => {
            let service = &company.pipelines[pipeline];
            Presence {
                principal: json!({"id": service.id, "name": service.name, "entityType": "API_KEY"}),
                client: "CLI",
                context: json!({
                    "ipAddress": service.address,
                    "userAgent": "mockctl/2.14.1 (linux; amd64; ci)",
                    "requestId": random.uuid(),
                    "location": "eu-central-1",
                }),
                payload: Value::Null,
                metadata: json!({
                    "branch": "main",
                    "commit": Random::new(run).hex(40),
                    "runId": run.to_string(),
                }),
            }
        }
        Actor::Provisioner { run } => Presence {
            principal: json!({
                "id": company.provisioner.id, "name": company.provisioner.name, "entityType": "API_KEY",
            }),
            client: "API",
            context: json!({
                "ipAddress": company.provisioner.address,
                "userAgent": "Terraform/1.13.4 (+https://www.terraform.io) terraform-provider-mocks/1.9.2",
                "requestId": random.uuid(),
                "location": "eu-central-1",
            }),
            payload: Value::Null,
            metadata: json!({"workspace": "mocks-shared", "runId": format!("apply-{run}")}),
        },
        Actor::Scheduler { job, run } => Presence {
            principal: json!({"id": "scheduler", "name": "Scheduler", "entityType": "SYSTEM"}),
            client: "SYSTEM",
            context: json!({
                "ipAddress": "192.0.2.200",
                "userAgent": "mock-scheduler/3.8",
                "requestId": random.uuid(),
                "location": "eu-central-1",
            }),
            payload: Value::Null,
            metadata: json!({"job": job, "runId": format!("{job}-{run}")}),
        },
        Actor::Support => Presence {
            principal: json!({
                "id": "s7h2kd", "name": "Mirela Stan (support)", "entityType": "USER",
                "email": "mirela.stan@support.mocks.example",
            }),
            client: "ADMIN",
            context: json!({
                "ipAddress": "192.0.2.231",
                "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
                "requestId": random.uuid(),
                "location": "Timișoara, RO",
            }),
            payload: Value::Null,
            metadata: json!({"ticket": format!("SUP-{}", random.between(30_000, 39_999)), "reason": "customer request"}),
        },
    }
}

fn person_at_work(person: &Person, random: &mut Random, deed: Deed, told: &Told) -> Presence {
    let terminal = match deed {
        Deed::Login | Deed::Signup | Deed::Invite => false,
        // One import comes one way.
        Deed::ImportStub { api, .. } => api % 2 == 1,
        _ => random.percent(person.terminal_percent),
    };
    let (client, agent) = match terminal {
        false => ("UI", person.browser),
        true if person.terminal_percent > 10 => ("CLI", "mockctl/2.14.1 (darwin; arm64)"),
        true => ("API", "python-requests/2.32.5"),
    };
    // A session is either in the office or at home.
    let office = person.session.starts_with(|digit: char| digit.is_ascii_digit());
    Presence {
        principal: person.principal(),
        client,
        context: json!({
            "ipAddress": if office { &person.office } else { &person.home },
            "userAgent": agent,
            "requestId": random.uuid(),
            "location": person.city,
        }),
        payload: if terminal { request(told, random) } else { Value::Null },
        metadata: Value::Null,
    }
}

/// The HTTP call behind a change that was made from a terminal.
fn request(told: &Told, random: &mut Random) -> Value {
    let (method, status) = match told.action {
        "CREATE" => ("POST", 201),
        "DELETE" => ("DELETE", 204),
        "UPDATE" => ("PUT", 200),
        _ => ("POST", 200),
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let collection = text(&told.entity["entityType"]).to_lowercase().replace('_', "-");
    json!({
        "method": method,
        "path": format!("/v1/{collection}/{}", text(&told.entity["id"])),
        "status": status,
        "durationMs": random.between(9, 140),
    })
}
