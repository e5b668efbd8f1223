//! Why params cannot be signed safely: the place, the reason, and what to send instead.
//!
//! Guarantees: never echoes the caller's values, and names a member only if the exchange's documents know the name;
//! other members are given by their position.

use std::fmt;

use catalogue::methods;

/// One thing that implementations of the signing rule disagree about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Params are a list, a scalar or null.
    #[error("params must be a JSON object; send {{}} where a method takes none")]
    NotAnObject,
    /// The same name twice in one object.
    #[error("the name stands twice in one object; send it once")]
    DuplicateKey,
    /// A name that is not printable ASCII: languages sort such names differently.
    #[error(
        "names outside printable ASCII are sorted differently by different languages; use the documented names"
    )]
    KeyNotAscii,
    /// A string that is no Unicode text (a lone surrogate).
    #[error(
        "a string here is not well-formed Unicode (a lone \\uD800…\\uDFFF escape?); send whole characters"
    )]
    BrokenString,
    /// A list or object at level 3 or deeper.
    #[error(
        "a list or object this deep is signed differently by different readers of the exchange's documents; \
         send a flatter form, with strings in its place"
    )]
    TooDeep,
    /// `order_list[].exec_inst` as a list.
    #[error(
        "a list inside order_list is signed differently by different readers of the exchange's documents; send it as \
         a string such as \"POST_ONLY\", or let the operator set calls.order_list_exec_inst = \"flat\""
    )]
    ExecInstListInOrderList,
    /// `null` as an element.
    #[error("null in a list never verifies at the exchange; leave the element out")]
    NullInList,
    /// A decimal as an element of a list.
    #[error(
        "decimal numbers in a list are signed differently by different languages; send them as strings"
    )]
    DecimalInList,
    /// A decimal whose text some language rewrites.
    #[error(
        "this decimal number is rewritten by some languages (a trailing zero, an exponent, too small, or more than 15 \
         digits); send it as a string, such as \"50000.00\""
    )]
    DecimalNotCanonical,
    /// An integer outside the signed 64-bit range.
    #[error(
        "this integer is beyond 64 bits and loses digits in some languages; send it as a string"
    )]
    IntegerBeyondI64,
    /// `-0`.
    #[error("-0 is signed as 0 by some and as -0 by others; send 0, or a string")]
    NegativeZero,
}

/// Params that cannot be signed safely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsignable {
    reason: Reason,
    /// From the innermost outwards.
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Known(String),
    Unnamed,
    Member(usize),
    Element(usize),
}

impl Unsignable {
    /// What is wrong.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    pub(super) fn within_key(mut self, key: &str) -> Self {
        self.steps.push(if methods::is_documented_param(key) {
            Step::Known(key.to_owned())
        } else {
            Step::Unnamed
        });
        self
    }

    pub(super) fn within_member(mut self, position: usize) -> Self {
        self.steps.push(Step::Member(position));
        self
    }

    pub(super) fn within_element(mut self, index: usize) -> Self {
        self.steps.push(Step::Element(index));
        self
    }
}

impl From<Reason> for Unsignable {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            steps: Vec::new(),
        }
    }
}

impl fmt::Display for Unsignable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("params")?;
        for step in self.steps.iter().rev() {
            match step {
                Step::Known(key) => write!(f, ".{key}")?,
                Step::Unnamed => f.write_str(".(a name not in the documents)")?,
                Step::Member(position) => write!(f, ".(member {})", position + 1)?,
                Step::Element(index) => write!(f, "[{index}]")?,
            }
        }
        write!(f, ": {}", self.reason)
    }
}

impl std::error::Error for Unsignable {}
