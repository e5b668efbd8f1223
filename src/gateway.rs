//! The path of a private call, in the order a call meets it.
