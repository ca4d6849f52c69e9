//! Proof that a log is complete and unaltered: signed checkpoints and the keys that sign them.
//!
//! A checkpoint is a C2SP signed note (<https://c2sp.org/signed-note>). It says where an organisation's log ended at a time,
//! and what was delivered to a destination. Whoever has the delivered objects, the checkpoints and the public key can check
//! a log without trusting anyone, its operator included.
//!
//! - [`checkpoint`]: what a checkpoint says, and its text
//! - [`key`]: the names and public keys of signers
//! - [`signer`]: the port to the private keys

pub mod checkpoint;
pub mod key;
pub mod signer;
