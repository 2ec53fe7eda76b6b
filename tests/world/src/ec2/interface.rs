//! The calls that change an ENI: attach, detach, modify, tag.

use std::collections::BTreeMap;

use super::{ATTACHMENT, INSTANCE, INTERFACE, dry_run};
use crate::cloud::resources::{Eni, Resources};
use crate::cloud::{AttachRefusal, Cloud, DetachRefusal, View};
use crate::endpoint::{Answer, Call, Refusal, Xml};
use crate::iam::{Context, Resource};

fn arn(cloud: &Cloud, kind: &str, id: &str) -> String {
    format!("arn:aws:ec2:{}:{}:{kind}/{id}", cloud.spec().region, cloud.spec().account)
}

fn eni_resource(cloud: &Cloud, eni: &Eni) -> Resource {
    Resource::new(arn(cloud, "network-interface", &eni.id)).tagged(&eni.tags)
}

/// The instance with its tags, as far as it still is there.
fn instance_resource(cloud: &Cloud, r: &Resources, id: &str) -> Resource {
    let resource = Resource::new(arn(cloud, "instance", id));
    match r.instances.get(id) {
        Some(instance) => resource.tagged(&instance.tags),
        None => resource,
    }
}

fn done() -> Answer {
    Answer::Xml(vec![Xml::leaf("return", true)])
}

/// A write does not act on a stale state; a resource that "appears late" is not there for it either.
const fn writable(view: View) -> View {
    match view {
        View::Absent => View::Absent,
        View::Now | View::Stale => View::Now,
    }
}

pub(super) fn attach(cloud: &Cloud, call: &Call) -> Result<Answer, Refusal> {
    let eni = call.require("NetworkInterfaceId")?;
    let instance = call.require("InstanceId")?;
    let index = call.require("DeviceIndex")?;
    INTERFACE.check(eni)?;
    INSTANCE.check(instance)?;
    let index: u32 = index.parse().map_err(|_| {
        Refusal::bad("InvalidParameterValue", format!("Invalid value '{index}' for parameter deviceIndex"))
    })?;
    let resources = cloud.read(writable(call.view), |r| {
        let eni = r.enis.get(eni).ok_or_else(|| INTERFACE.missing(eni))?;
        if !r.instances.contains_key(instance) {
            return Err(INSTANCE.missing(instance));
        }
        Ok([eni_resource(cloud, eni), instance_resource(cloud, r, instance)])
    })?;
    call.authorize(cloud, &resources, &Context::new())?;
    dry_run(call)?;
    let attached = cloud.attach(eni, instance, index, &call.principal);
    let id = attached.map_err(|refusal| refuse_attach(cloud, &refusal, eni, instance, index))?;
    Ok(Answer::Xml(vec![Xml::leaf("attachmentId", id), Xml::leaf("networkCardIndex", 0)]))
}

fn refuse_attach(cloud: &Cloud, refusal: &AttachRefusal, eni: &str, instance: &str, index: u32) -> Refusal {
    match refusal {
        AttachRefusal::NoSuchEni => INTERFACE.missing(eni),
        AttachRefusal::NoSuchInstance => INSTANCE.missing(instance),
        AttachRefusal::RequesterManaged => Refusal::bad(
            "OperationNotPermitted",
            "You do not have permission to access the specified resource.",
        ),
        AttachRefusal::InUse { .. } => {
            Refusal::bad(&cloud.spec().in_use_code, format!("Interface: [{eni}] in use."))
        }
        AttachRefusal::OtherZone => Refusal::bad(
            "InvalidParameterCombination",
            "You may not attach a network interface to an instance if they are not in the same availability zone",
        ),
        AttachRefusal::InstanceState(_) => {
            Refusal::bad("IncorrectState", format!("Instance '{instance}' is not 'running' or 'stopped'."))
        }
        AttachRefusal::IndexBusy => Refusal::bad(
            "InvalidParameterValue",
            format!("Instance '{instance}' already has an interface attached at device index '{index}'."),
        ),
        AttachRefusal::TooMany { limit } => Refusal::bad(
            "AttachmentLimitExceeded",
            format!("Interface count {} exceeds the limit of {limit} for the instance type", limit + 1),
        ),
    }
}

