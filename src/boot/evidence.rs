//! How each piece of evidence came about, for the timeline.

use crate::container::{Image, Running};
use crate::disk::DataVolume;
use crate::instance::Identity;
use crate::manifest::Owned;
use crate::network::{AttachedEni, Closed, Exposed, LocatedEni, PlacedAddress, Serving};
use crate::report::{Evidence, How};
use crate::restore::{ChosenBackup, Fresh, Restored, StagedBackup, Verified, Warm};
use crate::secrets::Secrets;
use crate::state::SignalOutcome;

const fn reused(yes: bool) -> How {
    if yes { How::Reused } else { How::Done }
}

impl Evidence for Closed {}
impl Evidence for Identity {}
impl Evidence for LocatedEni {}
impl Evidence for PlacedAddress {}
impl Evidence for Secrets {}
impl Evidence for Image {}
impl Evidence for ChosenBackup {}
impl Evidence for Verified {}
impl Evidence for Fresh {}
impl Evidence for Warm {}
impl Evidence for Exposed {}
impl Evidence for Serving {}

impl Evidence for AttachedEni {
    fn how(&self) -> How {
        reused(self.reused())
    }
}

impl Evidence for DataVolume {
    fn how(&self) -> How {
        reused(self.record().is_some())
    }
}

impl Evidence for Running {
    fn how(&self) -> How {
        reused(self.adopted())
    }
}

impl Evidence for StagedBackup {
    fn how(&self) -> How {
        reused(self.is_kept())
    }
}

impl Evidence for Restored {
    fn how(&self) -> How {
        reused(self.is_kept())
    }
}

impl Evidence for Owned {
    fn how(&self) -> How {
        reused(self.was_kept())
    }
}

impl Evidence for SignalOutcome {
    fn how(&self) -> How {
        match self {
            Self::NotNeeded { .. } => How::Skipped,
            Self::Sent { .. } | Self::Unsent => How::Done,
        }
    }
}
