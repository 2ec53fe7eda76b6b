//! `[signal]`: who is told how the boot ended.

use crate::config::Section;

/// What a final failure does to the lifecycle hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFinal {
    /// ABANDON: the group replaces the instance.
    Abandon,
    /// Heartbeats until the deadline, so that a person can look: a cause that replacement cannot cure must
    /// not become a storm.
    Hold,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asg {
    pub launch_hook: String,
    pub terminate_hook: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub on_final: OnFinal,
    /// Absent: a plain instance without a group.
    pub asg: Option<Asg>,
}

impl Settings {
    pub fn read(section: &mut Section<'_>) -> Self {
        let on_final = match section.or("on_final", "abandon".to_owned()).as_str() {
            "abandon" => OnFinal::Abandon,
            "hold" => OnFinal::Hold,
            other => {
                section.problem("on_final", format!("is {other:?}, not \"abandon\" or \"hold\""));
                OnFinal::Abandon
            }
        };
        let asg = section.optional_section("asg").and_then(|mut asg| {
            let launch_hook = asg.required("launch_hook");
            let terminate_hook = asg.optional("terminate_hook");
            Some(Asg { launch_hook: launch_hook?, terminate_hook })
        });
        Self { on_final, asg }
    }
}
