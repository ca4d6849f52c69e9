//! Thousands of attacks on signed deliveries, by those who know how lines, ids and checkpoints are made. Whoever has the
//! public key finds each one; without it nothing is called proven.
//!
//! The expected result follows from what an attack leaves behind, never from the verdict: unless exactly the original lines
//! and checkpoints are there, the delivery must not be proven, and what the report does call proven must be the original
//! lines, from the first one on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use annals_core::{
    destination::KeyLayout,
    log::segment::LineHash,
    proof::checkpoint::{Checkpoint, FOLDER},
};
use annals_tests::entropy::SeededEntropy;
use annals_verify::{
    AsOf,
    keys::Keys,
    report::{Report, Verdict},
};

use super::{
    delivery::{Delivery, Plan, invented, rewritten, sequence},
    signing::{Chain, NAME, Signer, entry},
};

const ATTACKS_OF_EACH: usize = 700;
const SEED: u64 = 20_261_129;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Adversary {
    /// Recomputes every hash and id.
    Rewriter,
    /// Also deletes objects and checkpoints.
    Deleter,
    /// Also puts older checkpoints in the place of newer ones.
    Replayer,
    /// Also has the checkpoints of another organisation and of another deployment, and a key of their own.
    Stranger,
    /// Also has the previous key.
    PastKeyHolder,
}

use Adversary as A;

const ALL: [Adversary; 5] = [A::Rewriter, A::Deleter, A::Replayer, A::Stranger, A::PastKeyHolder];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Move {
    EditLine,
    RemoveLine,
    InsertLine,
    InventEnd,
    DropObjects,
    DropCheckpoints,
    CutEnd,
    CutBeginning,
    ReplayCheckpoint,
    ReplaceByForeignCheckpoint,
    AddForeignCheckpoint,
    SignWithOwnKey,
    SignWithPastKey,
    SignAllWithPastKey,
    BeginDestinationWithPastKey,
}

use Move as M;

impl Adversary {
    fn moves(self) -> Vec<Move> {
        let mut moves = vec![M::EditLine, M::RemoveLine, M::InsertLine, M::InventEnd, M::SignWithOwnKey];
        if self >= A::Deleter {
            moves.extend([M::DropObjects, M::DropCheckpoints, M::CutEnd, M::CutBeginning]);
        }
        match self {
            A::Replayer => moves.extend([M::ReplayCheckpoint; 4]),
            A::Stranger => moves.extend([M::ReplaceByForeignCheckpoint, M::AddForeignCheckpoint].repeat(3)),
            A::PastKeyHolder => {
                moves.extend([M::SignWithPastKey, M::SignAllWithPastKey, M::BeginDestinationWithPastKey].repeat(3))
            }
            A::Rewriter | A::Deleter => {}
        }
        moves
    }
}

/// A delivery under attack.
struct Attack<'a> {
    delivery: Delivery,
    dice: Arc<SeededEntropy>,
    past: &'a Signer,
    foreign: &'a [Vec<u8>],
}

