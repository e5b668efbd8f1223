//! What the Crypto.com Exchange documents, as tables: methods, channels, response codes, signing vectors.
//!
//! The tables are read from `data/`, which is compiled in. They come from the vendor's documents; nothing here decides.

pub mod channels;
pub mod codes;
pub mod methods;

/// The signing vectors, as JSON: calls with invented keys, and how each must be signed or why it must be refused.
/// `about` in the file explains its fields.
pub const SIGNING_VECTORS: &str = include_str!("../data/vectors.json");
