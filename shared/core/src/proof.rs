//! Proof that a log is complete and unaltered: signed checkpoints and the keys that sign them.
//!
//! A checkpoint is a C2SP signed note (<https://c2sp.org/signed-note>). It says where an organisation's log ended at a time,
//! and what was delivered to a destination. Whoever has the delivered objects, the checkpoints and the public key can check
//! a log without trusting anyone, its operator included.
//!
//! - [`checkpoint`]: what a checkpoint says, and its text
//! - [`key`]: the names and public keys of signers
//! - [`log_checkpoint`]: the newest checkpoint of a log
//! - [`signer`]: the port to the private keys
//! - [`signing`]: the current key, and publishing it
//! - [`store`]: the port to the storage of keys and of logs' checkpoints

pub mod checkpoint;
pub mod key;
pub mod log_checkpoint;
pub mod signer;
pub mod signing;
pub mod store;
