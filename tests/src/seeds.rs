//! The seeds of a random test, and its runs on all processors.
//!
//! A test has a fixed set of seeds, which every run has, and further ones. `ANNALS_COMMIT` is the hash of a commit, which
//! decides where the further ones begin, so that each commit tries others. Without it they follow the fixed ones.
//! `ANNALS_SEEDS=5000` runs so many further ones, `ANNALS_SEED=17` runs only that one.

use std::{
    any::Any,
    fmt,
    io::{self, Write as _},
    ops::{AddAssign, Range},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// How many hexadecimal digits of a commit's hash decide.
const DIGITS: usize = 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds {
    fixed: Range<u64>,
    further: Range<u64>,
    commit: Option<String>,
    usual: u64,
}

impl Seeds {
    /// The seeds of a test that usually has this many fixed and further ones, as the environment says.
    #[must_use]
    pub fn chosen(fixed: u64, further: u64) -> Self {
        Self::choose(fixed, further, |variable| std::env::var(variable).ok().filter(|text| !text.is_empty()))
    }

    fn choose(fixed: u64, further: u64, variable: impl Fn(&str) -> Option<String>) -> Self {
        let number = |name: &str| variable(name).map(|text| text.parse::<u64>().expect("a number of seeds"));
        let usual = fixed + further;
        if let Some(seed) = number("ANNALS_SEED") {
            return Self { fixed: 0..0, further: seed..seed + 1, commit: None, usual };
        }
        let commit = variable("ANNALS_COMMIT");
        let begin = commit.as_ref().map_or(fixed, |commit| {
            let digits = commit.get(..DIGITS).unwrap_or(commit);
            // Never among the fixed ones.
            fixed + u64::from_str_radix(digits, 16).expect("the hash of a commit")
        });
        let count = number("ANNALS_SEEDS").unwrap_or(further);
        Self { fixed: 0..fixed, further: begin..begin + count, commit, usual }
    }

    fn all(&self) -> Vec<u64> {
        self.fixed.clone().chain(self.further.clone()).collect()
    }

    /// Whether these are at least as many as usual, so that enough must happen in them.
    #[must_use]
    pub fn are_enough(&self) -> bool {
        self.all().len() as u64 >= self.usual
    }

    /// Runs `test` with each seed, as many at a time as there are processors, and returns what happened in all. Prints the
    /// seeds.
    ///
    /// # Panics
    /// Panics if a seed fails, with the command that repeats it.
    pub fn check<T, E>(&self, test: impl Fn(u64) -> Result<T, E> + Sync) -> T
    where
        T: AddAssign + Default + Send,
        E: fmt::Display,
    {
        let name = thread::current().name().unwrap_or_default().to_owned();
        // Not with `eprintln!`, which the test harness captures: the seeds of a commit belong into its log.
        let _ = writeln!(io::stderr(), "{name}: {self}");
        match self.run(test) {
            Ok(happened) => happened,
            Err((seed, failure)) => panic!(
                "seed {seed}: {failure}\n  again: ANNALS_SEED={seed} cargo test -p annals-tests --test simulations {name}"
            ),
        }
    }

    /// Returns what happened in all, or the first seed that failed and why.
    fn run<T, E>(&self, test: impl Fn(u64) -> Result<T, E> + Sync) -> Result<T, (u64, String)>
    where
        T: AddAssign + Default + Send,
        E: fmt::Display,
    {
        let (seeds, next) = (self.all(), AtomicUsize::new(0));
        let outcome: Mutex<Result<T, (usize, String)>> = Mutex::new(Ok(T::default()));
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(seed) = seeds.get(index) else { return };
                let done = match catch_unwind(AssertUnwindSafe(|| test(*seed))) {
                    Ok(Ok(some)) => Ok(some),
                    Ok(Err(failure)) => Err(failure.to_string()),
                    Err(panic) => Err(format!("panicked: {}", message(&*panic))),
                };
                let mut outcome = outcome.lock().unwrap();
                match (&mut *outcome, done) {
                    (Ok(sum), Ok(some)) => *sum += some,
                    (Err((first, _)), _) if *first < index => {}
                    (_, Err(failure)) => {
                        *outcome = Err((index, failure));
                        next.store(seeds.len(), Ordering::Relaxed);
                    }
                    (Err(_), Ok(_)) => {}
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(work);
            }
        });
        outcome.into_inner().unwrap().map_err(|(index, failure)| (seeds[index], failure))
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

impl fmt::Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fixed, further, commit, .. } = self;
        match commit {
            Some(commit) => write!(f, "the seeds {fixed:?}, and {further:?} of the commit {commit}"),
            None => write!(f, "the seeds {fixed:?} and {further:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)]) -> Seeds {
        let variable = |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, text)| (*text).to_owned());
        Seeds::choose(10, 5, variable)
    }

    #[test]
    fn each_commit_has_further_seeds_of_its_own() {
        assert_eq!(chosen(&[]).to_string(), "the seeds 0..10 and 10..15");
        let commit = "00000003e8aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        assert_eq!(
            chosen(&[("ANNALS_COMMIT", commit)]).to_string(),
            format!("the seeds 0..10, and 1010..1015 of the commit {commit}")
        );
        assert!(chosen(&[("ANNALS_COMMIT", commit)]).are_enough());
        assert_eq!(chosen(&[("ANNALS_SEEDS", "90")]).all(), (0..100).collect::<Vec<_>>());
        assert_eq!(chosen(&[("ANNALS_SEED", "17"), ("ANNALS_COMMIT", commit)]).all(), [17]);
        assert!(!chosen(&[("ANNALS_SEED", "17")]).are_enough());
    }

    #[test]
    fn the_first_seed_that_fails_is_named_even_if_it_panics() {
        let seeds = chosen(&[]);
        assert_eq!(
            seeds.run(|seed| if seed < 3 { Ok(seed) } else { Err(format!("no {seed}")) }),
            Err((3, "no 3".into()))
        );
        let panicked = seeds.run(|seed| {
            assert!(seed < 4, "not {seed}");
            Ok::<u64, String>(seed)
        });
        assert_eq!(panicked, Err((4, "panicked: not 4".into())));
        assert_eq!(seeds.run(Ok::<u64, String>), Ok((0..15).sum()));
    }
}
