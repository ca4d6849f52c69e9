//! The invented company: its people, and what it has in its API mocking product, as it stands at a moment of the week.
//! What happens to it is decided in [`deeds`](super::deeds).

use serde_json::{Map, Value, json};

use super::random::Random;

/// The mock APIs that stay for ever, so that a plan can name them by index.
pub(super) const CORE_APIS: usize = PRODUCTS.len();
/// The domain of the company; `example` is reserved for such (RFC 2606).
pub(super) const DOMAIN: &str = "larkspurfreight.example";
/// The most people, so that a company that lives for many weeks stays as it is.
const PEOPLE: usize = 30;
/// The people who may change the organisation: the first of the list, who never leave.
const ADMINISTRATORS: usize = 4;

/// One of the company's people.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) role: &'static str,
    pub(super) city: &'static str,
    pub(super) hours_east: u64,
    pub(super) browser: &'static str,
    pub(super) office: String,
    pub(super) home: String,
    /// Of a hundred changes, how many are made from a terminal.
    pub(super) terminal_percent: u64,
    /// The id of the session since the last sign-in.
    pub(super) session: String,
    left: bool,
}

impl Person {
    pub(super) fn entity(&self) -> Value {
        json!({"id": self.id, "name": self.name, "entityType": "USER"})
    }

    pub(super) fn principal(&self) -> Value {
        json!({"id": self.id, "name": self.name, "entityType": "USER", "email": self.email})
    }
}

/// Something that acts for the company with a key of its own.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) address: String,
}

/// What kind of thing something is, as far as its members are chosen from a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    MockApi,
    Settings,
    Team,
    Organisation,
    Template,
    Catalogue,
    DataSource,
    Database,
    Key,
    ApiKey,
    Subscription,
    Git,
    Sink,
}

