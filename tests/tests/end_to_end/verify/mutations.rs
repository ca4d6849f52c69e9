//! Thousands of random mutations of deliveries: the verifier finds each harmful one, and reports nothing for the harmless
//! ones. The expected result follows from how a mutation is made, never from the verdict.

use std::{collections::BTreeMap, sync::Arc};

use annals_core::{destination::KeyLayout, log::segment::LineHash};
use annals_tests::entropy::SeededEntropy;
use annals_verify::report::{ProblemKind, Verdict};

use super::delivery::{self, Delivery, Plan, content, decode, encode, is_compressed, lines, rewritten, sequence};

const MUTATIONS: usize = 4_000;
const SEED: u64 = 20_261_123;

/// The effect of a mutation.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Effect {
    /// The lines differ from the delivered ones, are in another order, or are incomplete.
    Harm,
    /// One line is changed, and nothing else.
    Change { key: String, line: u64 },
    /// One line within an object is missing, and nothing else.
    Loss { sequence: u64 },
    /// All lines are unchanged and in order; only their objects or compression differ.
    Rewrap,
    /// The mutation could not be made.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mutation {
    FlipByte,
    InsertByte,
    DeleteByte,
    FlipCompressedByte,
    CutObject,
    CutContent,
    DeleteLines,
    DeleteInnerLine,
    RepeatLine,
    CopyLineElsewhere,
    SwapLines,
    MoveLine,
    MoveLineElsewhere,
    EditBody,
    EditPreviousHash,
    EditLastLine,
    ForgeOneLine,
    ForgeSuffix,
    ForgeStretch,
    CloseRanksAfterRemoval,
    LineOfAnotherLog,
    DropObject,
    DropLastObjects,
    DropLastLines,
    EmptyObject,
    AddForeign,
    CarriageReturns,
    ChangedCopy,
    AppendForged,
    Concatenate,
    SplitWithinLine,
    // Mutations that leave the lines as they are.
    RenameForeign,
    Rename,
    Copy,
    CopyStretch,
    ConcatenateNeighbours,
    SplitBetweenLines,
    Recompress,
    MoveBoundary,
}

use Mutation as M;

const ALL: [Mutation; 39] = [
    M::FlipByte,
    M::InsertByte,
    M::DeleteByte,
    M::FlipCompressedByte,
    M::CutObject,
    M::CutContent,
    M::DeleteLines,
    M::DeleteInnerLine,
    M::RepeatLine,
    M::CopyLineElsewhere,
    M::SwapLines,
    M::MoveLine,
    M::MoveLineElsewhere,
    M::EditBody,
    M::EditPreviousHash,
    M::EditLastLine,
    M::ForgeOneLine,
    M::ForgeSuffix,
    M::ForgeStretch,
    M::CloseRanksAfterRemoval,
    M::LineOfAnotherLog,
    M::DropObject,
    M::DropLastObjects,
    M::DropLastLines,
    M::EmptyObject,
    M::RenameForeign,
    M::AddForeign,
    M::CarriageReturns,
    M::ChangedCopy,
    M::AppendForged,
    M::Concatenate,
    M::SplitWithinLine,
    M::Rename,
    M::Copy,
    M::CopyStretch,
    M::ConcatenateNeighbours,
    M::SplitBetweenLines,
    M::Recompress,
    M::MoveBoundary,
];

/// A delivery, and what its mutation draws from.
struct Tampering<'a> {
    delivery: Delivery,
    other: &'a [String],
    dice: Arc<SeededEntropy>,
    keys: Vec<String>,
}

