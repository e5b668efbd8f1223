//! The daemon's router, layers and listener in this process, against the stand-in exchange on another port.
#![cfg(test)]

mod backend_calls;
mod bodies;
mod envelope;
mod faults;
mod first;
mod hosts;
mod log_lines;
mod operations;
mod outcomes;
mod redirects;
mod refusals;
mod scrubbing;
mod support;
mod tokens;
mod unknown_orders;
mod upstream_request;
mod vectors;