pub(super) fn detach(cloud: &Cloud, call: &Call) -> Result<Answer, Refusal> {
    let attachment = call.require("AttachmentId")?;
    ATTACHMENT.check(attachment)?;
    let resources = cloud.read(writable(call.view), |r| {
        let (eni, owner) = held(r, attachment).ok_or_else(|| ATTACHMENT.missing(attachment))?;
        Ok([eni_resource(cloud, eni), instance_resource(cloud, r, owner)])
    })?;
    call.authorize(cloud, &resources, &Context::new())?;
    dry_run(call)?;
    match cloud.detach(attachment, &call.principal) {
        Ok(()) => Ok(done()),
        Err(DetachRefusal::NoSuchAttachment) => Err(ATTACHMENT.missing(attachment)),
        Err(DetachRefusal::Primary) => Err(Refusal::bad(
            "OperationNotPermitted",
            "The network interface at device index 0 and networkCard index 0 cannot be detached.",
        )),
        Err(DetachRefusal::AlreadyDetaching) => {
            Err(Refusal::bad("IncorrectState", format!("Attachment '{attachment}' is already detaching.")))
        }
    }
}

fn held<'a>(r: &'a Resources, attachment: &str) -> Option<(&'a Eni, &'a str)> {
    r.enis.values().find_map(|eni| {
        let held = eni.attachment.as_ref().filter(|a| a.id == attachment)?;
        Some((eni, held.instance.as_str()))
    })
}

pub(super) fn modify(cloud: &Cloud, call: &Call) -> Result<Answer, Refusal> {
    let id = call.require("NetworkInterfaceId")?;
    INTERFACE.check(id)?;
    let attachment = call.get("Attachment.AttachmentId");
    let resources = cloud.read(writable(call.view), |r| {
        let eni = r.enis.get(id).ok_or_else(|| INTERFACE.missing(id))?;
        let mut resources = vec![eni_resource(cloud, eni)];
        if attachment.is_some() {
            resources.extend(eni.owner().map(|owner| instance_resource(cloud, r, owner)));
        }
        Ok(resources)
    })?;
    call.authorize(cloud, &resources, &Context::new())?;
    dry_run(call)?;
    if let Some(text) = call.get("Description.Value") {
        cloud.set_description(id, text);
        return Ok(done());
    }
    match (attachment, call.get("Attachment.DeleteOnTermination")) {
        (Some(attachment), Some(value)) => {
            let value = value.eq_ignore_ascii_case("true");
            if cloud.set_delete_on_termination(id, attachment, value) {
                Ok(done())
            } else {
                Err(ATTACHMENT.missing(attachment))
            }
        }
        (None, Some(_)) => Err(Refusal::bad(
            "MissingParameter",
            "The request must contain the parameter attachment.attachmentId",
        )),
        (_, None) => Err(Refusal::bad("InvalidParameterCombination", "No attributes specified.")),
    }
}

pub(super) fn create_tags(cloud: &Cloud, call: &Call) -> Result<Answer, Refusal> {
    let ids = call.list("ResourceId");
    if ids.is_empty() {
        call.require("ResourceId")?;
    }
    let tags: Vec<(String, String)> = (1..)
        .map_while(|n| call.get(&format!("Tag.{n}.Key")).map(|key| (n, key)))
        .map(|(n, key)| (key.to_owned(), call.get(&format!("Tag.{n}.Value")).unwrap_or_default().to_owned()))
        .collect();
    if tags.is_empty() {
        call.require("Tag")?;
    }
    let resources = cloud.read(writable(call.view), |r| {
        let find = |id: &&str| match r.enis.get(*id) {
            Some(eni) => Ok(eni_resource(cloud, eni)),
            None if r.instances.contains_key(*id) => Ok(instance_resource(cloud, r, id)),
            None if id.starts_with("eni-") => Err(INTERFACE.missing(id)),
            None if id.starts_with("i-") => Err(INSTANCE.missing(id)),
            None => Err(Refusal::bad("InvalidID", format!("The ID '{id}' is not valid"))),
        };
        ids.iter().map(find).collect::<Result<Vec<_>, _>>()
    })?;
    let mut context: Context =
        BTreeMap::from([("aws:TagKeys".to_owned(), tags.iter().map(|(key, _)| key.clone()).collect())]);
    for (key, value) in &tags {
        context.insert(format!("aws:RequestTag/{key}"), vec![value.clone()]);
    }
    call.authorize(cloud, &resources, &context)?;
    dry_run(call)?;
    if tags.iter().any(|(key, _)| key.starts_with("aws:")) {
        let text = "Tag keys starting with 'aws:' are reserved for internal use";
        return Err(Refusal::bad("InvalidParameterValue", text));
    }
    for id in ids {
        cloud.tag(id, tags.clone());
    }
    Ok(done())
}
