//! When things happen in a week of the demo company: office hours, bursts of deploys and imports, quiet nights.

use serde_json::{Map, Value};

use super::{
    company::{Company, Task},
    script::{Routine, SCRIPT},
};

const HOUR_MILLIS: u64 = 3_600_000;

/// Returns all tasks of the week, in chronological order.
pub(super) fn plan(company: &mut Company) -> Vec<Task> {
    let mut tasks = Vec::new();
    for routine in &SCRIPT.routines {
        for (day, hour) in routine.days.iter().flat_map(|day| routine.hours.iter().map(move |hour| (day, hour))) {
            for _ in 0..company.random.between(routine.runs) {
                let mut actors: Vec<Option<String>> = company.ids(&routine.who).into_iter().map(Some).collect();
                if routine.who.is_empty() {
                    actors.push(None);
                } else if !routine.everyone {
                    actors = vec![company.random.pick(&actors).clone()];
                }
                for actor in actors {
                    run(company, routine, actor, (day * 24 + hour) * HOUR_MILLIS, &mut tasks);
                }
            }
        }
    }
    tasks.sort_by_key(|task| task.at_millis);
    tasks
}

/// Plans one run of a routine, from `at_millis` in the week.
fn run(company: &mut Company, routine: &Routine, actor: Option<String>, at_millis: u64, tasks: &mut Vec<Task>) {
    let mut at_millis = at_millis + company.random.between((0, (routine.spread * HOUR_MILLIS as f64) as u64));
    let fields = routine.event.iter().map(|(name, value)| (name.clone(), company.random.fill(value, &Map::new())));
    let event: Map<String, Value> = fields.collect();
    let parents = routine.within.iter().cloned().collect::<Vec<_>>();
    let parent = (!parents.is_empty()).then(|| {
        let ids = company.ids(&parents);
        company.random.pick(&ids).clone()
    });
    for step in &routine.steps {
        at_millis += company.random.between(millis(step.wait));
        for _ in 0..company.random.between(step.times) {
            let deed = match step.deed.as_str() {
                "desk" => company.random.weighted(SCRIPT.deeds.values().map(|deed| (deed.weight, deed))),
                name => SCRIPT.deeds.get(name),
            };
            let Some(deed) = deed else { continue };
            let has_parent =
                deed.to.iter().any(|kind| SCRIPT.kinds[kind].parents.iter().any(|kind| parents.contains(kind)));
            let parent = parent.clone().filter(|_| has_parent);
            tasks.push(Task { at_millis, actor: actor.clone(), deed, parent, event: event.clone() });
            at_millis += company.random.between(millis(step.gap));
        }
    }
}

fn millis((from, to): (f64, f64)) -> (u64, u64) {
    ((from * 1000.0) as u64, (to * 1000.0) as u64)
}
