//! The status of a destination: a value for programs and one line of text for people.

use std::fmt;

use super::{
    Destination,
    checkpoints::Unsigned,
    progress::{Failing, Lost},
};
use crate::time::Timestamp;

/// The status of a destination. `Display` writes it as one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status<'a> {
    pub state: State<'a>,
    /// What expired before its delivery was confirmed. Not shown while delivery is off.
    pub lost: Option<&'a Lost>,
    /// Set if what was delivered could not be signed. Not shown while delivery is off.
    pub unsigned: Option<&'a Unsigned>,
}

/// What delivery to a destination is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State<'a> {
    /// The organisation's plan does not include delivery.
    Disabled,
    /// The owner has paused delivery.
    Paused,
    /// The role accepts any external id, and it is not proven that it is meant for the organisation.
    Unproven { failing: &'a Failing, last_success: Option<Timestamp> },
    /// Nothing has been delivered yet.
    Pending,
    /// The last attempt succeeded.
    Sent { last_success: Timestamp },
    /// The last attempt failed.
    Failing { failing: &'a Failing, last_success: Option<Timestamp> },
}

impl Destination {
    #[must_use]
    pub fn state(&self) -> State<'_> {
        if self.disabled {
            return State::Disabled;
        }
        if self.paused {
            return State::Paused;
        }
        match (&self.progress.failing, self.progress.last_success) {
            (Some(failing), last_success) if failing.failure.code.is_of_proof() => {
                State::Unproven { failing, last_success }
            }
            (Some(failing), last_success) => State::Failing { failing, last_success },
            (None, Some(last_success)) => State::Sent { last_success },
            (None, None) => State::Pending,
        }
    }

    #[must_use]
    pub fn status(&self) -> Status<'_> {
        Status {
            state: self.state(),
            lost: self.progress.lost.as_ref().filter(|_| self.is_active()),
            unsigned: self.checkpoints.unsigned.as_ref().filter(|_| self.is_active()),
        }
    }
}

impl State<'_> {
    /// Returns the state's name in the API.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Paused => "paused",
            Self::Unproven { .. } => "unproven",
            Self::Pending => "pending",
            Self::Sent { .. } => "sent",
            Self::Failing { .. } => "failing",
        }
    }

    /// Returns a sentence without its full stop, and the time with which it ends, if any. The words are WireMock
    /// Cloud's, if it documents the state.
    #[must_use]
    pub fn sentence(&self) -> (&'static str, Option<Timestamp>) {
        match *self {
            Self::Disabled => (
                "Sending audit events to this destination is disabled, because the organisation's plan does not include it",
                None,
            ),
            Self::Paused => {
                ("Sending audit events to this destination is paused; resume it to go on where it stopped", None)
            }
            Self::Unproven { last_success: None, .. } => {
                ("Audit events are yet to be sent to this destination; its role has to be proven first", None)
            }
            Self::Unproven { failing, last_success: Some(_) } => (
                "Audit events are not sent to this destination, because its role has to be proven again, since",
                Some(failing.since),
            ),
            Self::Pending => ("Audit events are yet to be sent to this destination", None),
            Self::Sent { last_success } => ("Audit events were last sent to this destination at", Some(last_success)),
            Self::Failing { failing, .. } => {
                ("Audit events could not be sent to this destination since", Some(failing.since))
            }
        }
    }
}

impl fmt::Display for Status<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sentence, time) = self.state.sentence();
        write!(f, "Status: {sentence}")?;
        if let Some(time) = time {
            write!(f, " {time}")?;
        }
        if let State::Failing { failing, last_success } | State::Unproven { failing, last_success } = self.state {
            write!(f, ": {} {} ", failing.failure.cause, failing.failure.fix)?;
            match last_success {
                Some(at) => write!(f, "They were last sent at {at}.")?,
                None => f.write_str("None has been sent so far.")?,
            }
        }
        if let Some(Lost { events, last, noticed_at }) = self.lost {
            let separator = if matches!(self.state, State::Failing { .. } | State::Unproven { .. }) { "" } else { "." };
            let noun = if *events == 1 { "event" } else { "events" };
            write!(
                f,
                "{separator} Expired before their delivery was confirmed: {events} audit {noun}, the last of them "
            )?;
            match last.clone().into_inner() {
                (first, last) if first == last => write!(f, "number {first}")?,
                (first, last) => write!(f, "numbers {first} to {last}")?,
            }
            write!(f, ", noticed at {noticed_at}.")?;
        }
        if let Some(Unsigned { since, detail, .. }) = self.unsigned {
            let ends = self.lost.is_some() || matches!(self.state, State::Failing { .. } | State::Unproven { .. });
            let separator = if ends { "" } else { "." };
            write!(f, "{separator} What was delivered since {since} is not signed yet: {detail}")?;
        }
        Ok(())
    }
}
