//! The cost of a described company's day on AWS, in dollars per million events, compared with a naive design.
//!
//! A tenth of the company runs for an hour on the embedded AWS: requests through the routes, messages through the
//! queue, objects into buckets. DynamoDB reports request units, and calls are counted where they leave the SDK. The
//! counts are scaled to the whole company and the whole day and multiplied by `infra/prices.toml`. The duration and the
//! log volume of invocations are assumed, the same for both designs: see [`company`]. Not included are small costs that
//! both designs share (alarms, the schedule's 145 events), and contention, which `benches/contention.rs` measures.
//!
//! Then many destinations without events are planned for a tick, and maintained and signed for a day, and the counts are
//! scaled to a month.
//!
//! The bench fails if Annals costs more than its budget.

mod annals;
mod company;
mod naive;
mod tally;
mod test_bed;

use std::{collections::HashMap, process::ExitCode, time::Duration};

use annals_local::demo;
use annals_tests::entropy::SeededEntropy;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    annals::Annals,
    company::{COMPANY, IDLE, Tenant},
    naive::Naive,
    tally::{Activity, Item, Usage},
    test_bed::{Design, GIGABYTE},
};

/// Which part of the company is run: one tenth.
const PART: usize = 10;
const HOUR: Duration = Duration::from_secs(3600);
/// Dollars per million events that the described company may pay, a tenth above what was measured.
const BUDGET_DOLLARS: f64 = 2.43;
/// Which part of the naive design's dollars that may be, all in all and in DynamoDB alone; a tenth above as well.
const BUDGET_OF_NAIVE: (f64, f64) = (0.58, 0.37);
/// Dollars that [`IDLE`] destinations may cost in a month: planned every ten minutes and maintained daily, and with daily
/// checkpoints besides, whose signatures by KMS cost more than all of the planning.
const BUDGET_OF_IDLE: (f64, f64) = (35.0, 100.0);
/// Which part of them is run.
const IDLE_PART: usize = 250;
const TICKS_A_DAY: f64 = 144.0;
const DAYS_A_MONTH: f64 = 30.4375;

/// What DynamoDB is paid for.
const DATABASE: [Item; 4] =
    [Item::WriteUnit, Item::ReadUnit, Item::StoredGigabyteMonth, Item::RecoverableGigabyteMonth];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    dollars: f64,
    per: f64,
    #[expect(dead_code, reason = "for who checks the prices")]
    page: String,
    #[expect(dead_code, reason = "for who checks the prices")]
    quoted: String,
}

#[derive(Debug, Deserialize)]
struct Prices {
    date: toml::value::Datetime,
    region: String,
    #[serde(flatten)]
    prices: HashMap<Item, Price>,
}

impl Prices {
    fn dollars(&self, item: Item, amount: f64) -> f64 {
        let price = &self.prices[&item];
        amount * price.dollars / price.per
    }
}

/// What happens when in the sample.
enum Deed {
    Record { tenant: usize, events: std::ops::Range<usize>, keyed: bool },
    Poll(usize),
    View(usize),
    Tick,
}

/// The hour, in order: each customer posts at an even rate, and not in step with the others.
fn timetable(tenants: &[Tenant]) -> (Vec<(Duration, Deed)>, usize) {
    let entropy = SeededEntropy::new(7);
    let (mut deeds, mut used) = (Vec::new(), 0);
    for (tenant, customer) in tenants.iter().enumerate() {
        for batch in &COMPANY.batches {
            let a_second = customer.events_a_day * batch.share / batch.events as f64 / 86_400.0;
            let period = Duration::from_secs_f64(1.0 / a_second);
            let mut at = entropy.duration(period);
            while at < HOUR {
                deeds.push((at, Deed::Record { tenant, events: used..used + batch.events, keyed: batch.keyed }));
                used += batch.events;
                at += period;
            }
        }
        let mut at = entropy.duration(COMPANY.poll_every);
        while customer.polls && at < HOUR {
            deeds.push((at, Deed::Poll(tenant)));
            at += COMPANY.poll_every;
        }
    }
    let views = COMPANY.kinds.iter().map(|kind| kind.views_a_day).sum::<usize>() / PART / 24;
    for number in 0..views {
        deeds.push((entropy.duration(HOUR), Deed::View(number * tenants.len() / views)));
    }
    let ticks = HOUR.as_secs() / COMPANY.tick_every.as_secs();
    deeds.extend((1..=ticks).map(|tick| (COMPANY.tick_every * u32::try_from(tick).unwrap(), Deed::Tick)));
    deeds.sort_by_key(|(at, _)| *at);
    (deeds, used)
}

