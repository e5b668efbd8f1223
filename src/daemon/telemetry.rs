//! Where lines go.