impl Attack<'_> {
    fn lines(&self) -> Vec<String> {
        self.delivery.data_keys().iter().flat_map(|key| self.delivery.lines(key)).collect()
    }

    /// Makes a move. Moves that are impossible after earlier ones do nothing.
    fn apply(&mut self, attack: Move) {
        let dice = Arc::clone(&self.dice);
        let (data, checkpoints) = (self.delivery.data_keys(), self.delivery.checkpoint_keys());
        match attack {
            M::EditLine => self.rewrite(|lines, at| lines[at] = lines[at].replacen("Ada", "Eve", 1)),
            M::RemoveLine => self.rewrite(|lines, at| drop(lines.remove(at))),
            M::InsertLine => self.rewrite(|lines, at| lines.insert(at, lines[at].replacen("Ada", "Eve", 1))),
            M::InventEnd => {
                let Some(mut last) = self.lines().pop() else { return };
                let later = *dice.pick(&[Duration::from_secs(1), Duration::from_secs(9 * 86_400)]);
                for number in 0..dice.between(1, 3) as usize {
                    let next = invented(&last, later);
                    match data.last().filter(|_| dice.happens(0.5)) {
                        Some(key) => {
                            let mut lines = self.delivery.lines(key);
                            lines.push(next.clone());
                            self.delivery.put(key, &lines);
                        }
                        None => drop(self.delivery.add(number, None, std::slice::from_ref(&next))),
                    }
                    last = next;
                }
            }
            M::DropObjects | M::DropCheckpoints => {
                let keys = if attack == M::DropObjects { &data } else { &checkpoints };
                if !keys.is_empty() {
                    let from = dice.below(keys.len());
                    let to = from + 1 + dice.below(keys.len() - from);
                    keys[from..to].iter().for_each(|key| drop(self.delivery.objects.remove(key)));
                }
            }
            M::CutEnd | M::CutBeginning => {
                if checkpoints.is_empty() {
                    return;
                }
                let at = dice.below(checkpoints.len());
                let last = self.delivery.checkpoint(&checkpoints[at]).last;
                let (gone, is_gone): (&[String], &dyn Fn(u64) -> bool) = match attack {
                    M::CutEnd => (&checkpoints[at + 1..], &|first| first > last),
                    _ => (&checkpoints[..=at], &|first| first <= last),
                };
                let gone_data = data.iter().filter(|key| is_gone(sequence(&self.delivery.lines(key)[0])));
                let gone: Vec<String> = gone.iter().chain(gone_data).cloned().collect();
                gone.iter().for_each(|key| drop(self.delivery.objects.remove(key)));
            }
            M::ReplayCheckpoint => {
                if checkpoints.len() < 2 {
                    return;
                }
                let at = dice.below(checkpoints.len() - 1);
                let older = self.delivery.objects[&checkpoints[at]].clone();
                let target = &checkpoints[at + 1 + dice.below(checkpoints.len() - at - 1)];
                let target = if dice.happens(0.7) { target.clone() } else { format!("{FOLDER}replayed.checkpoint") };
                self.delivery.objects.insert(target, older);
            }
            M::ReplaceByForeignCheckpoint | M::AddForeignCheckpoint => {
                let foreign = dice.pick(self.foreign).clone();
                let key = match checkpoints.is_empty() || attack == M::AddForeignCheckpoint {
                    true => format!("{FOLDER}foreign{}.checkpoint", dice.below(9)),
                    false => dice.pick(&checkpoints).clone(),
                };
                self.delivery.objects.insert(key, foreign);
            }
            M::SignWithOwnKey => self.sign(&Signer::new(NAME, 99), &checkpoints),
            M::SignWithPastKey => self.sign(&self.past.clone(), &checkpoints),
            M::SignAllWithPastKey => self.sign_all("00000000000d", &data),
            M::BeginDestinationWithPastKey => self.sign_all("00000000000e", &data),
        }
    }

    /// Changes the lines at a random place, and recomputes everything behind it. The lines stay in their objects.
    fn rewrite(&mut self, change: impl FnOnce(&mut Vec<String>, usize)) {
        let mut lines = self.lines();
        if lines.is_empty() {
            return;
        }
        let (first, at) = (sequence(&lines[0]), self.dice.below(lines.len()));
        let mut hash = if at == 0 { LineHash::ORIGIN } else { LineHash::of(&lines[at - 1]) };
        change(&mut lines, at);
        for (line, number) in lines.iter_mut().zip(first..).skip(at) {
            *line = rewritten(line, number, &hash, "", "");
            hash = LineHash::of(line);
        }
        let keys = self.delivery.data_keys();
        let mut rest = lines.as_slice();
        for (number, key) in keys.iter().enumerate() {
            let own = self.delivery.lines(key).len().min(rest.len());
            let own = if number + 1 == keys.len() { rest.len() } else { own };
            let (some, others) = rest.split_at(own);
            rest = others;
            if some.is_empty() {
                self.delivery.objects.remove(key);
            } else {
                self.delivery.put(key, some);
            }
        }
    }

    /// Makes a random checkpoint, and those after it, match the lines that are there, and signs them.
    fn sign(&mut self, signer: &Signer, checkpoints: &[String]) {
        if checkpoints.is_empty() {
            return;
        }
        let at = self.dice.below(checkpoints.len());
        let lines = self.lines();
        let mut previous = None;
        for key in &checkpoints[at..] {
            let mut checkpoint = self.matching(key, &lines);
            if let (Some(previous), Some(delivered)) = (previous, &mut checkpoint.delivered) {
                delivered.previous = Some(previous);
            }
            let note = signer.note(&checkpoint);
            previous = Some(<sha2::Sha256 as sha2::Digest>::digest(&note).into());
            self.delivery.objects.insert(key.clone(), note);
        }
    }

    fn matching(&self, key: &str, lines: &[String]) -> Checkpoint {
        let mut checkpoint = self.delivery.checkpoint(key);
        if let Some(line) = lines.iter().find(|line| sequence(line) == checkpoint.last).or(lines.last()) {
            (checkpoint.last, checkpoint.hash) = (sequence(line), LineHash::of(line));
        }
        checkpoint
    }

    /// Signs a new chain of a destination with the past key, up to the present.
    fn sign_all(&mut self, destination: &'static str, data: &[String]) {
        let Some(first) = data.first().map(|key| sequence(&self.delivery.lines(key)[0])) else { return };
        let mut chain = Chain { destination, ..Chain::new(self.past, first) };
        if self.dice.happens(0.5) {
            self.delivery.objects.retain(|key, _| !key.contains(FOLDER));
        }
        for key in data {
            chain.cover(&mut self.delivery, key);
        }
        if let Some(last) = self.lines().pop() {
            chain.idle(&mut self.delivery, &last);
        }
    }
}