/// Runs the sample, and gives what the whole company uses in a day, by what for.
async fn run(mut design: impl Design, tenants: &[Tenant]) -> Vec<(Activity, Usage)> {
    let (deeds, count) = timetable(tenants);
    let events: Vec<Value> = demo::realistic_events(3, count);
    let mut now = Duration::ZERO;
    for (at, deed) in deeds {
        design.test_bed().advance(at - now);
        now = at;
        let tally = design.test_bed().tally.clone();
        match deed {
            Deed::Record { tenant, events: range, keyed } => {
                tally.begin(Activity::Recording);
                design.record(tenant, &events[range], keyed).await;
            }
            Deed::Poll(tenant) => {
                tally.begin(Activity::Polling);
                design.poll(tenant).await;
            }
            Deed::View(tenant) => {
                tally.begin(Activity::Viewing);
                design.view(tenant).await;
            }
            Deed::Tick => {
                tally.begin(Activity::Delivering);
                design.tick().await;
            }
        }
    }
    let tally = design.test_bed().tally.clone();
    tally.begin(Activity::Maintaining);
    design.maintain().await;
    tally.begin(Activity::Keeping);
    design.keep().await;
    let by_events = COMPANY.events_a_day() / count as f64;
    let by_time = PART as f64 * 86_400.0 / HOUR.as_secs_f64();
    let scaled = |activity, factor| {
        let mut usage = Usage::default();
        usage.add(&tally.of(activity), factor);
        (activity, usage)
    };
    let mut delivering = scaled(Activity::Delivering, by_events);
    *delivering.1.items.entry(Item::QueueRequest).or_default() += COMPANY.idle_receives_a_day;
    let mut keeping = scaled(Activity::Keeping, by_events);
    // To read the tables through is no part of the day.
    keeping.1.database_calls = 0.0;
    vec![
        scaled(Activity::Recording, by_events),
        scaled(Activity::Polling, by_time),
        scaled(Activity::Viewing, by_time),
        delivering,
        scaled(Activity::Maintaining, PART as f64),
        keeping,
    ]
}

