//! What came of a case, as `--json` writes it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub case: String,
    /// `serving`, `refused`, `held` or `failed`; `prepared` for an instance of a warm pool.
    pub outcome: String,
    pub reason: Option<String>,
    pub details: Vec<String>,
    /// Not part of what `--json` promises.
    #[serde(skip)]
    pub warnings: Vec<String>,
    pub steps: Vec<StepOutcome>,
    pub restored: Option<RestoredOutcome>,
    pub world: WorldOutcome,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepOutcome {
    pub name: String,
    pub start_ms: u64,
    pub end_ms: u64,
    pub status: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RestoredOutcome {
    pub backup_id: Option<String>,
    pub mode: String,
    pub bytes: u64,
    pub collections: BTreeMap<String, BTreeMap<String, u64>>,
}

/// What the world itself saw; nothing here is taken from the agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct WorldOutcome {
    pub lifecycle_action: Option<String>,
    pub forbidden: Vec<String>,
    /// HTTP status that the far client got with the reader's key; 0 where no connection came about.
    pub client_status: u16,
    pub near_status: u16,
    pub stranger_status: u16,
}

impl Outcome {
    /// Nothing came of it that the agent wrote down.
    pub fn failed(case: &str, reason: String, world: WorldOutcome) -> Self {
        Self {
            case: case.to_owned(),
            outcome: "failed".to_owned(),
            reason: Some(reason),
            details: Vec::new(),
            warnings: Vec::new(),
            steps: Vec::new(),
            restored: None,
            world,
        }
    }

    /// Reads the agent's own report. What is missing in it is missing here: nothing is made up.
    pub fn from_report(case: &str, report: &Value, world: WorldOutcome) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let steps = report["steps"].as_array().into_iter().flatten();
        let restored = &report["restored"];
        Self {
            case: case.to_owned(),
            outcome: text(&report["outcome"]).unwrap_or_else(|| "failed".to_owned()),
            reason: text(&report["reason"]),
            details: report["details"].as_array().into_iter().flatten().filter_map(text).collect(),
            warnings: report["warnings"].as_array().into_iter().flatten().filter_map(text).collect(),
            steps: steps
                .map(|step| StepOutcome {
                    name: text(&step["name"]).unwrap_or_default(),
                    start_ms: number(&step["start_ms"]),
                    end_ms: step["end_ms"].as_u64().unwrap_or_else(|| number(&step["start_ms"])),
                    // A step that was cut off did not do its work.
                    status: text(&step["status"]).unwrap_or_else(|| "failed".to_owned()),
                })
                .collect(),
            restored: restored.is_object().then(|| RestoredOutcome {
                backup_id: text(&restored["backup_id"]),
                mode: text(&restored["mode"]).unwrap_or_default(),
                bytes: number(&restored["bytes"]),
                collections: serde_json::from_value(restored["collections"].clone()).unwrap_or_default(),
            }),
            world,
        }
    }
}
