//! The daemon's router, layers and listener in this process, against the stand-in exchange on another port.
#![cfg(test)]

mod backend_calls;
mod bodies;
mod callers;
mod defect;
mod diag;
mod diagnosis;
mod drain;
mod envelope;
mod exchange_v1;
mod faults;
mod first;
mod guessing;
mod hangup;
mod history;
mod hosts;
mod house;
mod load;
mod log_lines;
mod nonce;
mod operations;
mod outcomes;
mod reach;
mod redirects;
mod refusals;
mod refused_floods;
mod scrubbing;
mod shares;
mod sockets;
mod status_page;
mod stream;
mod support;
mod tokens;
mod unknown_orders;
mod upstream_request;
mod vectors;
