//! `validate`: the configuration alone, every problem at once.

use super::{Exit, Globals};
use crate::config::{self, ConfigError};
use crate::explain::Explain as _;

pub fn validate(globals: &Globals) -> Exit {
    match config::load(&globals.config) {
        Ok(settings) => {
            let warnings = settings.idle();
            let from = settings.restore.from.as_ref().map(|from| [from.to_string(), from.words()].concat());
            if globals.json {
                let mut said = serde_json::json!({ "valid": true, "problems": [], "warnings": warnings });
                if let Some(from) = from {
                    said["from"] = from.into();
                }
                println!("{said}");
            } else {
                println!("{} is right.", globals.config.display());
                if let Some(from) = from {
                    println!("Until this node has a backup of its own, it restores the latest of {from}.");
                }
                for warning in warnings {
                    println!("{warning}.");
                }
            }
            Exit::Done
        }
        Err(ConfigError::Problems(problems)) => {
            if globals.json {
                let problems: Vec<_> =
                    problems.iter().map(|p| serde_json::json!({ "key": p.key, "what": p.what })).collect();
                println!("{}", serde_json::json!({ "valid": false, "problems": problems }));
            } else {
                for problem in &problems {
                    println!("{problem}");
                }
            }
            Exit::Final
        }
        Err(error) => {
            if globals.json {
                println!(
                    "{}",
                    serde_json::json!({ "valid": false, "problems": [{ "key": "", "what": error.to_string() }] })
                );
                return error.class().into();
            }
            Exit::refuse(&error)
        }
    }
}
