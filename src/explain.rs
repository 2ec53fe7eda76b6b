//! What every error of every domain can say about itself.
//!
//! An error's `Display` names the operation and the object, never its source: the chain is printed once,
//! at the edge, by [`Failure`].

use std::error::Error;

use serde::{Deserialize, Serialize};

/// Whether trying again can help without somebody changing something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Time, or the next run, may cure it: exit code 75.
    Retry,
    /// A person must change a fact first: exit code 78.
    Final,
}

impl Class {
    /// As logs and scripts have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Final => "final",
        }
    }
}

/// Implemented by the error of each domain, without a `_` arm in either match.
pub trait Explain: Error + Send + Sync + 'static {
    fn class(&self) -> Class;
    /// What the reader should do, as a sentence.
    fn remedy(&self) -> String;
    /// Lines that help to see why, redacted: for example the last lines that a server logged.
    fn details(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A step's error, ready for people: one sentence, what to do, and the chain behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub step: String,
    pub class: Class,
    pub reason: String,
    pub remedy: String,
    pub details: Vec<String>,
}

impl Failure {
    pub fn new(step: &str, error: &(impl Explain + ?Sized)) -> Self {
        let mut details = error.details();
        let mut source = error.source();
        while let Some(cause) = source {
            details.push(format!("caused by: {cause}"));
            source = cause.source();
        }
        Self {
            step: step.to_owned(),
            class: error.class(),
            reason: error.to_string(),
            remedy: error.remedy(),
            details,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A reason is a clause without a stop at its end; a service's own words in it may bring one.
        let stop = if self.reason.ends_with(['.', '!', '?']) { "" } else { "." };
        write!(f, "{}: {}{stop} {}", self.step, self.reason, self.remedy)
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_as_two_sentences() {
        let failure = |reason: &str| Failure {
            step: "claim".to_owned(),
            class: Class::Final,
            reason: reason.to_owned(),
            remedy: "Wait.".to_owned(),
            details: Vec::new(),
        };
        let rows =
            [("it is held", "claim: it is held. Wait."), ("it said: no.", "claim: it said: no. Wait.")];
        for (reason, expected) in rows {
            assert_eq!(failure(reason).to_string(), expected);
        }
    }
}
