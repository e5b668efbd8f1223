//! The daemon's router, layers and listener in this process, against the stand-in exchange on another port.
#![cfg(test)]

mod defect;
mod drain;
mod first;
mod hangup;
mod house;
mod load;
mod nonce;
mod sockets;
mod support;
