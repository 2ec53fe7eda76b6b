//! The ENI's state machine: available → attaching → in-use → detaching → available, and who may move it.
//!
//! Attaching is one pure decision, [`refuse_attach`], and then its consequences in time: the API's status,
//! the interface in the guest, and the metadata each follow after a delay of their own.

use std::net::IpAddr;

use jiff::Timestamp;

use super::resources::{Attachment, AttachmentStatus, Eni, InstanceState, Resources};
use super::{Cloud, Hotplug};
use crate::iam::Principal;
use crate::judge::Rule;

/// Why an attach call is refused; `ec2` gives each its code and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachRefusal {
    NoSuchEni,
    NoSuchInstance,
    RequesterManaged,
    InUse { owner: String },
    OtherZone,
    InstanceState(InstanceState),
    IndexBusy,
    TooMany { limit: usize },
}

/// Why a detach call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DetachRefusal {
    NoSuchAttachment,
    Primary,
    AlreadyDetaching,
}

/// How many interfaces an instance of this type may have.
fn interface_limit(kind: &str) -> usize {
    match kind.rsplit('.').next().unwrap_or_default() {
        "medium" => 2,
        "large" => 3,
        "xlarge" | "2xlarge" => 4,
        "4xlarge" | "8xlarge" | "12xlarge" => 8,
        _ => 15,
    }
}

/// The whole decision about an attach call.
pub(super) fn refuse_attach(r: &Resources, eni: &str, instance: &str, index: u32) -> Option<AttachRefusal> {
    let Some(eni) = r.enis.get(eni) else { return Some(AttachRefusal::NoSuchEni) };
    let Some(target) = r.instances.get(instance) else { return Some(AttachRefusal::NoSuchInstance) };
    if eni.requester_managed {
        return Some(AttachRefusal::RequesterManaged);
    }
    if let Some(owner) = eni.owner() {
        return Some(AttachRefusal::InUse { owner: owner.to_owned() });
    }
    if eni.zone != target.zone {
        return Some(AttachRefusal::OtherZone);
    }
    if !matches!(target.state, InstanceState::Running | InstanceState::Stopped) {
        return Some(AttachRefusal::InstanceState(target.state));
    }
    let held: Vec<u32> = r
        .enis
        .values()
        .filter_map(|e| e.attachment.as_ref())
        .filter(|a| a.instance == instance)
        .map(|a| a.index)
        .collect();
    if held.contains(&index) {
        return Some(AttachRefusal::IndexBusy);
    }
    let limit = interface_limit(&target.kind);
    (held.len() >= limit).then_some(AttachRefusal::TooMany { limit })
}

impl Cloud {
    /// [`Resources`] need no cloud to know this; DescribeInstanceTypes says the same.
    pub(crate) fn interface_limit(kind: &str) -> usize {
        interface_limit(kind)
    }

    /// The secondary interfaces that an instance has: what the VPC must put into it when it boots again.
    pub fn interfaces_of(&self, instance: &str) -> Vec<Hotplug> {
        let held = self.read(super::View::Now, |r| {
            let held = r.enis.values().filter(|e| {
                e.attachment.as_ref().is_some_and(|a| {
                    a.instance == instance && a.index > 0 && a.status != AttachmentStatus::Detaching
                })
            });
            held.cloned().collect::<Vec<_>>()
        });
        held.iter().map(|eni| self.plug(eni, instance)).collect()
    }

    /// The instance that has an interface with this address.
    pub(crate) fn at(&self, address: IpAddr) -> Option<String> {
        let address = address.to_string();
        self.read(super::View::Now, |r| {
            r.enis.values().find(|eni| eni.address == address)?.owner().map(str::to_owned)
        })
    }

    /// Attaches, or says why not. The attachment's id.
    pub(crate) fn attach(
        &self,
        eni: &str,
        instance: &str,
        index: u32,
        caller: &Principal,
    ) -> Result<String, AttachRefusal> {
        let number = self.next_id();
        let attached = self.change(|r| {
            if let Some(refusal) = refuse_attach(r, eni, instance, index) {
                let owner_state = r.enis.get(eni).and_then(Eni::owner).and_then(|o| r.instance_state(o));
                return Err((refusal, owner_state));
            }
            let id = format!("eni-attach-{number:017x}");
            if let Some(eni) = r.enis.get_mut(eni) {
                eni.attachment = Some(Attachment {
                    id: id.clone(),
                    instance: instance.to_owned(),
                    index,
                    status: AttachmentStatus::Attaching,
                    delete_on_termination: false,
                    since: Timestamp::now(),
                    in_metadata: false,
                    index_in_metadata: false,
                });
            }
            Ok(id)
        });
        match attached {
            Ok(id) => {
                self.follow_attach(eni, &id);
                Ok(id)
            }
            Err((refusal, owner_state)) => {
                if let (AttachRefusal::InUse { owner }, Some(state)) = (&refusal, owner_state)
                    && owner != instance
                    && state.living()
                {
                    let who = caller.arn(&self.spec().account);
                    let details =
                        format!("{who} tried to attach {eni}, which {} {owner} holds", state.text());
                    self.forbid(Rule::AttachLivingOwner, details);
                }
                Err(refusal)
            }
        }
    }

