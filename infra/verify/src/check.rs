//! Checks all summaries together: which events are there, whether each line matches the `previousHash` of the next one,
//! and if not, which of the two was changed. Phrases each problem; [`crate::report`] formats them.
//!
//! The checks, each in its own file: `chain` assembles the lines by sequence, `missing` explains what it lacks, `tail`
//! compares its end with the tail and with the state of an earlier run, `signed` compares it with checkpoints, `proven`
//! says which lines are inside a proof, `restored` what a restore of the log explains, `copies` compares events that are in
//! several objects, `order` checks the order of lines within an object. There is no order among objects: keys follow the
//! clocks of several machines.

mod chain;
mod copies;
mod missing;
mod order;
mod proven;
mod restored;
mod signed;
mod tail;

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    rc::Rc,
    sync::Arc,
};

use annals_core::{log::segment::LineHash, organisation::OrganisationId};

use self::{missing::Missing, proven::Point};
use crate::{
    Delivery, Expectation, ObjectKind, content,
    object::{Fault, Gap, Restore, Run, Summary},
    report::{Lost, Problem, ProblemKind, Report, grouped},
    source::{Source, SourceError},
    state::SeenCheckpoint,
    tail::Tail,
    trust::{self, Judgement, Note},
};

/// How many objects' line hashes are cached.
const CACHED_OBJECTS: usize = 4;

/// A delivered object and its summary.
#[derive(Debug)]
pub struct DeliveredObject {
    pub key: String,
    pub kind: ObjectKind,
    pub summary: Summary,
}

/// Checks what was read from `source`.
///
/// # Errors
/// Returns an error if an object must be read again and cannot be.
pub fn check(source: &dyn Source, delivery: &Delivery, expected: &Expectation) -> Result<Report, SourceError> {
    let objects = &delivery.objects;
    let organisation = organisation(delivery, expected);
    let is_own = |run: &&Run| Some(&*run.organisation) == organisation.as_deref();
    let mut runs = Vec::new();
    for (object, delivered) in objects.iter().enumerate() {
        runs.extend(delivered.summary.runs.iter().filter(is_own).map(|run| Place { object, run }));
    }
    runs.sort_by_key(|place| (place.run.first, objects[place.object].kind, place.object, place.run.line));
    let mut runs_by_first: HashMap<u64, Vec<usize>> = HashMap::new();
    for (index, place) in runs.iter().enumerate() {
        runs_by_first.entry(place.run.first).or_default().push(index);
    }
    let gaps = objects.iter().flat_map(|object| &object.summary.gaps);
    let gaps = gaps.filter(|gap| Some(&*gap.organisation) == organisation.as_deref()).cloned().collect();
    let restores = objects.iter().flat_map(|object| &object.summary.restores);
    let restores =
        restores.filter(|restore| Some(&*restore.organisation) == organisation.as_deref()).cloned().collect();
    let notes = delivery.notes.iter().chain(expected.tail.as_ref().and_then(|tail| tail.note.as_deref()));
    let mut judgement = trust::judge(notes, &delivery.entries, expected, organisation.as_deref());
    let mut problems = delivery.foreign_objects.clone();
    problems.append(&mut judgement.problems);
    let mut checker = Checker {
        source,
        objects,
        expected,
        runs,
        runs_by_first,
        gaps,
        restores,
        lost: Vec::new(),
        tail: None,
        notes: std::mem::take(&mut judgement.notes),
        judgement,
        points: BTreeMap::new(),
        chain: Vec::new(),
        missing: Vec::new(),
        problems,
        reported: HashSet::new(),
        replaced: HashMap::new(),
        hashes: VecDeque::new(),
    };
    checker.accept_tail(expected.tail.as_ref(), organisation.as_deref());
    checker.accept_state(organisation.as_deref());
    checker.collect_points();
    checker.assemble()?;
    checker.check_first();
    checker.check_restores()?;
    let behind = checker.compare_with_tail()?;
    checker.compare_with_state()?;
    checker.compare_with_checkpoints()?;
    checker.compare_copies()?;
    for (object, delivered) in objects.iter().enumerate() {
        let (own, foreign): (Vec<&Run>, Vec<&Run>) = delivered.summary.runs.iter().partition(is_own);
        checker.check_order(object, &own);
        for run in foreign {
            let what = match run.last - run.first + 1 {
                1 => format!("the line belongs to another organisation, {}", run.organisation),
                lines => format!("{lines} lines from here on belong to another organisation, {}", run.organisation),
            };
            checker.problems.push(Problem::new(ProblemKind::ForeignLine, what).at(&delivered.key).line(run.line));
        }
    }
    let mut proof = checker.prove()?;
    checker.doubt_underived(&mut proof);
    checker.explain_missing(&proof);
    checker.report_faults();
    Ok(checker.into_report(organisation, behind, proof))
}

