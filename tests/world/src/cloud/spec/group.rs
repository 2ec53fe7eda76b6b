//! Auto Scaling groups, their hooks and their members.

use std::time::Duration;

use serde::Deserialize;

use super::{GROUP, HOOK, NEW};
use crate::cloud::resources::Lifecycle;

/// An Auto Scaling group. `hooks` and `members` decide what a case sees.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupSpec {
    pub name: String,
    pub hooks: Vec<Hook>,
    pub members: Vec<MemberSpec>,
    pub subnets: Vec<String>,
    pub min: u32,
    pub max: u32,
    pub desired: u32,
    /// `InstanceMaintenancePolicy`; 0/100 is terminate first. Absent: no policy.
    pub min_healthy: Option<u32>,
    pub max_healthy: Option<u32>,
    pub suspended: Vec<String>,
    /// The state in which instances rest in the warm pool; absent: no pool.
    pub warm_pool: Option<WarmPool>,
    /// So many Complete- and Heartbeat calls after each `:Wait` still find no action, though Describe shows it.
    pub race: u32,
}

impl Default for GroupSpec {
    fn default() -> Self {
        Self {
            name: GROUP.into(),
            hooks: vec![Hook::default()],
            members: vec![MemberSpec::default()],
            subnets: vec!["subnet-0aaaaaaaaaaaaaa01".into()],
            min: 1,
            max: 1,
            desired: 1,
            min_healthy: Some(0),
            max_healthy: Some(100),
            suspended: vec!["AZRebalance".into()],
            warm_pool: None,
            race: 0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarmPool {
    Stopped,
    Running,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemberSpec {
    pub instance: String,
    pub state: Lifecycle,
}

impl Default for MemberSpec {
    fn default() -> Self {
        Self { instance: NEW.into(), state: Lifecycle::PendingWait }
    }
}

/// When a hook holds an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transition {
    Launching,
    Terminating,
}

/// What a hook, or its timeout, says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    Continue,
    Abandon,
}

impl Verdict {
    pub const fn text(self) -> &'static str {
        match self {
            Self::Continue => "CONTINUE",
            Self::Abandon => "ABANDON",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hook {
    pub name: String,
    pub transition: Transition,
    /// Seconds; the real range is 30 to 7200, here any.
    pub heartbeat: f64,
    /// Seconds; absent: 100 heartbeats or 48 hours, whichever is less.
    pub global: Option<f64>,
    pub default_result: Verdict,
}

impl Default for Hook {
    fn default() -> Self {
        Self {
            name: HOOK.into(),
            transition: Transition::Launching,
            heartbeat: 300.0,
            global: None,
            default_result: Verdict::Abandon,
        }
    }
}

impl Hook {
    pub fn heartbeat(&self) -> Duration {
        Duration::from_secs_f64(self.heartbeat)
    }

    pub fn global(&self) -> Duration {
        let longest = (self.heartbeat * 100.0).min(172_800.0);
        Duration::from_secs_f64(self.global.unwrap_or(longest))
    }
}
