//! `[boot]`: the boot as a whole.

use std::time::Duration;

use crate::config::Section;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Where absent: the hook's global timeout less a minute, at most two hours; half an hour without a hook.
    pub deadline: Option<Duration>,
}

impl Settings {
    pub fn read(section: &mut Section<'_>) -> Self {
        Self { deadline: section.optional("deadline") }
    }
}