/// Returns the organisation whose log was delivered: as expected, or of the state or the tail, or else the one with the most
/// lines, or without lines with the most checkpoints.
fn organisation(delivery: &Delivery, expected: &Expectation) -> Option<String> {
    let tail = expected.tail.as_ref();
    let stated = expected.organisation.as_ref().or(expected.state.as_ref().map(|state| &state.organisation));
    if let Some(organisation) = stated.or(tail.and_then(|tail| tail.organisation.as_ref())) {
        return Some(organisation.to_string());
    }
    let mut lines: BTreeMap<Arc<str>, (u64, u64)> = BTreeMap::new();
    for run in delivery.objects.iter().flat_map(|object| &object.summary.runs) {
        lines.entry(Arc::clone(&run.organisation)).or_default().0 += run.last - run.first + 1;
    }
    for checkpoint in delivery.notes.iter().filter_map(Note::checkpoint) {
        lines.entry(checkpoint.organisation.as_str().into()).or_default().1 += 1;
    }
    let tail_id = tail.and_then(|tail| tail.id);
    let is_of_tail = |organisation: &str| {
        let organisation = organisation.parse::<OrganisationId>().ok();
        tail_id.is_some_and(|id| organisation.is_some_and(|organisation| id.is_of(&organisation)))
    };
    let best = lines.into_iter().max_by_key(|(organisation, lines)| (is_of_tail(organisation), *lines));
    best.map(|(organisation, _)| organisation.to_string())
}

/// A run, and the index of its object.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    object: usize,
    run: &'a Run,
}

/// A part of the assembled chain: a run from sequence `from` to its end.
#[derive(Debug, Clone, Copy)]
struct Piece {
    /// The index of the run.
    run: usize,
    from: u64,
    joint: Joint,
}

/// Whether the first line of a piece matches the line before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joint {
    Fits,
    Breaks,
}

struct Checker<'a> {
    source: &'a dyn Source,
    objects: &'a [DeliveredObject],
    expected: &'a Expectation,
    /// The organisation's runs, by their first sequence.
    runs: Vec<Place<'a>>,
    runs_by_first: HashMap<u64, Vec<usize>>,
    gaps: Vec<Gap>,
    restores: Vec<Restore>,
    /// What restores lost.
    lost: Vec<Lost>,
    tail: Option<Tail>,
    judgement: Judgement<'a>,
    /// The hashes of lines that the caller or trusted checkpoints state, by sequence.
    points: BTreeMap<u64, Point>,
    /// The assembled chain, by sequence, without overlaps.
    chain: Vec<Piece>,
    /// What the chain lacks.
    missing: Vec<Missing>,
    problems: Vec<Problem>,
    notes: Vec<String>,
    /// The lines, by object and number, that a problem was reported for.
    reported: HashSet<(usize, u64)>,
    /// The invalid lines, by object and number, that take the place of these sequences.
    replaced: HashMap<(usize, u64), u64>,
    hashes: VecDeque<(usize, Rc<Vec<LineHash>>)>,
}

