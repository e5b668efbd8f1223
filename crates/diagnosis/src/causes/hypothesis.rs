//! What a rule puts forward: a cause, how it stands, and the evidence for and against.
//!
//! Guarantees: each piece of evidence is said once; what excludes a cause wins over any word for it. Does not: order
//! hypotheses, or know any rule.

use std::fmt;

use super::Cause;

/// How likely a cause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likelihood {
    /// Nothing speaks against it.
    Possible,
    /// Something speaks for it.
    Likely,
    /// The exchange or our own measurement says so.
    VeryLikely,
}

impl fmt::Display for Likelihood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::VeryLikely => "very likely",
        })
    }
}

/// Whether a cause stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does, and how likely it is.
    Stands(Likelihood),
    /// It does not, and what excludes it.
    RuledOut(String),
}

/// What a hypothesis is about; only causes of the same topic can be a tie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    /// Calls that may have been executed.
    Doubt,
    /// The pair as it was found.
    Pair,
    /// The connection to the exchange.
    Connection,
    /// Calls or probes that were refused.
    Refusal,
    /// What callers met, as the record has it.
    Calls,
    /// This host or this program, whatever the exchange says of other calls.
    Here,
}

/// A cause that a rule puts forward.
#[derive(Clone, Debug)]
pub(super) struct Hypothesis {
    pub(super) cause: Cause,
    pub(super) topic: Topic,
    pub(super) standing: Standing,
    pub(super) pro: Vec<String>,
    pub(super) con: Vec<String>,
    pub(super) method: Option<String>,
}

impl Hypothesis {
    pub(super) const fn new(cause: Cause, topic: Topic, likelihood: Likelihood) -> Self {
        let standing = Standing::Stands(likelihood);
        Self {
            cause,
            topic,
            standing,
            pro: Vec::new(),
            con: Vec::new(),
            method: None,
        }
    }

    pub(super) fn ruled_out(cause: Cause, topic: Topic, by: impl Into<String>) -> Self {
        Self {
            standing: Standing::RuledOut(by.into()),
            ..Self::new(cause, topic, Likelihood::Possible)
        }
    }

    pub(super) fn pro(mut self, because: impl Into<String>) -> Self {
        self.pro.push(because.into());
        self
    }

    pub(super) fn con(mut self, because: impl Into<String>) -> Self {
        self.con.push(because.into());
        self
    }

    pub(super) fn maybe_pro(self, because: Option<impl Into<String>>) -> Self {
        match because {
            Some(because) => self.pro(because),
            None => self,
        }
    }

    pub(super) fn maybe_con(self, because: Option<impl Into<String>>) -> Self {
        match because {
            Some(because) => self.con(because),
            None => self,
        }
    }

    pub(super) fn of_method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    pub(super) const fn likelihood(&self) -> Option<Likelihood> {
        match self.standing {
            Standing::Stands(likelihood) => Some(likelihood),
            Standing::RuledOut(_) => None,
        }
    }

    /// What excludes it wins; otherwise the stronger word.
    pub(super) fn join(&mut self, other: Self) {
        let excluded = matches!(self.standing, Standing::RuledOut(_));
        if !excluded && (other.likelihood().is_none() || other.likelihood() > self.likelihood()) {
            self.standing = other.standing;
            self.method = other.method.or(self.method.take());
        }
        let new = |known: &[String], more: Vec<String>| -> Vec<String> {
            more.into_iter()
                .filter(|because| !known.contains(because))
                .collect()
        };
        self.pro.extend(new(&self.pro, other.pro));
        self.con.extend(new(&self.con, other.con));
    }
}
