//! The real binary: exit codes, signals, what systemd is told, and a hostile environment.
#![cfg(test)]

mod asking;
mod caller;
#[path = "../it/support/canary.rs"]
mod canary;
mod check;
mod diagnose;
mod history;
mod hostile;
mod incidents;
mod orders;
mod plain;
mod replay;
mod serve;
mod signals;
mod stalls;
mod start_faults;
mod streams;
mod support;
mod support_bundle;
mod systemd;
mod unread_log;