impl<'a> Checker<'a> {
    fn key(&self, object: usize) -> &'a str {
        &self.objects[object].key
    }

    /// Returns `line 3 of KEY`.
    fn location(&self, run: usize, sequence: u64) -> String {
        let Place { object, run } = self.runs[run];
        format!("line {} of {}", run.line_of(sequence), self.key(object))
    }

    fn hash_at(&mut self, run: usize, sequence: u64) -> Result<Option<LineHash>, SourceError> {
        let Place { object, run } = self.runs[run];
        if sequence == run.last {
            return Ok(Some(run.hash));
        }
        let cached = self.hashes.iter().find(|(cached, _)| *cached == object).map(|(_, hashes)| Rc::clone(hashes));
        let hashes = match cached {
            Some(hashes) => hashes,
            None => {
                let hashes = Rc::new(content::hashes(self.source, self.key(object))?);
                self.hashes.truncate(CACHED_OBJECTS - 1);
                self.hashes.push_front((object, Rc::clone(&hashes)));
                hashes
            }
        };
        let index = usize::try_from(run.line_of(sequence) - 1).unwrap_or(usize::MAX);
        Ok(hashes.get(index).copied())
    }

    /// Returns the piece of the chain that contains a sequence.
    fn piece_at(&self, sequence: u64) -> Option<Piece> {
        let index = self.chain.partition_point(|piece| piece.from <= sequence).checked_sub(1)?;
        let piece = self.chain[index];
        (self.runs[piece.run].run.last >= sequence).then_some(piece)
    }

    fn chain_hash_at(&mut self, sequence: u64) -> Result<Option<LineHash>, SourceError> {
        match self.piece_at(sequence) {
            Some(piece) => self.hash_at(piece.run, sequence),
            None => Ok(None),
        }
    }

    /// Returns the index of the run that ends the chain, and the run.
    fn end(&self) -> Option<(usize, &'a Run)> {
        self.chain.last().map(|piece| (piece.run, self.runs[piece.run].run))
    }

    /// Reports a delivery that ends before the beginning that the caller asks about.
    fn check_first(&mut self) {
        let (Some(first), Some((_, end))) = (self.expected.first, self.end()) else { return };
        if end.last + 1 < first {
            let what = format!("the delivery ends with sequence {}, before the stated beginning", grouped(end.last));
            self.problems.push(Problem::new(ProblemKind::Missing, what).sequences(first, first));
        }
    }

    /// Reports a problem with a line, unless one was reported before.
    fn report_line(&mut self, kind: ProblemKind, run: usize, sequence: u64, what: &str) {
        let Place { object, run } = self.runs[run];
        let line = run.line_of(sequence);
        if self.reported.insert((object, line)) {
            let problem = Problem::new(kind, what).at(self.key(object)).line(line);
            self.problems.push(problem.sequences(sequence, sequence));
        }
    }

    fn report_faults(&mut self) {
        for (object, delivered) in self.objects.iter().enumerate() {
            for (line, fault) in &delivered.summary.faults {
                let replaced = self.replaced.get(&(object, *line));
                let (kind, what) = match fault {
                    Fault::InvalidLine(error) if replaced.is_some() => (ProblemKind::Changed, error.to_string()),
                    Fault::InvalidLine(error) => (ProblemKind::ForeignLine, error.to_string()),
                    Fault::NoNewline => (ProblemKind::Truncated, "the newline at the end is missing".into()),
                    Fault::HalfLine => (ProblemKind::Truncated, "the object ends in the middle of this line".into()),
                    Fault::BrokenGzip(reason) => {
                        let what = format!("the compressed content is damaged after this line ({reason})");
                        (ProblemKind::Truncated, what)
                    }
                    Fault::Empty => (ProblemKind::EmptyObject, "the object has no lines".into()),
                    Fault::GaveUp => {
                        (ProblemKind::Changed, "too many errors: the lines after this one were not checked".into())
                    }
                };
                let problem = Problem::new(kind, what).at(&delivered.key);
                let problem = if *line > 0 { problem.line(*line) } else { problem };
                self.problems.push(match replaced {
                    Some(sequence) => problem.sequences(*sequence, *sequence),
                    None => problem,
                });
            }
        }
    }

    fn into_report(mut self, organisation: Option<String>, behind: u64, proof: proven::Proof) -> Report {
        let length = |piece: &Piece| self.runs[piece.run].run.last - piece.from + 1;
        let events: u64 = self.chain.iter().map(length).sum();
        let first = self.chain.first().map(|piece| piece.from);
        let end = self.end().map(|(_, run)| run);
        if let Some(first) = first.filter(|_| !proof.is_beginning_known) {
            let note = format!(
                "the delivery begins with sequence {}; if that is what you expect, confirm it with --first {first}",
                grouped(first)
            );
            self.notes.insert(0, note);
        }
        // The next run finds the checkpoints of destinations again, but perhaps not the one that was supplied as the tail.
        let delivered = self.judgement.links.iter().rfind(|link| link.checkpoint.delivered.is_some());
        let newest = delivered.or(self.judgement.newest()).filter(|_| self.judgement.confirms);
        let checkpoint = newest.map(|link| SeenCheckpoint {
            time: link.checkpoint.time,
            sequence: link.checkpoint.last,
            sha256: hex::encode(link.note.sha256),
            destination: link.checkpoint.delivered.as_ref().map(|delivered| delivered.destination.to_string()),
        });
        Report {
            organisation,
            objects: self.objects.len() as u64,
            lines: self.objects.iter().map(|object| object.summary.lines).sum(),
            events,
            first_sequence: first,
            last_sequence: end.map(|run| run.last),
            last_hash: end.map(|run| run.hash.to_string()),
            tail_sequence: self.expected.tail.as_ref().map(|tail| tail.sequence),
            behind,
            checkpoints: self.judgement.links.len() as u64,
            newest_checkpoint: checkpoint,
            signers: self.judgement.signers,
            is_proven_empty: proof.is_empty,
            proven: proof.proven,
            as_of: proof.as_of,
            unconfirmed: proof.unconfirmed,
            lost: self.lost,
            problems: self.problems,
            notes: self.notes,
            ..Report::default()
        }
        .conclude()
    }
}