/// What destinations without events use in a month, by what for. All of them belong to different organisations.
async fn run_idle() -> [(&'static str, Usage); 3] {
    let tenant = Tenant { events_a_day: 0.0, polls: false, delivers: true };
    let mut annals = Annals::start(&vec![tenant; IDLE.destinations / IDLE_PART]).await;
    let test_bed = annals.test_bed();
    let tally = test_bed.tally.clone();
    let (gigabytes, invocation) = (test_bed.shipper_gigabytes(), |number: f64| Usage {
        items: [
            (Item::Invocation, number),
            (Item::LoggedGigabyte, number * COMPANY.log_bytes_an_invocation / GIGABYTE),
        ]
        .into(),
        database_calls: 0.0,
    });
    let scaled = |activity, times: f64| {
        let mut used = tally.of(activity);
        // The duration is that of the sample; all of them take longer than that, but not as much as they are more.
        used.items.retain(|item, _| !matches!(item, Item::Invocation | Item::GigabyteSecond | Item::LoggedGigabyte));
        let mut usage = Usage::default();
        usage.add(&used, IDLE_PART as f64 * times * DAYS_A_MONTH);
        usage
    };
    let invoked = |usage: &mut Usage, invocations: f64, seconds: f64, times: f64| {
        usage.add(&invocation(invocations), times * DAYS_A_MONTH);
        *usage.items.entry(Item::GigabyteSecond).or_default() += seconds * gigabytes * times * DAYS_A_MONTH;
    };

    annals.test_bed().advance(COMPANY.tick_every);
    tally.begin(Activity::Delivering);
    annals.tick().await;
    let mut planning = scaled(Activity::Delivering, TICKS_A_DAY);
    let (invocations, seconds) = (IDLE.plan_invocations, IDLE.plan.as_secs_f64());
    invoked(&mut planning, invocations, seconds, TICKS_A_DAY);
    // Each invocation but the first has a message: sent, received and deleted.
    let messages = 3.0 * (invocations - 1.0) * TICKS_A_DAY + COMPANY.idle_receives_a_day;
    *planning.items.entry(Item::QueueRequest).or_default() += messages * DAYS_A_MONTH;

    tally.begin(Activity::Maintaining);
    annals.maintain().await;
    let mut maintaining = scaled(Activity::Maintaining, 1.0);
    maintaining.items.remove(&Item::SigningKeyMonth);
    invoked(&mut maintaining, IDLE.maintain_invocations, IDLE.maintain.as_secs_f64(), 1.0);

    annals.test_bed().advance(Duration::from_secs(86_400));
    tally.begin(Activity::Recording);
    annals.tick().await;
    let mut signing = scaled(Activity::Recording, 1.0);
    let batches = IDLE.destinations as f64 / 10.0;
    invoked(&mut signing, batches, batches * COMPANY.durations.ship.as_secs_f64(), 1.0);
    [("planned", planning), ("maintained", maintaining), ("silence signed once a day", signing)]
}

/// Prints what idle destinations cost in a month. Returns the dollars without checkpoints, and with them.
fn report_idle(used: &[(&'static str, Usage)], prices: &Prices) -> (f64, f64) {
    println!("{} idle destinations, dollars a month", IDLE.destinations);
    let (mut without, mut all) = (0.0, 0.0);
    for (number, (what, usage)) in used.iter().enumerate() {
        let of = |item| prices.dollars(item, usage.of(item));
        let ours = || Item::ALL.into_iter().filter(|item| *item != Item::ObjectPut);
        let total: f64 = ours().map(of).sum();
        let largest: Vec<String> =
            ours().filter(|item| of(*item) >= 0.01).map(|item| format!("{item:?} {:.2}", of(item))).collect();
        println!("{what:<34} {total:>14.2} ({})", largest.join(", "));
        if number < 2 {
            without += total;
        }
        all += total;
    }
    println!("{:<34} {without:>14.2}", "total without checkpoints");
    println!("{:<34} {all:>14.2}\n", "total");
    (without, all)
}

/// Dollars for a million events.
struct Bill {
    used: Usage,
    by_item: HashMap<Item, f64>,
    by_activity: Vec<(Activity, f64)>,
}

impl Bill {
    fn new(day: Vec<(Activity, Usage)>, prices: &Prices) -> Self {
        let millions = COMPANY.events_a_day() / 1e6;
        let dollars = |usage: &Usage, item| prices.dollars(item, usage.of(item)) / millions;
        // The customer pays for what is put.
        let ours =
            |usage: &Usage| Item::ALL.map(|item| if item == Item::ObjectPut { 0.0 } else { dollars(usage, item) });
        let mut used = Usage::default();
        day.iter().for_each(|(_, usage)| used.add(usage, 1.0));
        Self {
            by_item: Item::ALL.map(|item| (item, dollars(&used, item))).into(),
            by_activity: day.iter().map(|(activity, usage)| (*activity, ours(usage).iter().sum())).collect(),
            used,
        }
    }

    fn total(&self) -> f64 {
        self.by_activity.iter().map(|(_, dollars)| dollars).sum()
    }

    fn database(&self) -> f64 {
        DATABASE.iter().map(|item| self.by_item[item]).sum()
    }
}

fn main() -> ExitCode {
    let prices = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/prices.toml")).unwrap();
    let prices: Prices = toml::from_str(&prices).unwrap();
    let tenants = COMPANY.sample(PART);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (annals, naive) = runtime.block_on(async {
        let annals = run(Annals::start(&tenants).await, &tenants).await;
        (Bill::new(annals, &prices), Bill::new(run(Naive::start(&tenants).await, &tenants).await, &prices))
    });
    report(&annals, &naive, &prices);
    let (idle, signed) = report_idle(&runtime.block_on(run_idle()), &prices);
    let mut broken = false;
    let mut bound = |what: &str, value: f64, max: f64| {
        if value > max {
            println!("BROKEN: {what}: {value:.3}, must be at most {max}");
            broken = true;
        }
    };
    bound("dollars per million events", annals.total(), BUDGET_DOLLARS);
    bound("dollars a month for idle destinations", idle, BUDGET_OF_IDLE.0);
    bound("dollars a month for idle destinations with checkpoints", signed, BUDGET_OF_IDLE.1);
    bound("of the naive design's dollars", annals.total() / naive.total(), BUDGET_OF_NAIVE.0);
    bound("of the naive design's DynamoDB", annals.database() / naive.database(), BUDGET_OF_NAIVE.1);
    if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn report(annals: &Bill, naive: &Bill, prices: &Prices) {
    println!(
        "{} organisations, {:.0} events a day, kept {} days; {} on {}",
        COMPANY.kinds.iter().map(|kind| kind.organisations).sum::<usize>(),
        COMPANY.events_a_day(),
        COMPANY.retention_days,
        prices.region,
        prices.date,
    );
    println!("\n{:<34} {:>14} {:>14}", "used in a day", "Annals", "naive");
    for item in Item::ALL {
        println!("{:<34} {:>14.1} {:>14.1}", format!("{item:?}"), annals.used.of(item), naive.used.of(item));
    }
    println!("{:<34} {:>14.0} {:>14.0}", "(DynamoDB calls)", annals.used.database_calls, naive.used.database_calls);
    println!("\n{:<34} {:>14} {:>14}", "dollars per million events", "Annals", "naive");
    for item in Item::ALL.into_iter().filter(|item| *item != Item::ObjectPut) {
        println!("{:<34} {:>14.3} {:>14.3}", format!("{item:?}"), annals.by_item[&item], naive.by_item[&item]);
    }
    println!("{:<34} {:>14.3} {:>14.3}", "total", annals.total(), naive.total());
    println!("{:<34} {:>14.3} {:>14.3}", "of it DynamoDB", annals.database(), naive.database());
    for ((activity, annals), (_, naive)) in annals.by_activity.iter().zip(&naive.by_activity) {
        println!("{:<34} {:>14.3} {:>14.3}", format!("of it {activity:?}"), annals, naive);
    }
    let puts = Item::ObjectPut;
    println!("{:<34} {:>14.3} {:>14.3}", "paid by customers: ObjectPut", annals.by_item[&puts], naive.by_item[&puts]);
    println!();
}