impl Kind {
    pub(super) fn entity_type(self) -> &'static str {
        match self {
            Self::MockApi => "MOCK_API",
            Self::Settings => "MOCK_API_SETTINGS",
            Self::Team => "TEAM",
            Self::Organisation => "ORGANISATION",
            Self::Template => "API_TEMPLATE",
            Self::Catalogue => "API_TEMPLATE_CATALOGUE",
            Self::DataSource => "DATA_SOURCE",
            Self::Database => "DATABASE_CONNECTION",
            Self::Key => "KEY",
            Self::ApiKey => "API_KEY",
            Self::Subscription => "SUBSCRIPTION",
            Self::Git => "OPENAPI_GIT_INTEGRATION",
            Self::Sink => "S3_AUDIT_SINK",
        }
    }

    /// The members of such a thing and the values that each can have, as JSON text.
    fn members(self) -> &'static [(&'static str, &'static [&'static str])] {
        match self {
            Self::MockApi => &[
                (
                    "description",
                    &[
                        r#""Stands in for the carrier's sandbox""#,
                        r#""Contract tests of the checkout""#,
                        r#""Load test target; do not edit by hand""#,
                        r#""Shared by web and mobile""#,
                        r#""Copy of production as of the last release""#,
                    ],
                ),
                ("visibility", &[r#""organisation""#, r#""team""#, r#""private""#]),
                ("lifecycle", &[r#""active""#, r#""frozen until release""#, r#""deprecated""#]),
                (
                    "labels",
                    &[r#"["checkout"]"#, r#"["mobile","beta"]"#, r#"["contract-tests"]"#, r#"["partner","sandbox"]"#],
                ),
            ],
            Self::Settings => &[
                (
                    "latency",
                    &[
                        r#"{"type":"none"}"#,
                        r#"{"type":"fixed","milliseconds":150}"#,
                        r#"{"type":"lognormal","median":90,"sigma":0.1}"#,
                        r#"{"type":"lognormal","median":240,"sigma":0.4}"#,
                        r#"{"type":"uniform","lower":20,"upper":180}"#,
                    ],
                ),
                (
                    "chaos",
                    &[
                        r#"{"enabled":false}"#,
                        r#"{"enabled":true,"percent":2,"fault":"CONNECTION_RESET_BY_PEER"}"#,
                        r#"{"enabled":true,"percent":5,"fault":"EMPTY_RESPONSE"}"#,
                    ],
                ),
                (
                    "rateLimit",
                    &[
                        r#"{"requestsPerSecond":25,"burst":50}"#,
                        r#"{"requestsPerSecond":100,"burst":200}"#,
                        r#"{"requestsPerSecond":500,"burst":500}"#,
                    ],
                ),
                (
                    "requestJournal",
                    &[
                        r#"{"enabled":true,"retentionDays":7}"#,
                        r#"{"enabled":true,"retentionDays":30}"#,
                        r#"{"enabled":false,"retentionDays":0}"#,
                    ],
                ),
                (
                    "cors",
                    &[
                        r#"{"enabled":false,"origins":[]}"#,
                        r#"{"enabled":true,"origins":["https://app.larkspurfreight.example"]}"#,
                        r#"{"enabled":true,"origins":["https://staging.larkspurfreight.example"]}"#,
                    ],
                ),
                (
                    "security",
                    &[
                        r#"{"authentication":"none"}"#,
                        r#"{"authentication":"basic","username":"contract-tests"}"#,
                        r#"{"authentication":"clientCertificate"}"#,
                    ],
                ),
                (
                    "proxy",
                    &[
                        r#"{"target":null,"record":"off"}"#,
                        r#"{"target":"https://api.staging.larkspurfreight.example","record":"unmatched"}"#,
                        r#"{"target":"https://sandbox.carrier.example","record":"all"}"#,
                    ],
                ),
                ("stateScope", &[r#""mockApi""#, r#""session""#, r#""none""#]),
            ],
            Self::Team => &[
                (
                    "description",
                    &[
                        r#""Owns the parcel lifecycle from label to doorstep""#,
                        r#""Everything a customer pays for""#,
                        r#""Keeps the lights on, answers the pager""#,
                        r#""Apps for drivers and depots""#,
                        r##""Ask us in #mocks before you copy an API""##,
                    ],
                ),
                ("defaultRole", &[r#""contributor""#, r#""editor""#, r#""maintainer""#]),
                (
                    "notifications",
                    &[
                        r##"{"channel":"#team-mocks","onFailure":true}"##,
                        r##"{"channel":"#alerts-nonprod","onFailure":true}"##,
                        r#"{"channel":null,"onFailure":false}"#,
                    ],
                ),
            ],
            Self::Organisation => &[
                (
                    "singleSignOn",
                    &[
                        r#"{"enforced":true,"protocol":"SAML","defaultRole":"contributor"}"#,
                        r#"{"enforced":true,"protocol":"OIDC","defaultRole":"contributor"}"#,
                        r#"{"enforced":false,"protocol":"OIDC","defaultRole":"editor"}"#,
                    ],
                ),
                ("sessionTimeoutMinutes", &["30", "60", "480"]),
                ("twoFactor", &[r#""required""#, r#""optional""#]),
                ("allowedNetworks", &[r#"["198.51.100.0/24"]"#, r#"["198.51.100.0/24","192.0.2.0/25"]"#, "[]"]),
            ],
            Self::Template => &[
                ("version", &[r#""1.0.0""#, r#""1.1.0""#, r#""1.2.3""#, r#""2.0.0-rc.1""#, r#""2.0.0""#]),
                (
                    "description",
                    &[
                        r#""REST with problem details and pagination""#,
                        r#""Carrier webhook with a signature header""#,
                        r#""Token endpoint and key set of an identity provider""#,
                        r#""Event stream with gaps and repeats""#,
                    ],
                ),
                ("status", &[r#""draft""#, r#""published""#, r#""deprecated""#]),
                ("stubs", &["6", "11", "18", "27"]),
            ],
            Self::Catalogue => &[
                ("visibility", &[r#""organisation""#, r#""teams""#]),
                ("reviewRequired", &["true", "false"]),
                (
                    "description",
                    &[
                        r#""Start here: templates that the platform team keeps""#,
                        r#""Carriers and customs brokers, one template each""#,
                        r#""For training and demonstrations only""#,
                    ],
                ),
            ],
            Self::DataSource => &[
                ("rows", &["48", "212", "1350", "9871", "25004"]),
                ("format", &[r#""csv""#, r#""query""#]),
                (
                    "columns",
                    &[
                        r#"["tracking_id","status","depot"]"#,
                        r#"["postcode","zone","surcharge_cents"]"#,
                        r#"["account","currency","limit"]"#,
                        r#"["hs_code","duty_percent","origin"]"#,
                    ],
                ),
                ("refresh", &[r#""manual""#, r#""daily""#, r#""hourly""#]),
            ],
            Self::Database => &[
                ("database", &[r#""fixtures""#, r#""orders_anonymised""#, r#""rates_snapshot""#]),
                (
                    "host",
                    &[
                        r#""testdata-1.db.larkspurfreight.example""#,
                        r#""testdata-2.db.larkspurfreight.example""#,
                        r#""anonymised-replica.db.larkspurfreight.example""#,
                    ],
                ),
                ("poolSize", &["5", "10", "20"]),
                ("tls", &[r#""require""#, r#""verify-full""#]),
                ("statementTimeoutMilliseconds", &["2000", "5000", "15000"]),
            ],
            Self::Key => &[
                ("algorithm", &[r#""RS256""#, r#""ES256""#, r#""EdDSA""#]),
                ("use", &[r#""sign""#, r#""verify""#]),
                ("validDays", &["30", "90", "365"]),
            ],
            Self::ApiKey => &[
                ("scope", &[r#""read""#, r#""write""#, r#""admin""#]),
                ("expiresInDays", &["30", "90", "180"]),
                ("allowedNetworks", &[r#"["192.0.2.0/25"]"#, r#"["198.51.100.0/24"]"#, "[]"]),
            ],
            Self::Subscription => &[
                ("seats", &["40", "45", "50", "60"]),
                ("billingInterval", &[r#""monthly""#, r#""yearly""#]),
                ("support", &[r#""standard""#, r#""premium""#]),
                ("requestsPerMonth", &["5000000", "10000000", "25000000"]),
                ("purchaseOrder", &[r#""PO-20417""#, r#""PO-20983""#, r#""PO-21150""#]),
            ],
            Self::Git => &[
                ("branch", &[r#""main""#, r#""develop""#, r#""release/next""#]),
                ("path", &[r#""openapi/public.yaml""#, r#""contracts/api.yaml""#, r#""docs/openapi.json""#]),
                ("direction", &[r#""pull""#, r#""push""#, r#""both""#]),
                ("onConflict", &[r#""keepMock""#, r#""keepRepository""#]),
            ],
            Self::Sink => &[
                (
                    "bucket",
                    &[r#""larkspur-audit-events""#, r#""larkspur-security-archive-eu""#, r#""larkspur-siem-landing""#],
                ),
                ("prefix", &[r#""mocks/""#, r#""audit/mocks/""#, r#""""#]),
                (
                    "roleArn",
                    &[
                        r#""arn:aws:iam::111122223333:role/put-audit-events""#,
                        r#""arn:aws:iam::444455556666:role/audit-landing-writer""#,
                    ],
                ),
                ("enabled", &["true", "false"]),
            ],
        }
    }
}

/// Anything whose members are chosen from a table.
#[derive(Debug, Clone)]
pub(super) struct Thing {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) name: String,
    /// What it belongs to.
    pub(super) parent: Value,
    /// What changes by itself: a key's version, a count of requests.
    pub(super) counter: u64,
    /// What names its present content: a commit, a fingerprint.
    pub(super) mark: String,
    /// For each member, which of its values it has.
    choices: Vec<usize>,
}

impl Thing {
    pub(super) fn new(kind: Kind, name: String, parent: Value, random: &mut Random) -> Self {
        let choices = kind.members().iter().map(|(_, values)| random.index(values.len())).collect();
        let id = match kind {
            Kind::MockApi | Kind::Settings | Kind::Team | Kind::Organisation | Kind::Subscription => random.short_id(5),
            Kind::Catalogue | Kind::Template | Kind::ApiKey => random.short_id(8),
            _ => random.uuid(),
        };
        Self { kind, id, name, parent, counter: random.between(2, 40), mark: random.hex(40), choices }
    }

    pub(super) fn entity(&self) -> Value {
        json!({"id": self.id, "name": self.name, "entityType": self.kind.entity_type()})
    }

    fn member(&self, index: usize) -> (String, Value) {
        let (name, values) = self.kind.members()[index];
        (name.to_owned(), serde_json::from_str(values[self.choices[index]]).unwrap_or_default())
    }

    /// All of it, as it is created or deleted.
    pub(super) fn whole(&self) -> Value {
        let mut whole: Map<String, Value> = (0..self.choices.len()).map(|index| self.member(index)).collect();
        whole.insert("name".into(), self.name.as_str().into());
        Value::Object(whole)
    }

    /// Changes one or two members: those as they were, and as they are now.
    pub(super) fn change(&mut self, random: &mut Random) -> (Value, Value) {
        let mut members: Vec<usize> = (0..self.choices.len()).collect();
        random.shuffle(&mut members);
        members.truncate(if random.percent(40) { 2 } else { 1 });
        let shown = |thing: &Self| Value::Object(members.iter().map(|index| thing.member(*index)).collect());
        let before = shown(self);
        for index in &members {
            let all: Vec<usize> = (0..self.kind.members()[*index].1.len()).collect();
            self.choices[*index] = random.pick_other(&all, self.choices[*index]);
        }
        (before, shown(self))
    }
}

/// One answer that a mock API gives.
#[derive(Debug, Clone)]
pub(super) struct Stub {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) status: u16,
    pub(super) delay: u64,
    pub(super) priority: u64,
}

impl Stub {
    pub(super) fn entity(&self) -> Value {
        json!({"id": self.id, "name": self.name, "entityType": "STUB_MAPPING"})
    }

    pub(super) fn whole(&self) -> Value {
        json!({
            "request": {"method": self.method, "urlPathTemplate": self.path},
            "response": {"status": self.status, "fixedDelayMilliseconds": self.delay},
            "priority": self.priority,
        })
    }
}

/// A mock API with what is in it.
#[derive(Debug, Clone)]
pub(super) struct MockApi {
    pub(super) thing: Thing,
    pub(super) settings: Thing,
    pub(super) stubs: Vec<Stub>,
    /// What it is about, in the singular and in the plural.
    noun: (&'static str, &'static str),
}

/// Somebody's right to something.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) entity: Value,
    pub(super) parent: Value,
    pub(super) subject: Value,
    pub(super) permission: Value,
}

/// The company as it stands.
#[derive(Debug, Clone)]
pub(super) struct Company {
    pub(super) people: Vec<Person>,
    /// Who was invited and has not signed up yet.
    pub(super) invited: Option<Person>,
    pub(super) organisation: Thing,
    pub(super) subscription: Thing,
    pub(super) teams: Vec<Thing>,
    pub(super) apis: Vec<MockApi>,
    pub(super) templates: Vec<Thing>,
    pub(super) catalogues: Vec<Thing>,
    pub(super) sources: Vec<Thing>,
    pub(super) databases: Vec<Thing>,
    pub(super) keys: Vec<Thing>,
    pub(super) api_keys: Vec<Thing>,
    pub(super) git: Vec<Thing>,
    pub(super) sinks: Vec<Thing>,
    pub(super) grants: Vec<Grant>,
    pub(super) pipelines: Vec<Service>,
    pub(super) provisioner: Service,
    permissions: Vec<(String, &'static str)>,
    names: Vec<(&'static str, &'static str)>,
}

impl Company {
    pub(super) fn new(random: &mut Random) -> Self {
        let mut names = NAMES.to_vec();
        random.shuffle(&mut names);
        let organisation = Thing::new(Kind::Organisation, "Larkspur Freight".into(), Value::Null, random);
        let home = organisation.entity();
        let service = |name: &str, random: &mut Random| Service {
            id: random.short_id(8),
            name: name.into(),
            address: format!("192.0.2.{}", random.between(10, 120)),
        };
        let mut company = Self {
            people: Vec::new(),
            invited: None,
            subscription: Thing::new(Kind::Subscription, "Enterprise".into(), home, random),
            organisation,
            teams: Vec::new(),
            apis: Vec::new(),
            templates: Vec::new(),
            catalogues: Vec::new(),
            sources: Vec::new(),
            databases: Vec::new(),
            keys: Vec::new(),
            api_keys: Vec::new(),
            git: Vec::new(),
            sinks: Vec::new(),
            grants: Vec::new(),
            pipelines: PIPELINES.iter().map(|name| service(name, random)).collect(),
            provisioner: service("Terraform (platform)", random),
            permissions: PERMISSIONS.iter().map(|name| (random.uuid(), *name)).collect(),
            names,
        };
        for _ in 0..PEOPLE {
            let person = company.newcomer(random);
            company.people.push(person);
        }
        for person in &mut company.people[..ADMINISTRATORS] {
            person.role = "admin";
        }
        for name in TEAMS {
            let team = company.new_team((*name).into(), random);
            company.teams.push(team);
        }
        for (name, singular, plural) in PRODUCTS {
            let mut api = company.new_api((*name).into(), (singular, plural), random);
            for _ in 0..random.between(8, 24) {
                api.stubs.push(company.new_stub(&api, random));
            }
            company.apis.push(api);
        }
        type Make = fn(&Company, &mut Random) -> Thing;
        let fill = |company: &Company, count: usize, make: Make, random: &mut Random| -> Vec<Thing> {
            (0..count).map(|_| make(company, random)).collect()
        };
        company.catalogues = fill(&company, 3, Company::new_catalogue, random);
        company.templates = fill(&company, 8, Company::new_template, random);
        company.sources = fill(&company, 9, Company::new_source, random);
        company.databases = fill(&company, 4, Company::new_database, random);
        company.keys = fill(&company, 5, Company::new_key, random);
        company.api_keys = fill(&company, 8, Company::new_api_key, random);
        company.git = fill(&company, 6, Company::new_git, random);
        company.sinks = fill(&company, 1, Company::new_sink, random);
        company
    }

    /// The people who work here, by index.
    pub(super) fn staff(&self) -> Vec<usize> {
        (0..self.people.len()).filter(|index| !self.people[*index].left).collect()
    }

    pub(super) fn any_person(&self, random: &mut Random) -> usize {
        *random.pick(&self.staff())
    }

    pub(super) fn any_administrator(&self, random: &mut Random) -> usize {
        random.index(ADMINISTRATORS)
    }

    /// Somebody whose role may change, and who may leave.
    pub(super) fn any_ordinary_person(&self, random: &mut Random) -> usize {
        *random.pick(&self.staff()[ADMINISTRATORS..])
    }

    /// One of the mock APIs that stay.
    pub(super) fn any_api(&self, random: &mut Random) -> usize {
        // Some are worked on far more than others.
        let (one, other) = (random.index(CORE_APIS), random.index(CORE_APIS));
        one.min(other)
    }

    /// Somebody new, with a name that nobody here has.
    pub(super) fn newcomer(&mut self, random: &mut Random) -> Person {
        let (name, mailbox) = match self.names.pop() {
            Some((name, mailbox)) => (name.to_owned(), mailbox.to_owned()),
            // After so many weeks a name comes twice; the mailbox gets a number, as it does in life.
            None => {
                let (name, mailbox) = random.pick(NAMES);
                ((*name).to_owned(), format!("{mailbox}{}", self.people.len()))
            }
        };
        let office = random.index(CITIES.len());
        let (city, hours_east) = CITIES[office];
        let home = if random.percent(40) {
            format!("2001:db8:{:x}:{}::{}", random.between(0x10, 0xffff), random.between(1, 9), random.between(2, 99))
        } else {
            format!("203.0.113.{}", random.between(2, 250))
        };
        Person {
            id: random.short_id(6),
            name,
            email: format!("{mailbox}@{DOMAIN}"),
            role: ROLES[random.index(ROLES.len())],
            city,
            hours_east,
            browser: BROWSERS[random.index(BROWSERS.len())],
            // Each office has a few addresses to the outside.
            office: format!("198.51.100.{}", 16 * (office + 1) + random.index(3)),
            home,
            terminal_percent: *random.pick(&[0, 0, 5, 30]),
            session: random.uuid(),
            left: false,
        }
    }

    /// Somebody leaves, with all their rights.
    pub(super) fn leave(&mut self, person: usize) -> Person {
        self.people[person].left = true;
        let gone = self.people[person].clone();
        self.forget(&gone.id);
        gone
    }

    /// Takes back every right to the entity, and every right that it has.
    pub(super) fn forget(&mut self, id: &str) {
        self.grants.retain(|grant| grant.entity["id"] != id && grant.subject["id"] != id);
    }

    pub(super) fn some_permission(&self, random: &mut Random) -> Value {
        if random.percent(15) {
            return "ALL_PERMISSIONS".into();
        }
        let first = random.index(self.permissions.len() - 1);
        let count = if random.percent(30) { 2 } else { 1 };
        let permissions: Vec<Value> = self.permissions[first..first + count]
            .iter()
            .map(|(id, friendly)| json!({"id": id, "friendlyId": friendly}))
            .collect();
        json!({"permissions": permissions})
    }

    fn some_team(&self, random: &mut Random) -> Value {
        if self.teams.is_empty() { self.organisation.entity() } else { random.pick(&self.teams).entity() }
    }

    pub(super) fn new_team(&self, name: String, random: &mut Random) -> Thing {
        Thing::new(Kind::Team, name, self.organisation.entity(), random)
    }

    pub(super) fn new_api(&self, name: String, noun: (&'static str, &'static str), random: &mut Random) -> MockApi {
        let thing = Thing::new(Kind::MockApi, name, self.some_team(random), random);
        let mut settings = Thing::new(Kind::Settings, thing.name.clone(), thing.entity(), random);
        settings.id.clone_from(&thing.id);
        MockApi { thing, settings, stubs: Vec::new(), noun }
    }

    /// A copy of one of the mock APIs, to try something out.
    pub(super) fn new_sandbox(&self, random: &mut Random) -> MockApi {
        let original = &self.apis[self.any_api(random)];
        let suffix = random.pick(&["spike", "load test", "copy", "workshop", "v2 preview", "bug hunt"]);
        let mut api = self.new_api(format!("{} ({suffix})", original.thing.name), original.noun, random);
        for _ in 0..random.between(2, 6) {
            api.stubs.push(self.new_stub(&api, random));
        }
        api
    }

    pub(super) fn new_stub(&self, api: &MockApi, random: &mut Random) -> Stub {
        let (singular, plural) = api.noun;
        let version = random.pick(&["v1", "v2", "v3"]);
        let (does, method, tail, status) = *random.pick(STUBS);
        let path = format!("/{version}/{plural}{tail}").replace("{id}", &format!("{{{singular}Id}}"));
        let name = does.replace("{one}", singular).replace("{many}", plural);
        let case = random.pick(&["", "", " (mobile)", " (sandbox carrier)", " (EU)", " (legacy client)", " (partner)"]);
        Stub {
            id: random.uuid(),
            name: format!("{name}{case}"),
            method,
            path,
            status,
            delay: *random.pick(&[0, 0, 0, 50, 120, 800]),
            priority: random.between(1, 10),
        }
    }

    pub(super) fn new_catalogue(&self, random: &mut Random) -> Thing {
        let name = random.pick(&["Golden templates", "Carriers", "Customs", "Identity", "Training", "Event streams"]);
        Thing::new(Kind::Catalogue, (*name).into(), self.organisation.entity(), random)
    }

    pub(super) fn new_template(&self, random: &mut Random) -> Thing {
        let name = random.pick(&[
            "Paged REST collection",
            "Carrier webhook",
            "OpenID provider",
            "SOAP rate quote",
            "Event stream",
            "File upload",
            "Idempotent payments",
            "GraphQL gateway",
        ]);
        let parent = random.pick(&self.catalogues).entity();
        Thing::new(Kind::Template, (*name).into(), parent, random)
    }

    pub(super) fn new_source(&self, random: &mut Random) -> Thing {
        let name = random.pick(&[
            "Depots and their opening hours",
            "Postcode zones",
            "Test cards",
            "Tracking ids per carrier",
            "Duty rates by HS code",
            "Driver accounts",
            "Partner price list",
            "Known bad addresses",
        ]);
        let parent = random.pick(&self.apis).thing.clone();
        // What outlives a sandbox belongs to a team.
        let parent = if self.apis[..CORE_APIS].iter().any(|api| api.thing.id == parent.id) {
            parent.entity()
        } else {
            self.some_team(random)
        };
        Thing::new(Kind::DataSource, (*name).into(), parent, random)
    }

    pub(super) fn new_database(&self, random: &mut Random) -> Thing {
        let name =
            random.pick(&["Test data", "Anonymised parcels", "Rates replica", "Ledger fixtures", "Depot master"]);
        Thing::new(Kind::Database, (*name).into(), self.some_team(random), random)
    }

    pub(super) fn new_key(&self, random: &mut Random) -> Thing {
        let name = random.pick(&["Webhook signing", "Token issuer", "Partner certificates", "Label seal"]);
        Thing::new(Kind::Key, (*name).into(), self.organisation.entity(), random)
    }

    pub(super) fn new_api_key(&self, random: &mut Random) -> Thing {
        let name = random.pick(&[
            "local development",
            "contract tests",
            "load generator",
            "nightly smoke tests",
            "Postman",
            "demo laptop",
        ]);
        Thing::new(Kind::ApiKey, (*name).into(), self.organisation.entity(), random)
    }

    pub(super) fn new_git(&self, random: &mut Random) -> Thing {
        let api = &self.apis[self.any_api(random)];
        let repository = api.thing.name.to_lowercase().replace(' ', "-");
        Thing::new(Kind::Git, format!("larkspur/{repository}"), api.thing.entity(), random)
    }

    pub(super) fn new_sink(&self, random: &mut Random) -> Thing {
        let name = random.pick(&["Security archive", "SIEM landing zone", "Audit events"]);
        Thing::new(Kind::Sink, (*name).into(), self.organisation.entity(), random)
    }
}

/// Display name and mailbox.
const NAMES: &[(&str, &str)] = &[
    ("Adaeze Okonkwo", "adaeze.okonkwo"),
    ("Zoë Lindqvist", "zoe.lindqvist"),
    ("Mateus Carvalho", "mateus.carvalho"),
    ("Priya Raghunathan", "priya.raghunathan"),
    ("Tomasz Wiśniewski", "tomasz.wisniewski"),
    ("Hannah Oyelaran", "hannah.oyelaran"),
    ("Kenji Morimoto", "kenji.morimoto"),
    ("Leila Farahani", "leila.farahani"),
    ("Callum Strachan", "callum.strachan"),
    ("Nguyễn Minh Anh", "minhanh.nguyen"),
    ("Ingrid Solheim", "ingrid.solheim"),
    ("Rashid Al-Mansoori", "rashid.almansoori"),
    ("Beatriz Quintanilla", "beatriz.quintanilla"),
    ("Joost van der Velde", "joost.vandervelde"),
    ("Siobhán Gallagher", "siobhan.gallagher"),
    ("Emeka Nwachukwu", "emeka.nwachukwu"),
    ("Katarzyna Zielińska", "katarzyna.zielinska"),
    ("Dmitri Kovalenko", "dmitri.kovalenko"),
    ("Thandiwe Mokoena", "thandiwe.mokoena"),
    ("Lukas Baumgartner", "lukas.baumgartner"),
    ("Farah Siddiqui", "farah.siddiqui"),
    ("Olivier Desrosiers", "olivier.desrosiers"),
    ("Mei-Ling Hsu", "meiling.hsu"),
    ("Jamal Whitfield", "jamal.whitfield"),
    ("Aino Virtanen", "aino.virtanen"),
    ("Rodrigo Bustamante", "rodrigo.bustamante"),
    ("Yael Shapiro", "yael.shapiro"),
    ("Grace Achieng", "grace.achieng"),
    ("Pieter de Wet", "pieter.dewet"),
    ("Sunita Gurung", "sunita.gurung"),
    ("Marek Dvořák", "marek.dvorak"),
    ("Chiara Benedetti", "chiara.benedetti"),
    ("Tariq Hassan", "tariq.hassan"),
    ("Eleni Papadaki", "eleni.papadaki"),
    ("Owen Prys-Davies", "owen.prysdavies"),
    ("Anahit Sargsyan", "anahit.sargsyan"),
    ("Malik Diop", "malik.diop"),
    ("Freya Thorsdottir", "freya.thorsdottir"),
    ("Ravi Wickramasinghe", "ravi.wickramasinghe"),
    ("Noor van Dijk", "noor.vandijk"),
    ("Iulia Ionescu", "iulia.ionescu"),
    ("Kwabena Asante", "kwabena.asante"),
];

/// City, and hours that its clocks are ahead of UTC.
const CITIES: &[(&str, u64)] = &[
    ("Lisbon, PT", 0),
    ("Leeds, GB", 0),
    ("Rotterdam, NL", 1),
    ("Hamburg, DE", 1),
    ("Kraków, PL", 1),
    ("Lagos, NG", 1),
    ("Tallinn, EE", 2),
    ("Cape Town, ZA", 2),
];

const ROLES: [&str; 4] = ["contributor", "editor", "editor", "maintainer"];

const BROWSERS: &[&str] = &[
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
];

const TEAMS: &[&str] =
    &["Parcel Lifecycle", "Checkout", "Carrier Partners", "Customs", "Driver Apps", "Platform", "Quality", "Billing"];

/// Mock API, and what it is about in the singular and in the plural; those at the head are worked on most.
const PRODUCTS: &[(&str, &str, &str)] = &[
    ("Parcel Tracking", "parcel", "parcels"),
    ("Carrier Rates", "quote", "quotes"),
    ("Payments Gateway", "payment", "payments"),
    ("Label Printing", "label", "labels"),
    ("Customs Declarations", "declaration", "declarations"),
    ("Identity", "session", "sessions"),
    ("Address Lookup", "address", "addresses"),
    ("Returns Portal", "return", "returns"),
    ("Warehouse Stock", "pallet", "pallets"),
    ("Invoicing", "invoice", "invoices"),
    ("Route Planner", "route", "routes"),
    ("Driver Roster", "shift", "shifts"),
    ("Proof of Delivery", "receipt", "receipts"),
    ("Notifications", "message", "messages"),
    ("Duty Calculator", "assessment", "assessments"),
    ("Partner Onboarding", "partner", "partners"),
    ("Fleet Telemetry", "reading", "readings"),
    ("Claims", "claim", "claims"),
    ("Depot Scheduling", "slot", "slots"),
    ("Weather at Port", "forecast", "forecasts"),
];

const PIPELINES: &[&str] = &["CI checkout-web", "CI parcel-service", "CI customs-bridge", "CI driver-app"];

const PERMISSIONS: &[&str] =
    &["mock-api:read", "mock-api:write", "stub-mapping:write", "settings:write", "data-source:read", "mock-api:share"];

/// What a stub does, its method, the end of its path, and its status.
const STUBS: &[(&str, &str, &str, u16)] = &[
    ("Get {one} by id", "GET", "/{id}", 200),
    ("Get {one}: not found", "GET", "/{id}", 404),
    ("List {many}", "GET", "", 200),
    ("List {many}: empty page", "GET", "", 200),
    ("Create {one}", "POST", "", 201),
    ("Create {one}: duplicate", "POST", "", 409),
    ("Create {one}: invalid body", "POST", "", 422),
    ("Replace {one}", "PUT", "/{id}", 200),
    ("Cancel {one}", "DELETE", "/{id}", 204),
    ("History of {one}", "GET", "/{id}/events", 200),
    ("Search {many}", "POST", "/search", 200),
    ("Search {many}: too many requests", "POST", "/search", 429),
    ("Confirm {one}", "POST", "/{id}/confirmation", 202),
    ("Attach document to {one}", "PUT", "/{id}/documents", 201),
    ("Health of {many}", "GET", "/health", 200),
    ("{many}: upstream down", "GET", "/{id}/status", 503),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_every_member_is_json_and_every_member_has_a_choice() {
        use Kind::*;
        for kind in [
            MockApi,
            Settings,
            Team,
            Organisation,
            Template,
            Catalogue,
            DataSource,
            Database,
            Key,
            ApiKey,
            Subscription,
            Git,
            Sink,
        ] {
            for (member, values) in kind.members() {
                assert!(values.len() > 1, "{kind:?} {member}");
                for value in *values {
                    assert!(serde_json::from_str::<Value>(value).is_ok(), "{kind:?} {member} {value}");
                }
            }
        }
    }
}
