//! The calls to EC2 that claiming needs, and what their refusals mean.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Instance, InstanceStateName, NetworkInterfaceAttachmentChanges, Reservation};

use super::decide::{Facts, OwnerState, free_index};
use crate::aws::{CallError, Kind, failed};
use crate::network::eni::LocatedEni;
use crate::network::locate::describe;
use crate::network::{EniSelector, NetworkError};

pub(super) struct Calls<'a> {
    pub(super) ec2: &'a Client,
    pub(super) me: &'a str,
    pub(super) eni: &'a LocatedEni,
}

impl Calls<'_> {
    /// Looks at the interface, and at its owner if that is somebody else. `dead` was seen dead `looks` times.
    /// `ending` was seen so a moment ago, which is not asked again: nothing is done to it on that answer.
    pub(super) async fn look(
        &self,
        dead: Option<&str>,
        looks: u32,
        ending: Option<(&str, OwnerState)>,
    ) -> Result<Facts, NetworkError> {
        let id = EniSelector::Id(self.eni.id().to_owned());
        let Some(sight) = describe(self.ec2, &id).await?.into_iter().next() else {
            return Err(NetworkError::EniNotFound { selector: id.to_string() });
        };
        let holder = sight.attachment.as_ref().and_then(|held| held.instance.as_deref());
        let owner = match (holder, ending) {
            (Some(other), Some((known, state))) if known == other => state,
            (Some(other), _) if other != self.me => self.state_of(other).await?,
            _ => OwnerState::Unknown,
        };
        let dead_before = if dead.is_none() || dead == holder { looks } else { 0 };
        Ok(Facts {
            me: self.me.to_owned(),
            available: sight.available,
            attachment: sight.attachment,
            owner,
            dead_before,
        })
    }

    async fn state_of(&self, instance: &str) -> Result<OwnerState, NetworkError> {
        let answer = match self.ec2.describe_instances().instance_ids(instance).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let error = failed("ec2:DescribeInstances", &error);
                // An instance that ended an hour ago, or one that EC2 does not show everywhere yet.
                let unknown = error.code == "InvalidInstanceID.NotFound";
                return if unknown { Ok(OwnerState::Unknown) } else { Err(error.into()) };
            }
        };
        let state = answer
            .reservations()
            .iter()
            .flat_map(Reservation::instances)
            .find(|found| found.instance_id() == Some(instance))
            .and_then(|found| found.state()?.name().cloned());
        Ok(match state {
            Some(InstanceStateName::Pending) => OwnerState::Pending,
            Some(InstanceStateName::Running) => OwnerState::Running,
            Some(InstanceStateName::Stopping) => OwnerState::Stopping,
            Some(InstanceStateName::Stopped) => OwnerState::Stopped,
            Some(InstanceStateName::ShuttingDown) => OwnerState::ShuttingDown,
            Some(InstanceStateName::Terminated) => OwnerState::Terminated,
            _ => OwnerState::Unknown,
        })
    }

    /// Attaches at the first free device index, `known` where it was asked for before.
    pub(super) async fn attach(&self, known: Option<i32>) -> Result<(), NetworkError> {
        let index = match known {
            Some(index) => index,
            None => self.free_index().await?,
        };
        let call = self
            .ec2
            .attach_network_interface()
            .network_interface_id(self.eni.id())
            .instance_id(self.me)
            .device_index(index);
        match call.send().await {
            Ok(_) => Ok(()),
            Err(error) => self.attach_refused(failed("ec2:AttachNetworkInterface", &error)),
        }
    }

    pub(super) async fn free_index(&self) -> Result<i32, NetworkError> {
        let answer = self.ec2.describe_instances().instance_ids(self.me).send().await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let error = failed("ec2:DescribeInstances", &error);
                if error.code == "InvalidInstanceID.NotFound" {
                    // Not propagated yet: of a new instance only the primary interface is known to be there.
                    return Ok(1);
                }
                return Err(error.into());
            }
        };
        let used: Vec<i32> = answer
            .reservations()
            .iter()
            .flat_map(Reservation::instances)
            .filter(|found| found.instance_id() == Some(self.me))
            .flat_map(Instance::network_interfaces)
            .filter_map(|eni| eni.attachment()?.device_index())
            .collect();
        Ok(free_index(&used))
    }

    /// What a refusal of the attachment means: another look (`Ok`), or the end (EC2 API reference,
    /// "Error codes").
    fn attach_refused(&self, source: CallError) -> Result<(), NetworkError> {
        let (eni, instance) = (self.eni.id().to_owned(), self.me.to_owned());
        if source.kind != Kind::Refused {
            return Err(source.into());
        }
        let taken = source.message.contains("in use") || source.message.contains("already has an interface");
        match source.code.as_str() {
            // Somebody was faster, an answer was lost, or the index was taken meanwhile …
            "InvalidParameterValue" if taken => Ok(()),
            "InvalidNetworkInterface.InUse"
            // … or it is not propagated, or in the middle of a change: the next look tells.
            | "InvalidInstanceID.NotFound"
            | "InvalidNetworkInterfaceID.NotFound"
            | "InvalidNetworkInterface.NotFound"
            | "IncorrectState"
            | "IncorrectInstanceState" => Ok(()),
            "AttachmentLimitExceeded" => Err(NetworkError::NoFreeSlot { eni, instance, source }),
            _ => Err(NetworkError::AttachRefused { eni, instance, source }),
        }
    }

    /// Detaches. The owner may have finished terminating meanwhile: then there is nothing left to detach.
    pub(super) async fn detach(&self, attachment_id: &str) -> Result<(), NetworkError> {
        match self.ec2.detach_network_interface().attachment_id(attachment_id).send().await {
            Ok(_) => Ok(()),
            Err(error) => gone_is_done(failed("ec2:DetachNetworkInterface", &error)),
        }
    }

    /// Sets DeleteOnTermination to false: it belongs to the attachment, so each attachment starts again.
    pub(super) async fn protect(&self, attachment_id: &str) -> Result<(), NetworkError> {
        let attachment = NetworkInterfaceAttachmentChanges::builder()
            .attachment_id(attachment_id)
            .delete_on_termination(false)
            .build();
        let call = self
            .ec2
            .modify_network_interface_attribute()
            .network_interface_id(self.eni.id())
            .attachment(attachment);
        match call.send().await {
            Ok(_) => Ok(()),
            Err(error) => gone_is_done(failed("ec2:ModifyNetworkInterfaceAttribute", &error)),
        }
    }
}

/// An attachment that is gone, or changing, is left to the next look.
fn gone_is_done(error: CallError) -> Result<(), NetworkError> {
    match error.code.as_str() {
        "InvalidAttachmentID.NotFound" | "IncorrectState" | "IncorrectInstanceState" => Ok(()),
        _ => Err(error.into()),
    }
}
