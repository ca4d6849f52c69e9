//! Names the commit that is built, for `GET /health`: `ANNALS_COMMIT` if it is set, else the commit that git has checked out.
//!
//! A debug build asks only for the variable. Otherwise each commit would rebuild this crate and all tests.

use std::{path::Path, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=ANNALS_COMMIT");
    let set = std::env::var("ANNALS_COMMIT").ok().filter(|commit| !commit.is_empty());
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = set.or_else(|| if is_release { checked_out() } else { None });
    if let Some(commit) = commit {
        println!("cargo:rustc-env=ANNALS_COMMIT={commit}");
    }
}

/// Returns `None` without git or without a repository, for instance in an unpacked archive.
fn checked_out() -> Option<String> {
    // Git writes to this file whenever another commit is checked out.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo:rerun-if-changed={log}");
    }
    git(&["rev-parse", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned()).filter(|text| !text.is_empty())
}
