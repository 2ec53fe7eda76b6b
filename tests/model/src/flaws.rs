//! One guard taken away. What is left must be seen to be wrong: else the guard, or the property, is for nothing.

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// EC2 attaches it while another instance has it.
    InterfaceIsNoLock,
    /// A living owner is robbed.
    ClaimRobs,
    /// An agent that is started anew behind an open door claims the interface before it closes.
    ClaimLeavesDoorOpen,
    /// That the interface was claimed once is enough, however long ago.
    ClaimIsBelieved,
    /// The interface is not awaited before the manifest is taken.
    TakesOverWithoutInterface,
    /// The door is not closed when the machine boots.
    DoorStaysOpenOverBoot,
    /// Data is kept because it is there, whoever the manifest names.
    KeptUnasked,
    /// Kept data is shown because the manifest was read as ours.
    KeptIsNotRenewed,
    /// The renewal writes the same bytes, which have the same ETag.
    RenewalChangesNothing,
    /// Whatever the manifest names by now, its fence is taken for what was restored.
    FollowsAnything,
    TakesOverUnconditionally,
    TakesTheSameGeneration,
    OpensBeforeTakingOver,
    /// A write without an answer is taken for done.
    LostAnswerIsDone,
    /// So is a refusal.
    RefusalIsDone,
    /// An earlier writing of this instance is taken for this one.
    OwnWritingByInstanceOnly,
    /// Where the old owner has published once more, its fence is taken all the same.
    MovedIsWrittenOver,
    /// Where another has taken the generation, it is written over.
    LostIsWrittenOver,
    PublishesUnconditionally,
    /// A backup is published in whatever generation there is.
    OwnerIsNotAsked,
    /// Where another has taken the generation, a backup is published over it.
    PublishesOverOthers,
    /// What names nothing new is taken for written.
    SameWordsAreOwn,
    /// Whatever is under our nonce is taken for this publication.
    OwnNonceIsOwn,
    LoserKeepsDoorOpen,
    RetiresWhileClientsWrite,
    RetiresWithoutBackup,
    ReleasesBeforePublishing,
}

impl Flaw {
    pub const ALL: [Self; 27] = [
        Self::InterfaceIsNoLock,
        Self::ClaimRobs,
        Self::ClaimLeavesDoorOpen,
        Self::ClaimIsBelieved,
        Self::TakesOverWithoutInterface,
        Self::DoorStaysOpenOverBoot,
        Self::KeptUnasked,
        Self::KeptIsNotRenewed,
        Self::RenewalChangesNothing,
        Self::FollowsAnything,
        Self::TakesOverUnconditionally,
        Self::TakesTheSameGeneration,
        Self::OpensBeforeTakingOver,
        Self::LostAnswerIsDone,
        Self::RefusalIsDone,
        Self::OwnWritingByInstanceOnly,
        Self::MovedIsWrittenOver,
        Self::LostIsWrittenOver,
        Self::PublishesUnconditionally,
        Self::OwnerIsNotAsked,
        Self::PublishesOverOthers,
        Self::SameWordsAreOwn,
        Self::OwnNonceIsOwn,
        Self::LoserKeepsDoorOpen,
        Self::RetiresWhileClientsWrite,
        Self::RetiresWithoutBackup,
        Self::ReleasesBeforePublishing,
    ];
}
