//! The page's model and its HTML, from values.
