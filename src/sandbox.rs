//! A stand-in exchange.
