//! The exit codes, which systemd and scripts read (sysexits.h where it has one).

use std::process::ExitCode;

use crate::explain::{Class, Explain, Failure};
use crate::report::Outcome;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done,
    /// A bug of this program.
    Bug,
    /// The command line is wrong (EX_USAGE).
    Usage,
    /// Try again (EX_TEMPFAIL).
    Retry,
    /// The configuration, or a fact that a retry will not change (EX_CONFIG).
    Final,
}

impl Exit {
    pub const ALL: [Self; 5] = [Self::Done, Self::Bug, Self::Usage, Self::Retry, Self::Final];

    /// What the manual says about it.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "Done.",
            Self::Bug => "A bug of this program: report it with what was printed.",
            Self::Usage => "The command line is wrong.",
            Self::Retry => "Try again; the unit does so by itself.",
            Self::Final => {
                "The configuration, or a fact that a retry will not change; the unit is not started again."
            }
        }
    }

    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Bug => 1,
            Self::Usage => 64,
            Self::Retry => 75,
            Self::Final => 78,
        }
    }

    /// Prints the sentence and the remedy, and the chain below them; the code follows the class.
    pub fn refuse(error: &dyn Explain) -> Self {
        eprintln!("{error}.\n{}", error.remedy());
        let mut source = error.source();
        while let Some(cause) = source {
            eprintln!("  caused by: {cause}");
            source = cause.source();
        }
        error.class().into()
    }
}

impl Exit {
    /// The same for who may read JSON: a refusal then is JSON too, with the names that a report has.
    pub fn answer(json: bool, error: &dyn Explain) -> Self {
        if json {
            let Failure { step: _, class, reason, remedy, details } = Failure::new("", error);
            say(class, &reason, &remedy, &details);
        }
        Self::refuse(error)
    }
}

/// A refusal as JSON.
pub fn say(class: Class, reason: &str, remedy: &str, details: &[String]) {
    let outcome = match class {
        Class::Retry => Outcome::Failed,
        Class::Final => Outcome::Refused,
    };
    let refusal =
        serde_json::json!({ "outcome": outcome, "reason": reason, "remedy": remedy, "details": details });
    println!("{refusal}");
}

impl From<Class> for Exit {
    fn from(class: Class) -> Self {
        match class {
            Class::Retry => Self::Retry,
            Class::Final => Self::Final,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