impl Tampering<'_> {
    /// Applies a mutation. Returns its effect.
    fn apply(&mut self, mutation: Mutation) -> Effect {
        let dice = Arc::clone(&self.dice);
        let at = dice.below(self.keys.len());
        let key = self.keys[at].clone();
        let all = self.delivery.lines(&key);
        let mut own = all.clone();
        let picked = dice.below(own.len());
        match mutation {
            M::FlipByte | M::InsertByte | M::DeleteByte => {
                let mut bytes = content(&own);
                let place = dice.below(bytes.len());
                let byte = (dice.next() % 255 + 1) as u8;
                match mutation {
                    M::FlipByte => bytes[place] ^= byte,
                    M::InsertByte => bytes.insert(place, byte),
                    _ => drop(bytes.remove(place)),
                }
                self.delivery.put_content(&key, &bytes);
                Effect::Harm
            }
            M::FlipCompressedByte => {
                let object = self.delivery.objects.get_mut(&key).unwrap();
                if !is_compressed(object) {
                    return Effect::Nothing;
                }
                let before = decode(object);
                let place = dice.below(object.len());
                object[place] ^= 1 << dice.below(8);
                // The time stamp in the header and the padding of the last byte are not content.
                if decode(object) == before { Effect::Rewrap } else { Effect::Harm }
            }
            M::CutObject => {
                let object = self.delivery.objects.get_mut(&key).unwrap();
                object.truncate(dice.below(object.len()));
                Effect::Harm
            }
            M::CutContent => {
                let bytes = content(&own);
                self.delivery.put_content(&key, &bytes[..dice.below(bytes.len())]);
                Effect::Harm
            }
            M::DeleteLines => {
                own.drain(picked..picked + 1 + dice.below(own.len() - picked));
                self.delivery.put(&key, &own);
                Effect::Harm
            }
            M::DeleteInnerLine => {
                if picked == 0 || picked + 1 == own.len() {
                    return Effect::Nothing;
                }
                let sequence = sequence(&own.remove(picked));
                self.delivery.put(&key, &own);
                Effect::Loss { sequence }
            }
            M::RepeatLine => {
                own.insert(dice.below(own.len() + 1), all[picked].clone());
                self.delivery.put(&key, &own);
                Effect::Harm
            }
            M::CopyLineElsewhere | M::MoveLineElsewhere => {
                let target = dice.below(self.keys.len());
                let mut others = self.delivery.lines(&self.keys[target]);
                let place = dice.below(others.len() + 1);
                // A line next to its neighbour only moves the boundary between two objects.
                let is_boundary = place == 0 && sequence(&all[picked]) + 1 == sequence(&others[0])
                    || place == others.len() && sequence(&all[picked]) == sequence(&others[place - 1]) + 1;
                if target == at || is_boundary {
                    return Effect::Nothing;
                }
                others.insert(place, all[picked].clone());
                self.delivery.put(&self.keys[target].clone(), &others);
                if mutation == M::MoveLineElsewhere {
                    own.remove(picked);
                    self.delivery.put(&key, &own);
                }
                Effect::Harm
            }
            M::SwapLines => {
                let target = dice.below(self.keys.len());
                let mut others = self.delivery.lines(&self.keys[target]);
                let place = dice.below(others.len());
                if target == at && place == picked || own.len() == 1 && others.len() == 1 {
                    return Effect::Nothing;
                }
                if target == at {
                    own.swap(picked, place);
                } else {
                    std::mem::swap(&mut own[picked], &mut others[place]);
                    self.delivery.put(&self.keys[target].clone(), &others);
                }
                self.delivery.put(&key, &own);
                Effect::Harm
            }
            M::MoveLine => {
                let line = own.remove(picked);
                let place = dice.below(own.len() + 1);
                own.insert(place, line);
                if place == picked {
                    return Effect::Nothing;
                }
                self.delivery.put(&key, &own);
                Effect::Harm
            }
            M::EditBody => {
                own[picked] = own[picked].replacen("Payments", "Payrolls", 1);
                self.delivery.put(&key, &own);
                Effect::Change { key, line: picked as u64 + 1 }
            }
            M::EditPreviousHash => {
                let start = own[picked].find(r#""previousHash":""#).unwrap() + 16 + dice.below(64);
                let digit = if &own[picked][start..=start] == "0" { "1" } else { "0" };
                own[picked].replace_range(start..=start, digit);
                self.delivery.put(&key, &own);
                Effect::Change { key, line: picked as u64 + 1 }
            }
            M::EditLastLine => {
                let key = self.keys.last().unwrap().clone();
                let mut own = self.delivery.lines(&key);
                let last = own.last_mut().unwrap();
                *last = last.replacen(*dice.pick(&["Ada", "Payments", "UPDATE", "ballast"]), "X", 1);
                let line = own.len() as u64;
                self.delivery.put(&key, &own);
                Effect::Change { key, line }
            }
            M::ForgeOneLine => {
                let previous = previous(&own[picked]);
                own[picked] = rewritten(&own[picked], sequence(&own[picked]), &previous, "Ada", "Eve");
                self.delivery.put(&key, &own);
                Effect::Change { key, line: picked as u64 + 1 }
            }
            M::ForgeSuffix => self.forge(&all[picked], u64::MAX),
            M::ForgeStretch => self.forge(&all[picked], sequence(&all[picked]) + dice.between(1, 3)),
            M::CloseRanksAfterRemoval => self.close_ranks(&all[picked]),
            M::LineOfAnotherLog => {
                let sequence = sequence(&own[picked]);
                let other = self.other.iter().find(|line| delivery::sequence(line) == sequence);
                own[picked] = other.unwrap_or(&self.other[0]).clone();
                self.delivery.put(&key, &own);
                Effect::Harm
            }
            M::DropObject => {
                self.delivery.objects.remove(&key);
                Effect::Harm
            }
            M::DropLastObjects => {
                for key in &self.keys[at..] {
                    self.delivery.objects.remove(key);
                }
                Effect::Harm
            }
            M::DropLastLines => {
                let key = self.keys.last().unwrap().clone();
                let own = self.delivery.lines(&key);
                self.delivery.put(&key, &own[..dice.below(own.len())]);
                Effect::Harm
            }
            M::EmptyObject => {
                self.delivery.put(&key, &[]);
                Effect::Harm
            }
            M::RenameForeign => {
                let object = self.delivery.objects.remove(&key).unwrap();
                self.delivery.objects.insert(key.replace(".json", ".txt"), object);
                Effect::Rewrap
            }
            M::AddForeign => {
                self.delivery.objects.insert("notes.txt".into(), b"hello".to_vec());
                Effect::Harm
            }
            M::CarriageReturns => {
                let text = String::from_utf8(content(&own)).unwrap().replace('\n', "\r\n");
                self.delivery.put_content(&key, text.as_bytes());
                Effect::Harm
            }
            M::ChangedCopy => {
                own[picked] = own[picked].replacen("Ada", "Eve", 1);
                self.delivery.add(1, *dice.pick(&[None, Some("7")]), &own);
                Effect::Harm
            }
            M::AppendForged => {
                let last = self.delivery.lines(self.keys.last().unwrap()).pop().unwrap();
                let number = sequence(&last) + 1;
                let forged = rewritten(&last, number, &LineHash::of(&last), "Ada", "Eve");
                let target =
                    if dice.happens(0.5) { self.keys.last().unwrap().clone() } else { self.delivery.add(1, None, &[]) };
                let mut lines = self.delivery.lines(&target);
                lines.push(forged);
                self.delivery.put(&target, &lines);
                Effect::Harm
            }
            M::Concatenate | M::ConcatenateNeighbours => {
                let target = if mutation == M::Concatenate { dice.below(self.keys.len()) } else { at + 1 };
                // Neighbours in their order only lose the boundary between them.
                if target == at || target == self.keys.len() || mutation == M::Concatenate && target == at + 1 {
                    return Effect::Nothing;
                }
                own.extend(self.delivery.lines(&self.keys[target]));
                self.delivery.objects.remove(&self.keys[target]);
                self.delivery.put(&key, &own);
                if mutation == M::Concatenate { Effect::Harm } else { Effect::Rewrap }
            }
            M::SplitWithinLine => {
                let bytes = content(&own);
                let place = dice.below(bytes.len());
                if place == 0 || bytes[place - 1] == b'\n' {
                    return Effect::Nothing;
                }
                self.delivery.put_content(&key, &bytes[..place]);
                let other = self.delivery.add(1, None, &[]);
                self.delivery.put_content(&other, &bytes[place..]);
                Effect::Harm
            }
            M::Rename => {
                self.delivery.objects.remove(&key);
                self.delivery.add(1, None, &own);
                Effect::Rewrap
            }
            M::Copy => {
                self.delivery.add(1, *dice.pick(&[None, Some("7")]), &own);
                Effect::Rewrap
            }
            M::CopyStretch => {
                // As a destination that was created again delivers: from some line on, in other objects.
                let every: Vec<String> = self.keys.iter().flat_map(|key| self.delivery.lines(key)).collect();
                let from = dice.below(every.len());
                for (number, some) in every[from..].chunks(dice.below(9) + 1).enumerate() {
                    self.delivery.add(number, None, some);
                }
                Effect::Rewrap
            }
            M::SplitBetweenLines => {
                if picked == 0 {
                    return Effect::Nothing;
                }
                let rest = own.split_off(picked);
                self.delivery.put(&key, &own);
                self.delivery.add(1, None, &rest);
                Effect::Rewrap
            }
            M::Recompress => {
                let object = &self.delivery.objects[&key];
                let (plain, compressed) = (decode(object).unwrap(), is_compressed(object));
                self.delivery.objects.insert(key, encode(&plain, !compressed));
                Effect::Rewrap
            }
            M::MoveBoundary => {
                if at == 0 || own.len() == 1 {
                    return Effect::Nothing;
                }
                let before = self.keys[at - 1].clone();
                let mut others = self.delivery.lines(&before);
                others.push(own.remove(0));
                self.delivery.put(&before, &others);
                self.delivery.put(&key, &own);
                Effect::Rewrap
            }
        }
    }

    /// Rewrites the lines from `line` up to sequence `last` so that they match each other.
    fn forge(&mut self, line: &str, last: u64) -> Effect {
        let (first, mut hash) = (sequence(line), previous(line));
        for key in &self.keys {
            let mut own = self.delivery.lines(key);
            for line in own.iter_mut().filter(|line| (first..=last).contains(&sequence(line))) {
                let to = if sequence(line) == first { "Eve" } else { "Ada" };
                *line = rewritten(line, sequence(line), &hash, "Ada", to);
                hash = LineHash::of(line);
            }
            self.delivery.put(key, &own);
        }
        Effect::Harm
    }

    /// Removes a line, and rewrites all lines after it with new sequences and hashes.
    fn close_ranks(&mut self, line: &str) -> Effect {
        let (gone, mut hash) = (sequence(line), previous(line));
        for key in &self.keys {
            let mut own = self.delivery.lines(key);
            own.retain(|line| sequence(line) != gone);
            for line in own.iter_mut().filter(|line| sequence(line) > gone) {
                *line = rewritten(line, sequence(line) - 1, &hash, "", "");
                hash = LineHash::of(line);
            }
            if own.is_empty() {
                self.delivery.objects.remove(key);
            } else {
                self.delivery.put(key, &own);
            }
        }
        Effect::Harm
    }
}

