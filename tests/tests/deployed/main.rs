//! Suites that run against the embedded cloud and, if the environment names one, against another AWS.

mod contract;
mod roles;
mod stack;