    fn follow_attach(&self, eni: &str, attachment: &str) {
        let delays = &self.spec().delays;
        let step = |delay, act: fn(&mut Attachment)| {
            let (eni, attachment) = (eni.to_owned(), attachment.to_owned());
            self.after(delay, move |cloud| {
                // An attachment that ended meanwhile has no next step.
                let _ = cloud.change(|r| on_attachment(r, &eni, &attachment, act));
            });
        };
        step(delays.attach, |a| {
            if a.status == AttachmentStatus::Attaching {
                a.status = AttachmentStatus::Attached;
            }
        });
        step(delays.metadata, |a| a.in_metadata = true);
        step(delays.device_number, |a| a.index_in_metadata = true);
        let (eni, attachment) = (eni.to_owned(), attachment.to_owned());
        self.after(delays.hotplug, move |cloud| {
            if let Some(eni) = cloud.eni(&eni)
                && let Some(held) = &eni.attachment
                && held.id == attachment
                && held.status != AttachmentStatus::Detaching
                && cloud.instance_state(&held.instance) == Some(InstanceState::Running)
            {
                cloud.send(cloud.plug(&eni, &held.instance));
            }
        });
    }

    /// The interface as the VPC needs it.
    fn plug(&self, eni: &Eni, instance: &str) -> Hotplug {
        let cidr = self.read(super::View::Now, |r| {
            r.subnets.iter().find(|s| s.id == eni.subnet).map(|s| s.cidr.clone()).unwrap_or_default()
        });
        let (network, prefix) = cidr.split_once('/').unwrap_or((&cidr, "24"));
        let gateway = network.rsplit_once('.').map(|(net, _)| format!("{net}.1")).unwrap_or_default();
        Hotplug::Plug {
            eni: eni.id.clone(),
            instance: instance.to_owned(),
            mac: eni.mac.clone(),
            address: eni.address.clone(),
            prefix: prefix.parse().unwrap_or(24),
            gateway,
        }
    }

    /// Detaches, or says why not.
    pub(crate) fn detach(&self, attachment: &str, caller: &Principal) -> Result<(), DetachRefusal> {
        let (eni, owner, owner_state) = self.change(|r| {
            let found =
                r.enis.values_mut().find(|e| e.attachment.as_ref().is_some_and(|a| a.id == attachment));
            let Some(eni) = found else { return Err(DetachRefusal::NoSuchAttachment) };
            let id = eni.id.clone();
            let Some(held) = eni.attachment.as_mut() else { return Err(DetachRefusal::NoSuchAttachment) };
            if held.index == 0 {
                return Err(DetachRefusal::Primary);
            }
            if held.status == AttachmentStatus::Detaching {
                return Err(DetachRefusal::AlreadyDetaching);
            }
            held.status = AttachmentStatus::Detaching;
            let owner = held.instance.clone();
            let state = r.instance_state(&owner);
            Ok((id, owner, state))
        })?;
        if let Some(state) = owner_state.filter(|s| s.living())
            && caller.instance() != Some(owner.as_str())
        {
            let who = caller.arn(&self.spec().account);
            let details = format!("{who} detached {eni} from {} {owner}", state.text());
            self.forbid(Rule::DetachLivingOwner, details);
        }
        let attachment = attachment.to_owned();
        self.after(self.spec().delays.detach, move |cloud| cloud.released(&eni, &attachment));
        Ok(())
    }

    /// Somebody takes the interface from its owner by hand, whatever that does: no act of an agent's.
    pub fn wrest(&self, eni: &str) -> bool {
        let held = self.change(|r| {
            let held = r.enis.get_mut(eni)?.attachment.as_mut()?;
            held.status = AttachmentStatus::Detaching;
            Some(held.id.clone())
        });
        let Some(held) = held else { return false };
        let eni = eni.to_owned();
        self.after(self.spec().delays.detach, move |cloud| cloud.released(&eni, &held));
        true
    }

    /// The end of an attachment: the interface leaves the guest, the ENI is free, or gone.
    pub(super) fn released(&self, eni: &str, attachment: &str) {
        let owner = self.change(|r| {
            let held = r.enis.get_mut(eni)?;
            let ended = held.attachment.take_if(|a| a.id == attachment)?;
            if ended.delete_on_termination
                && r.instance_state(&ended.instance) == Some(InstanceState::Terminated)
            {
                r.enis.remove(eni);
            }
            Some(ended.instance)
        });
        if let Some(instance) = owner {
            self.send(Hotplug::Unplug { eni: eni.to_owned(), instance });
        }
    }

    pub(crate) fn set_delete_on_termination(&self, eni: &str, attachment: &str, value: bool) -> bool {
        self.change(|r| on_attachment(r, eni, attachment, |a| a.delete_on_termination = value))
    }

    pub(crate) fn tag(&self, resource: &str, tags: Vec<(String, String)>) {
        self.change(|r| {
            let found = r.enis.get_mut(resource).map(|e| &mut e.tags);
            let found = found.or_else(|| r.instances.get_mut(resource).map(|i| &mut i.tags));
            if let Some(found) = found {
                found.extend(tags);
            }
        });
    }

    pub(crate) fn set_description(&self, eni: &str, text: &str) {
        self.change(|r| {
            if let Some(eni) = r.enis.get_mut(eni) {
                text.clone_into(&mut eni.description);
            }
        });
    }
}

/// Whether the attachment still was there.
fn on_attachment(r: &mut Resources, eni: &str, attachment: &str, act: impl FnOnce(&mut Attachment)) -> bool {
    let held = r.enis.get_mut(eni).and_then(|e| e.attachment.as_mut()).filter(|a| a.id == attachment);
    held.map(act).is_some()
}
