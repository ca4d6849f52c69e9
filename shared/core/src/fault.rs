//! Faults of an input: what is wrong and where. An input is reported with every fault found, not only the first.

use std::fmt;

/// The place of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The JSON Pointer (RFC 6901) of a value in the body; the empty one is the whole body.
    Pointer(String),
    /// The name of a query parameter, path parameter or header.
    Parameter(String),
}

/// One fault in an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub place: Place,
    /// What is wrong and what would be right: the rest of a sentence that begins with the place.
    pub detail: String,
}

impl Fault {
    /// Creates a fault at a JSON Pointer, which is cut to 256 bytes. That is enough for the sender to find the place.
    pub fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        const MAX_BYTES: usize = 256;
        let mut pointer = pointer.into();
        if pointer.len() > MAX_BYTES {
            pointer.truncate(pointer.floor_char_boundary(MAX_BYTES));
            pointer.push('…');
        }
        Self { place: Place::Pointer(pointer), detail: detail.into() }
    }

    pub fn parameter(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { place: Place::Parameter(name.into()), detail: detail.into() }
    }
}

/// The faults of one input, at least one, in the order in which they were found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// The maximum number of faults reported. The next request reports the rest.
    pub const MAX: usize = 100;

    /// Returns `Ok` if `faults` is empty.
    ///
    /// # Errors
    /// Returns the first [`Faults::MAX`] faults.
    pub fn none_or(mut faults: Vec<Fault>) -> Result<(), Self> {
        if faults.is_empty() {
            return Ok(());
        }
        faults.truncate(Self::MAX);
        Err(Self(faults))
    }

    #[must_use]
    pub fn one(fault: Fault) -> Self {
        Self(vec![fault])
    }

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
