//! What is wrong with an input, and where: every fault found, not only the first.

use std::fmt;

/// A JSON Pointer (RFC 6901) into the request's body, or the name of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The JSON Pointer of a value in the body; the empty one is the whole body.
    Pointer(String),
    /// A query parameter, path parameter or header by its name.
    Parameter(String),
}

/// One fault in an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it is.
    pub place: Place,
    /// What is wrong and what would be right, as the rest of a sentence that begins with the place.
    pub detail: String,
}

impl Fault {
    /// A fault at a JSON Pointer. One longer than 256 bytes is cut: who made it finds the place all the same.
    pub fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        const MAX_BYTES: usize = 256;
        let mut pointer = pointer.into();
        if pointer.len() > MAX_BYTES {
            pointer.truncate(pointer.floor_char_boundary(MAX_BYTES));
            pointer.push('…');
        }
        Self { place: Place::Pointer(pointer), detail: detail.into() }
    }

    /// A fault of a parameter.
    pub fn parameter(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { place: Place::Parameter(name.into()), detail: detail.into() }
    }
}

/// The faults of one input: at least one, in the order in which they were found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// How many are kept: who has more learns of the first ones, and of the rest at the next try.
    pub const MAX: usize = 100;

    /// Passes where `faults` is empty.
    ///
    /// # Errors
    /// The faults, the first [`Faults::MAX`] of them.
    pub fn none_or(mut faults: Vec<Fault>) -> Result<(), Self> {
        if faults.is_empty() {
            return Ok(());
        }
        faults.truncate(Self::MAX);
        Err(Self(faults))
    }

    /// A single fault.
    #[must_use]
    pub fn one(fault: Fault) -> Self {
        Self(vec![fault])
    }

    /// All of them, at least one.
    #[must_use]
    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self::one(fault)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            match &fault.place {
                Place::Pointer(pointer) if pointer.is_empty() => write!(f, "{separator}the body {}", fault.detail)?,
                Place::Pointer(place) | Place::Parameter(place) => write!(f, "{separator}{place} {}", fault.detail)?,
            }
        }
        Ok(())
    }
}
