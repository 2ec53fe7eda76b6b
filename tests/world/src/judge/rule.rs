//! What the agent must never do, by name.

use std::fmt;

use serde::Serialize;

macro_rules! rules {
    ($($(#[doc = $about:literal])+ $rule:ident = $name:literal,)+) => {
        /// One forbidden act.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        pub enum Rule {
            $($(#[doc = $about])+ #[serde(rename = $name)] $rule,)+
        }

        impl Rule {
            /// Every variant, by construction: the rogues' test asks for a rogue of each.
            pub const ALL: &'static [Self] = &[$(Self::$rule),+];

            /// As the verdict begins its sentence.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$rule => $name,)+
                }
            }
        }
    };
}

rules! {
    /// Attaching an ENI that a living instance has.
    AttachLivingOwner = "attach-living-owner",
    /// Detaching an ENI from a living instance.
    DetachLivingOwner = "detach-living-owner",
    /// A call that `packaging/iam-instance.json` does not allow.
    Policy = "iam",
    /// A call that is signed for another region than the one that it goes to.
    Region = "region",
    /// A call of AWS without a signature.
    Unsigned = "unsigned",
    /// A look at the metadata without a token: version 1 of the service.
    Tokenless = "metadata-without-token",
    /// A byte of a disk changed before the journal named its serial.
    Disk = "disk",
    /// A byte of a disk changed that is not the agent's at all.
    ForeignDisk = "foreign-disk",
    /// Somebody got in whose group is not allowed.
    DoorStranger = "door-stranger",
    /// A client got in before everything was counted.
    DoorUncounted = "door-uncounted",
    /// A client got in before the generation was taken.
    DoorUntaken = "door-untaken",
    /// A client got in after another instance took the fence and this one could know it.
    DoorLost = "door-lost",
    /// The manifest's pointer was overwritten without a condition.
    PointerUnconditional = "pointer-unconditional",
    /// The manifest's generation did not grow, and it was not its owner who wrote.
    PointerLowered = "pointer-lowered",
    /// A container, or whoever is its user, reached the instance metadata.
    Metadata = "metadata",
    /// A client reached an address or a port that is never for clients.
    Wall = "wall",
    /// A secret lies where it must not.
    Secret = "secret",
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