fn previous(line: &str) -> LineHash {
    let start = line.find(r#""previousHash":""#).unwrap() + 16;
    annals_verify::line::hash(&line[start..start + 64]).unwrap()
}

#[tokio::test]
async fn every_harmful_mutation_of_a_delivery_is_found_and_no_harmless_one_is_reported() {
    let seed = std::env::var("ANNALS_VERIFY_SEED").map_or(SEED, |seed| seed.parse().unwrap());
    println!("ANNALS_VERIFY_SEED={seed}");
    let dice = SeededEntropy::new(seed);
    let mut deliveries = Vec::new();
    for (compress, layout, expired) in [
        (None, KeyLayout::Wiremock, 0),
        (Some(1), KeyLayout::Hive, 0),
        (Some(2), KeyLayout::Wiremock, 0),
        (Some(3), KeyLayout::Hive, 2),
    ] {
        let plan = Plan { seed: dice.next(), segments: 12, compress, layout, expired };
        let delivery = plan.deliver().await;
        assert_eq!(delivery.check().verdict, Verdict::Proven, "{}", delivery.check().to_text(9));
        deliveries.push(delivery);
    }
    let other = delivery::log("umbrella", dice.next(), &[4; 12]).await.concat();
    let (mut done, mut counts) = (0, BTreeMap::<Mutation, usize>::new());
    while done < MUTATIONS {
        let state = dice.next();
        let dice = SeededEntropy::new(state);
        let delivery = dice.pick(&deliveries).clone();
        let mutation = *dice.pick(&ALL);
        let keys = delivery.keys();
        let mut tampering = Tampering { delivery, other: &other, dice, keys };
        let effect = tampering.apply(mutation);
        if effect == Effect::Nothing {
            continue;
        }
        let report = tampering.delivery.check();
        let describe = || format!("{mutation:?} {effect:?} ({state})\n{}", report.to_text(99));
        match &effect {
            Effect::Rewrap => assert_eq!(report.verdict, Verdict::Proven, "{}", describe()),
            Effect::Harm => assert_ne!(report.verdict, Verdict::Proven, "{}", describe()),
            Effect::Change { key, line } => {
                let [problem] = report.problems.as_slice() else { panic!("{}", describe()) };
                let place = (problem.kind, problem.key.as_ref(), problem.line);
                assert_eq!(place, (ProblemKind::Changed, Some(key), Some(*line)), "{}", describe());
            }
            Effect::Loss { sequence } => {
                let [problem] = report.problems.as_slice() else { panic!("{}", describe()) };
                let place = (problem.kind, problem.first_sequence, problem.last_sequence);
                assert_eq!(place, (ProblemKind::Missing, Some(*sequence), Some(*sequence)), "{}", describe());
            }
            Effect::Nothing => {}
        }
        done += usize::from(effect != Effect::Rewrap);
        *counts.entry(mutation).or_default() += 1;
    }
    for mutation in ALL {
        assert!(
            counts.get(&mutation).is_some_and(|count| *count > 20),
            "{mutation:?} was tried too rarely: {counts:?}"
        );
    }
    println!("{counts:?}");
}

#[test]
fn lines_survive_a_round_trip() {
    let text = ["a".to_owned(), "b".to_owned()];
    assert_eq!(lines(&content(&text)), text);
}
