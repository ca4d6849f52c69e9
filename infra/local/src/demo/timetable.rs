//! When the company does what: office hours, deploys and imports in bursts, and what runs at night. It decides who acts
//! and roughly how; [`deeds`](super::deeds) decides on what.

use std::time::Duration;

use super::{company::Company, random::Random};

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Actor {
    /// One of the company's people, by index.
    Person(usize),
    /// The pipeline that deploys, with its number and the run of it.
    Pipeline { pipeline: usize, run: u64 },
    /// What keeps the infrastructure as it is described.
    Provisioner { run: u64 },
    /// The mocking product itself.
    Scheduler { job: &'static str, run: u64 },
    /// The product's vendor.
    Support,
    /// Whoever was invited last.
    Newcomer,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Login,
    CreateStub,
    EditStub,
    DeleteStub,
    /// One stub of an import into the mock API with this index; `import` is the seed of the import's id.
    ImportStub {
        api: usize,
        import: u64,
    },
    /// One stub that a deploy brings up to date in the mock API with this index.
    DeployStub {
        api: usize,
    },
    ChangeSettings,
    /// The settings that a deploy brings up to date in the mock API with this index.
    DeploySettings {
        api: usize,
    },
    CreateApi,
    RenameApi,
    DeleteApi,
    Grant,
    Revoke,
    CreateTeam,
    ChangeTeam,
    JoinTeam,
    ChangeOrganisation,
    Invite,
    Signup,
    ChangeUser,
    /// The person with this index leaves the company.
    RemoveUser {
        person: usize,
    },
    CreateTemplate,
    ChangeTemplate,
    CreateCatalogue,
    ChangeCatalogue,
    ShareCatalogue,
    CreateDataSource,
    ChangeDataSource,
    DeleteDataSource,
    CreateDatabase,
    ChangeDatabase,
    CreateKey,
    RotateKey,
    DeleteKey,
    CreateApiKey,
    DeleteApiKey,
    ChangeSubscription,
    CreateGit,
    ChangeGit,
    SyncGit,
    CreateSink,
    ChangeSink,
    DeleteSink,
}

/// One event to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) at: Duration,
    pub(super) actor: Actor,
    pub(super) deed: Deed,
}

/// What people do at their desks, and how often, relative to one another.
const DESK: [(u64, Deed); 32] = [
    (300, Deed::EditStub),
    (150, Deed::CreateStub),
    (50, Deed::DeleteStub),
    (140, Deed::ChangeSettings),
    (14, Deed::CreateApi),
    (24, Deed::RenameApi),
    (5, Deed::DeleteApi),
    (50, Deed::Grant),
    (28, Deed::Revoke),
    (4, Deed::CreateTeam),
    (10, Deed::ChangeTeam),
    (12, Deed::JoinTeam),
    (4, Deed::ChangeOrganisation),
    (10, Deed::ChangeUser),
    (12, Deed::CreateTemplate),
    (28, Deed::ChangeTemplate),
    (4, Deed::CreateCatalogue),
    (10, Deed::ChangeCatalogue),
    (8, Deed::ShareCatalogue),
    (14, Deed::CreateDataSource),
    (40, Deed::ChangeDataSource),
    (8, Deed::DeleteDataSource),
    (5, Deed::CreateDatabase),
    (18, Deed::ChangeDatabase),
    (6, Deed::CreateKey),
    (4, Deed::RotateKey),
    (3, Deed::DeleteKey),
    (14, Deed::CreateApiKey),
    (10, Deed::DeleteApiKey),
    (6, Deed::CreateGit),
    (16, Deed::ChangeGit),
    (14, Deed::SyncGit),
];

/// What happens once in every week, whatever else does: day, hour and deed, of an administrator.
const PROGRAMME: [(u64, u64, Deed); 24] = [
    (0, 9, Deed::Invite),
    (0, 10, Deed::CreateTeam),
    (0, 13, Deed::CreateDatabase),
    (0, 15, Deed::CreateSink),
    (1, 9, Deed::ChangeSink),
    (1, 10, Deed::ChangeOrganisation),
    (1, 11, Deed::JoinTeam),
    (1, 13, Deed::CreateCatalogue),
    (1, 14, Deed::ShareCatalogue),
    (2, 9, Deed::CreateTemplate),
    (2, 10, Deed::Grant),
    (2, 11, Deed::CreateApiKey),
    (2, 13, Deed::CreateKey),
    (2, 14, Deed::ChangeUser),
    (2, 15, Deed::CreateGit),
    (3, 9, Deed::Revoke),
    (3, 10, Deed::DeleteApi),
    (3, 11, Deed::DeleteKey),
    (3, 13, Deed::DeleteDataSource),
    (3, 14, Deed::ChangeDatabase),
    (4, 9, Deed::DeleteApiKey),
    (4, 10, Deed::ChangeSubscription),
    (4, 13, Deed::ChangeCatalogue),
    (4, 14, Deed::DeleteSink),
];

