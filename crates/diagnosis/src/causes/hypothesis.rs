//! What a rule puts forward: a cause, how it stands, and the evidence for and against.
//!
//! Guarantees: each piece of evidence is said once; what excludes a cause wins over any word for it. Does not: order
//! claims, or know any rule.

use super::{Cause, Likelihood};

/// Whether a cause stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does, and how likely it is.
    Stands(Likelihood),
    /// It does not, and what excludes it.
    RuledOut(String),
}

/// What a claim is about; only causes of the same symptom can be a tie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    /// The pair as it was found.
    Pair,
    /// The way to the exchange.
    Way,
    /// Probes that were refused.
    Refusal,
    /// What callers met.
    Calls,
}

/// A cause that a rule puts forward.
#[derive(Clone, Debug)]
pub(super) struct Hypothesis {
    pub(super) cause: Cause,
    pub(super) symptom: Topic,
    pub(super) standing: Standing,
    pub(super) pro: Vec<String>,
    pub(super) con: Vec<String>,
    pub(super) method: Option<String>,
}

impl Hypothesis {
    pub(super) const fn new(cause: Cause, symptom: Topic, likelihood: Likelihood) -> Self {
        let standing = Standing::Stands(likelihood);
        Self {
            cause,
            symptom,
            standing,
            pro: Vec::new(),
            con: Vec::new(),
            method: None,
        }
    }

    pub(super) fn ruled_out(cause: Cause, symptom: Topic, by: impl Into<String>) -> Self {
        Self {
            standing: Standing::RuledOut(by.into()),
            ..Self::new(cause, symptom, Likelihood::Possible)
        }
    }

    pub(super) fn pro(mut self, evidence: impl Into<String>) -> Self {
        self.pro.push(evidence.into());
        self
    }

    pub(super) fn con(mut self, evidence: impl Into<String>) -> Self {
        self.con.push(evidence.into());
        self
    }

    pub(super) fn maybe_pro(self, evidence: Option<impl Into<String>>) -> Self {
        match evidence {
            Some(evidence) => self.pro(evidence),
            None => self,
        }
    }

    pub(super) fn maybe_con(self, evidence: Option<impl Into<String>>) -> Self {
        match evidence {
            Some(evidence) => self.con(evidence),
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
                .filter(|evidence| !known.contains(evidence))
                .collect()
        };
        self.pro.extend(new(&self.pro, other.pro));
        self.con.extend(new(&self.con, other.con));
    }
}
