//! The commands that only look, in the machine, as text and as JSON: what they print must be what it says it is.
//!
//! ```text
//! status, validate, timeline, timeline --svg, plan ─┬─ text ─▶ words that must be there
//!                                                   └─ --json ─▶ parsed ─▶ fields that must be there
//! a configuration that is refused ─▶ exit 78, and JSON that names the key
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Stage, agent};
use crate::ledger::Event;

/// The longest: a backup of some megabytes to a store in trouble.
const PATIENCE: Duration = Duration::from_mins(3);
const PICTURE: &str = "/tmp/timeline.svg";
const BROKEN: &str = "/tmp/broken.toml";

/// One run of the agent's program.
struct Printed {
    what: String,
    code: Option<i32>,
    text: String,
}

impl Printed {
    fn json(&self) -> Result<Value, String> {
        serde_json::from_str(&self.text)
            .map_err(|error| format!("`{}` prints no JSON ({error}): {:?}", self.what, self.text))
    }
}

impl Stage {
    /// Runs all of them on a node that serves; a sentence for each thing that is not as it must be.
    pub async fn commands(&self) -> Result<Vec<String>> {
        let mut complaints = Vec::new();
        let report = self.report()?;
        let steps: BTreeSet<&str> = report["steps"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|step| step["name"].as_str())
            .collect();
        let rows: [(&[&str], Vec<&str>); 6] = [
            (&["status"], vec![&self.machine.spec().instance_id, "serving since", "CONTINUE", "full-1"]),
            (&["validate"], vec!["/etc/weaviate-provisioner/config.toml is right."]),
            (&["timeline"], steps.iter().copied().collect()),
            (&["timeline", "--svg", PICTURE], steps.iter().copied().collect()),
            (
                &["metrics"],
                vec!["# TYPE weaviate_provisioner_serving gauge", "weaviate_provisioner_serving 1"],
            ),
            (&["plan"], vec!["identify", "keep the data on the volume", "the door is open"]),
        ];
        for (arguments, words) in &rows {
            let printed = self.print(arguments).await?;
            complaints.extend(ended(&printed, 0));
            let silent = words.iter().filter(|word| !printed.text.contains(**word));
            complaints.extend(
                silent.map(|word| format!("`{}` does not say {word:?}: {}", printed.what, printed.text)),
            );
            let printed = self.print(&[arguments, ["--json"].as_slice()].concat()).await?;
            complaints.extend(ended(&printed, 0));
            match printed.json() {
                Ok(json) => complaints.extend(self.holds(arguments[0], &json, &report)),
                Err(complaint) => complaints.push(complaint),
            }
        }
        let picture = std::fs::read_to_string(self.machine.path(PICTURE)).context("the picture")?;
        if !picture.starts_with("<svg") || !picture.trim_end().ends_with("</svg>") {
            complaints.push(format!("`timeline --svg` drew no picture: {picture:.80}"));
        }
        complaints.extend(
            steps
                .iter()
                .filter(|step| !picture.contains(**step))
                .map(|step| format!("the picture lacks {step}")),
        );
        complaints.extend(self.refused().await?);
        Ok(complaints)
    }

    /// One command, and a sentence for each thing that is not as it must be.
    pub async fn command(
        &self,
        arguments: &[String],
        exit: i32,
        says: &[String],
        at_most: &BTreeMap<String, u64>,
    ) -> Result<Vec<String>> {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let printed = self.print(&arguments).await?;
        let mut complaints: Vec<String> = ended(&printed, exit).into_iter().collect();
        let Printed { what, code: _, text } = &printed;
        let silent = says.iter().filter(|wanted| !text.contains(wanted.as_str()));
        complaints.extend(silent.map(|wanted| format!("`{what}` does not say {wanted:?}: {text}")));
        if !at_most.is_empty() {
            let json = printed.json().unwrap_or_default();
            let larger = at_most.iter().filter(|(name, most)| json[name].as_u64().is_none_or(|n| n > **most));
            complaints
                .extend(larger.map(|(name, most)| format!("`{what}`: {name} is not at most {most}: {text}")));
        }
        Ok(complaints)
    }

    /// What each command's JSON must hold.
    fn holds(&self, command: &str, json: &Value, report: &Value) -> Vec<String> {
        let all = |list: &Value, right: &dyn Fn(&Value) -> bool| {
            list.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(right))
        };
        let decided = |row: &Value| row["step"].is_string() && row["decision"].is_string();
        let timed = |entry: &Value| {
            let (start, end) = (entry["start_ms"].as_u64(), entry["end_ms"].as_u64());
            entry["status"].is_string() && end.is_some() && start <= end
        };
        let names = |list: &Value| -> Vec<Value> {
            list.as_array().into_iter().flatten().map(|entry| entry["name"].clone()).collect()
        };
        let right = match command {
            "status" => {
                json["state"]["instance_id"] == *self.machine.spec().instance_id && json["report"] == *report
            }
            "validate" => *json == serde_json::json!({ "valid": true, "problems": [], "warnings": [] }),
            "timeline" => all(json, &timed) && names(json) == names(&report["steps"]),
            "metrics" => json["weaviate_provisioner_serving"] == 1,
            "plan" => all(&json["steps"], &decided) && json["warnings"].is_array(),
            _ => false,
        };
        if right {
            Vec::new()
        } else {
            vec![format!("`{command} --json` does not hold what it must: {json}")]
        }
    }

    /// A configuration that is refused, by the commands that change nothing: `run` writes its report, `close` closes.
    async fn refused(&self) -> Result<Vec<String>> {
        std::fs::write(self.machine.path(BROKEN), "[node]\ndeploymnet = \"acme-prod\"\n")?;
        let mut complaints = Vec::new();
        for command in ["validate", "plan"] {
            let arguments = [command, "--config", BROKEN, "--json"];
            let printed = self.print(&arguments).await?;
            complaints.extend(ended(&printed, 78));
            match printed.json() {
                Ok(json) if json.to_string().contains("deploymnet") => {}
                Ok(json) => complaints.push(format!("`{}` does not name the key: {json}", printed.what)),
                Err(complaint) => complaints.push(complaint),
            }
        }
        Ok(complaints)
    }

    async fn print(&self, arguments: &[&str]) -> Result<Printed> {
        let what = arguments.join(" ");
        self.ledger.record(Event::Mark { what: format!("command {what}") });
        let output = agent::command(self, arguments)?.output(PATIENCE).await?;
        self.planted.search(&format!("what `{what}` prints"), &output.stdout);
        self.planted.search(&format!("the log of `{what}`"), &output.stderr);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(Printed { what, code: output.status.code(), text })
    }
}

fn ended(printed: &Printed, code: i32) -> Option<String> {
    let Printed { what, code: ended, text } = printed;
    (*ended != Some(code)).then(|| format!("`{what}` ended with {ended:?}, not {code}: {text}"))
}