/// Everything that happens in the week, in order.
pub(super) fn plan(company: &Company, random: &mut Random) -> Vec<Task> {
    let mut plan = Plan { tasks: Vec::new(), random };
    let leaver = company.any_ordinary_person(plan.random);
    plan.desks(company);
    plan.deploys(company);
    plan.imports(company);
    plan.programme(company, leaver);
    plan.nights(company);
    plan.weekend(company, leaver);
    let mut tasks = plan.tasks;
    tasks.sort_by_key(|task| task.at);
    tasks
}

struct Plan<'a> {
    tasks: Vec<Task>,
    random: &'a mut Random,
}

impl Plan<'_> {
    /// `at` in milliseconds from the week's start.
    fn add(&mut self, at: u64, actor: Actor, deed: Deed) {
        self.tasks.push(Task { at: Duration::from_millis(at.min(7 * DAY - 1)), actor, deed });
    }

    fn desk_deed(&mut self) -> Deed {
        let mut left = self.random.between(0, DESK.iter().map(|(weight, _)| weight).sum::<u64>() - 1);
        for (weight, deed) in DESK {
            if left < weight {
                return deed;
            }
            left -= weight;
        }
        Deed::EditStub
    }

    /// A while at the desk: some deeds with pauses between them.
    fn sitting(&mut self, company: &Company, person: usize, start: u64, deeds: u64) {
        let mut at = start;
        for _ in 0..deeds {
            let deed = self.desk_deed();
            // What takes an administrator is asked of one.
            let administrative = matches!(deed, Deed::ChangeOrganisation | Deed::ChangeUser | Deed::CreateTeam);
            let person = if administrative { company.any_administrator(self.random) } else { person };
            self.add(at, Actor::Person(person), deed);
            // Several clicks in a row, then a thought.
            at += if self.random.percent(55) {
                self.random.between(3 * SECOND, 40 * SECOND)
            } else {
                self.random.between(MINUTE, 7 * MINUTE)
            };
        }
    }

    fn desks(&mut self, company: &Company) {
        for day in 0..5 {
            for person in company.staff() {
                // Friday is the day off of many.
                if self.random.percent(if day == 4 { 25 } else { 10 }) {
                    continue;
                }
                let opening = 9 - company.people[person].hours_east;
                let start = day * DAY + opening * HOUR - 40 * MINUTE + self.random.between(0, 80 * MINUTE);
                self.add(start, Actor::Person(person), Deed::Login);
                self.office_day(company, person, start);
            }
        }
    }

    /// The sittings of one day after signing in: two before lunch, up to two after.
    fn office_day(&mut self, company: &Company, person: usize, start: u64) {
        for after in [5 * MINUTE, 95 * MINUTE] {
            let (at, deeds) = (start + after + self.random.between(0, 50 * MINUTE), self.random.between(2, 6));
            self.sitting(company, person, at, deeds);
        }
        for after in [4 * HOUR + 15 * MINUTE, 6 * HOUR + 30 * MINUTE] {
            if self.random.percent(88) {
                let (at, deeds) = (start + after + self.random.between(0, 90 * MINUTE), self.random.between(2, 6));
                self.sitting(company, person, at, deeds);
            }
        }
        // Some sign in again after lunch, or from elsewhere.
        if self.random.percent(12) {
            let at = start + 4 * HOUR + self.random.between(0, 15 * MINUTE);
            self.add(at, Actor::Person(person), Deed::Login);
        }
    }

    fn deploys(&mut self, company: &Company) {
        for day in 0..5 {
            for _ in 0..self.random.between(3, 6) {
                let pipeline = self.random.index(company.pipelines.len());
                let actor = Actor::Pipeline { pipeline, run: self.random.between(48_000, 61_000) };
                let api = company.any_api(self.random);
                let mut at = day * DAY + 8 * HOUR + self.random.between(0, 8 * HOUR);
                self.add(at, actor, Deed::DeploySettings { api });
                for _ in 0..self.random.between(12, 48) {
                    at += self.random.between(60, 700);
                    self.add(at, actor, Deed::DeployStub { api });
                }
                at += self.random.between(SECOND, 5 * SECOND);
                self.add(at, actor, Deed::SyncGit);
            }
            let run = self.random.between(900, 1900);
            let mut at = day * DAY + 10 * HOUR + self.random.between(0, 5 * HOUR);
            for deed in [Deed::Grant, Deed::ChangeSettings, Deed::ChangeDatabase, Deed::ChangeTeam, Deed::ChangeGit] {
                at += self.random.between(400, 3 * SECOND);
                self.add(at, Actor::Provisioner { run }, deed);
            }
        }
    }

    fn imports(&mut self, company: &Company) {
        for _ in 0..self.random.between(4, 7) {
            let import = self.random.next();
            let (person, api) = (company.any_person(self.random), company.any_api(self.random));
            let mut at = self.random.between(0, 4) * DAY + 9 * HOUR + self.random.between(0, 6 * HOUR);
            for _ in 0..self.random.between(45, 120) {
                at += self.random.between(20, 180);
                self.add(at, Actor::Person(person), Deed::ImportStub { api, import });
            }
        }
    }

    fn programme(&mut self, company: &Company, leaver: usize) {
        for (day, hour, deed) in PROGRAMME {
            let person = company.any_administrator(self.random);
            let at = day * DAY + hour * HOUR + self.random.between(0, 55 * MINUTE);
            self.add(at, Actor::Person(person), deed);
        }
        let administrator = company.any_administrator(self.random);
        let [signup, support, leave] = std::array::from_fn(|_| self.random.between(0, 30 * MINUTE));
        self.add(DAY + 8 * HOUR + signup, Actor::Newcomer, Deed::Signup);
        for (day, deed) in [(1, Deed::ChangeSubscription), (2, Deed::ChangeOrganisation), (3, Deed::ChangeSubscription)]
        {
            self.add(day * DAY + 15 * HOUR + support, Actor::Support, deed);
        }
        self.add(4 * DAY + 21 * HOUR + leave, Actor::Person(administrator), Deed::RemoveUser { person: leaver });
    }

    /// What the product does by itself, day and night.
    fn nights(&mut self, company: &Company) {
        for day in 0..7 {
            for hour in [2, 8, 14, 20] {
                let run = self.random.between(10_000, 99_999);
                let mut at = day * DAY + hour * HOUR + self.random.between(0, 4 * MINUTE);
                for _ in 0..company.git.len().min(5) {
                    at += self.random.between(2 * SECOND, 20 * SECOND);
                    self.add(at, Actor::Scheduler { job: "openapi-git-sync", run }, Deed::SyncGit);
                }
            }
            let run = self.random.between(10_000, 99_999);
            let at = day * DAY + 3 * HOUR + self.random.between(0, 20 * MINUTE);
            self.add(at, Actor::Scheduler { job: "signing-key-rotation", run }, Deed::RotateKey);
            self.add(at + 7 * MINUTE, Actor::Scheduler { job: "data-source-refresh", run }, Deed::ChangeDataSource);
            self.add(at + 45 * MINUTE, Actor::Scheduler { job: "usage-metering", run }, Deed::ChangeSubscription);
        }
        // Somebody is on call, and one night is worse than others.
        let (person, night) = (company.any_person(self.random), self.random.between(0, 3));
        let start = night * DAY + 22 * HOUR + self.random.between(0, 5 * HOUR);
        self.add(start, Actor::Person(person), Deed::Login);
        self.sitting(company, person, start + 2 * MINUTE, 5);
    }

    fn weekend(&mut self, company: &Company, leaver: usize) {
        for day in 5..7 {
            for _ in 0..self.random.between(3, 5) {
                let person = company.any_person(self.random);
                if person == leaver {
                    continue;
                }
                let start = day * DAY + 9 * HOUR + self.random.between(0, 9 * HOUR);
                self.add(start, Actor::Person(person), Deed::Login);
                let deeds = self.random.between(2, 6);
                self.sitting(company, person, start + MINUTE, deeds);
            }
        }
    }
}