/// Returns the lines that are there, by sequence, and the checkpoints.
fn contents(delivery: &Delivery) -> (BTreeMap<u64, BTreeSet<String>>, BTreeSet<Vec<u8>>) {
    let mut lines: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for line in delivery.data_keys().iter().flat_map(|key| delivery.lines(key)) {
        lines.entry(sequence(&line)).or_default().insert(line);
    }
    let notes = delivery.objects.iter().filter(|(key, _)| key.contains(FOLDER));
    (lines, notes.map(|(_, note)| note.clone()).collect())
}

/// Returns a signed delivery whose key was changed in the middle, and that was idle on the last day.
async fn deliver(seed: u64, past: &Signer, current: &Signer, compress: Option<usize>) -> Delivery {
    let plan = Plan { seed, segments: 10, compress, layout: KeyLayout::Wiremock, expired: 0 };
    let mut delivery = plan.deliver().await;
    let keys = delivery.data_keys();
    let mut chain = Chain::new(past, 1);
    for (number, key) in keys.iter().enumerate() {
        if number == keys.len() / 2 {
            chain.next_key = Some(current.verifier.clone());
        }
        chain.cover(&mut delivery, key);
        if number == keys.len() / 2 {
            chain.signer = current.clone();
        }
    }
    let last = delivery.lines(keys.last().unwrap()).pop().unwrap();
    chain.idle(&mut delivery, &last);
    // Then the checkpoints of the day before are too old.
    delivery.expected.as_of = Some(AsOf::Now(chain.time.plus(Duration::from_secs(3 * 3600))));
    delivery.expected.keys = current.keys_after(past, None);
    (delivery.expected.tail, delivery.expected.first) = (None, None);
    delivery
}

