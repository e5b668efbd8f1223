//! The real binary: exit codes, signals, what systemd is told, and a hostile environment.
#![cfg(test)]

mod asking;
#[path = "../it/support/canary.rs"]
mod canary;
mod check;
mod diagnose;
mod history;
mod hostile;
mod plain;
mod serve;
mod signals;
mod support;
mod systemd;