fn assert_sound(
    report: &Report,
    left: &BTreeMap<u64, BTreeSet<String>>,
    original: &BTreeMap<u64, BTreeSet<String>>,
    what: &str,
) {
    for proven in &report.proven {
        assert_eq!(proven.first_sequence, *original.first_key_value().unwrap().0, "{what}");
        for sequence in proven.first_sequence..=proven.last_sequence {
            assert_eq!(left.get(&sequence), original.get(&sequence), "sequence {sequence}: {what}");
        }
    }
}

#[tokio::test]
async fn with_the_public_key_every_attack_is_found_and_without_it_nothing_is_called_proven() {
    let seed = std::env::var("ANNALS_VERIFY_SEED").map_or(SEED, |seed| seed.parse().unwrap());
    println!("ANNALS_VERIFY_SEED={seed}");
    let dice = SeededEntropy::new(seed);
    let (past, current) = (Signer::new(NAME, 1), Signer::new(NAME, 2));
    let mut deliveries = Vec::new();
    for compress in [None, Some(2)] {
        let delivery = deliver(dice.next(), &past, &current, compress).await;
        let report = delivery.check();
        assert_eq!(report.verdict, Verdict::Proven, "{}", report.to_text(9));
        deliveries.push(delivery);
    }
    // The same operator's checkpoints of another organisation, and another operator's of an organisation of the same name.
    let mut foreign = Vec::new();
    for (organisation, signer) in [
        ("umbrella", current.clone()),
        ("umbrella", past.clone()),
        ("acme", Signer::new("other.example.com", 3)),
        ("acme", Signer::new(NAME, 3)),
    ] {
        let delivery = &deliveries[0];
        let key = delivery.data_keys()[0].clone();
        let mut chain = Chain { organisation, ..Chain::new(&signer, 1) };
        chain.time = chain.time.plus(Duration::from_secs(86_400));
        let checkpoint = chain.checkpoint(3, LineHash([7; 32]), 3, vec![entry(delivery, &key)]);
        foreign.push(signer.note(&checkpoint));
    }
    let (mut found, mut consistent) = (BTreeMap::<Adversary, usize>::new(), 0);
    for adversary in ALL {
        let moves = adversary.moves();
        let mut done = 0;
        while done < ATTACKS_OF_EACH {
            let state = dice.next();
            let dice = SeededEntropy::new(state);
            let original = dice.pick(&deliveries);
            let (lines, notes) = contents(original);
            let mut attack =
                Attack { delivery: original.clone(), dice: Arc::clone(&dice), past: &past, foreign: &foreign };
            let chosen: Vec<Move> = (0..dice.between(1, 3)).map(|_| *dice.pick(&moves)).collect();
            chosen.iter().for_each(|one| attack.apply(*one));
            let delivery = attack.delivery;
            let (left, left_notes) = contents(&delivery);
            if (&left, &left_notes) == (&lines, &notes) || delivery.objects.is_empty() {
                continue;
            }
            done += 1;
            let report = delivery.check();
            let what = format!("{adversary:?} {chosen:?} ({state})\n{}", report.to_text(99));
            if report.verdict == Verdict::Proven {
                // A destination that ended before the keys were changed looks the same. It confirms nothing, and is noted.
                assert!(left == lines && left_notes.is_superset(&notes), "{what}");
                assert!(report.notes.iter().any(|note| note.contains("so they confirm nothing")), "{what}");
            }
            assert_sound(&report, &left, &lines, &what);
            if report.verdict == Verdict::Consistent {
                // Only what nothing confirms is left out.
                assert!(!report.unconfirmed.is_empty(), "{what}");
                consistent += 1;
            }
            *found.entry(adversary).or_default() += 1;
            let mut without = delivery;
            without.expected.keys = Keys::default();
            assert_ne!(without.check().verdict, Verdict::Proven, "without the key: {what}");
        }
    }
    println!("{found:?}, of them {consistent} with lines that are reported as unconfirmed");
    assert!(consistent > 0 && consistent < ATTACKS_OF_EACH, "{consistent}");
}
