//! The EC2 double: the calls around one ENI, as strict as the real service.
//!
//! ```text
//!  answer ─▶ describe  (policy `*`, ids, filters, pages) ─▶ render
//!        └─▶ interface (attach, detach, modify, tags: found ─▶ policy ─▶ DryRun ─▶ state)
//! ```
//!
//! To add a call: an arm in [`answer`]. To add a filter: an arm in `filters`.

mod describe;
mod filters;
mod interface;
mod render;
#[cfg(test)]
mod tests;
mod types;

use crate::assumptions::{Behaviour, Known};
use crate::cloud::Cloud;
use crate::endpoint::{Answer, Call, Refusal};
use crate::iam::Context;

const ERRORS: &str = "Error codes for the Amazon EC2 API";

/// What the world claims about EC2.
pub const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        name: "ec2.attach.in-use",
        what: "InvalidNetworkInterface.InUse, or InvalidParameterValue, as the case chooses",
        known: Known::Documented(ERRORS),
    },
    Behaviour {
        name: "ec2.attach.index-busy",
        what: "InvalidParameterValue: the instance already has an interface attached at the device index",
        known: Known::Documented("the text is quoted in public issues of several tools"),
    },
    Behaviour {
        name: "ec2.attach.other-zone",
        what: "InvalidParameterCombination: not in the same availability zone",
        known: Known::Documented("the text is quoted in public issues of several tools"),
    },
    Behaviour {
        name: "ec2.attach.too-many",
        what: "AttachmentLimitExceeded by the instance type's number of interfaces",
        known: Known::Documented(ERRORS),
    },
    Behaviour {
        name: "ec2.attach.instance-state",
        what: "IncorrectState unless the instance is running or stopped",
        known: Known::Documented(ERRORS),
    },
    Behaviour {
        name: "ec2.attach.requester-managed",
        what: "OperationNotPermitted for an ENI that a service owns",
        known: Known::Documented(ERRORS),
    },
    Behaviour {
        name: "ec2.ids",
        what: "a malformed id is refused with its .Malformed code, a missing one with .NotFound",
        known: Known::Documented(ERRORS),
    },
    Behaviour {
        name: "ec2.detach.gone",
        what: "InvalidAttachmentID.NotFound once the attachment ended",
        known: Known::Documented(ERRORS),
    },
    Behaviour {
        name: "ec2.detach.primary",
        what: "OperationNotPermitted for device index 0",
        known: Known::Documented(ERRORS),
    },
    Behaviour {
        name: "ec2.detach.twice",
        what: "IncorrectState while the attachment is detaching already",
        known: Known::Assumed("no text was found; the code is in the list"),
    },
    Behaviour {
        name: "ec2.delete-on-termination",
        what: "belongs to the attachment: false after each attach, changed by its attachment id",
        known: Known::Documented("EC2 API reference, ModifyNetworkInterfaceAttribute"),
    },
    Behaviour {
        name: "ec2.pages",
        what: "MaxResults is 5 to 1000 and excludes ids",
        known: Known::Documented("EC2 API reference, DescribeNetworkInterfaces"),
    },
    Behaviour {
        name: "ec2.dry-run",
        what: "412 DryRunOperation when the policy allows the call, whatever the state is",
        known: Known::Documented("EC2 API reference, common parameters"),
    },
    Behaviour {
        name: "ec2.status.attaching",
        what: "the interface's own status follows the attachment: available, attaching, in-use, detaching",
        known: Known::Documented("EC2 API reference, NetworkInterface.Status"),
    },
];

/// Answers one EC2 call.
pub fn answer(cloud: &Cloud, call: &Call) -> Result<Answer, Refusal> {
    match call.operation.as_str() {
        "AttachNetworkInterface" => interface::attach(cloud, call),
        "DetachNetworkInterface" => interface::detach(cloud, call),
        "ModifyNetworkInterfaceAttribute" => interface::modify(cloud, call),
        "CreateTags" => interface::create_tags(cloud, call),
        operation if describe::known(operation) => {
            call.authorize(cloud, &[], &Context::new())?;
            dry_run(call)?;
            describe::answer(cloud, call).map(Answer::Xml)
        }
        _ => call.unknown_operation(),
    }
}

/// The end of a call that only asks whether it would be allowed.
fn dry_run(call: &Call) -> Result<(), Refusal> {
    if call.flag("DryRun") {
        let text = "Request would have succeeded, but DryRun flag is set.";
        return Err(Refusal::new(412, "DryRunOperation", text));
    }
    Ok(())
}

/// What EC2 calls an id of this kind when it is missing or malformed.
#[derive(Clone, Copy)]
struct IdKind {
    prefix: &'static str,
    not_found: &'static str,
    malformed: &'static str,
    what: &'static str,
}

const INSTANCE: IdKind = IdKind {
    prefix: "i-",
    not_found: "InvalidInstanceID.NotFound",
    malformed: "InvalidInstanceID.Malformed",
    what: "instance ID",
};
const INTERFACE: IdKind = IdKind {
    prefix: "eni-",
    not_found: "InvalidNetworkInterfaceID.NotFound",
    malformed: "InvalidNetworkInterfaceId.Malformed",
    what: "networkInterface ID",
};
const ATTACHMENT: IdKind = IdKind {
    prefix: "eni-attach-",
    not_found: "InvalidAttachmentID.NotFound",
    malformed: "InvalidNetworkInterfaceAttachmentId.Malformed",
    what: "attachment ID",
};
const GROUP: IdKind = IdKind {
    prefix: "sg-",
    not_found: "InvalidGroup.NotFound",
    malformed: "InvalidGroupId.Malformed",
    what: "security group",
};
const SUBNET: IdKind = IdKind {
    prefix: "subnet-",
    not_found: "InvalidSubnetID.NotFound",
    malformed: "InvalidSubnetId.Malformed",
    what: "subnet ID",
};
const ROUTE_TABLE: IdKind = IdKind {
    prefix: "rtb-",
    not_found: "InvalidRouteTableID.NotFound",
    malformed: "InvalidRouteTableId.Malformed",
    what: "routeTable ID",
};

impl IdKind {
    fn check(self, id: &str) -> Result<(), Refusal> {
        let number = id.strip_prefix(self.prefix).unwrap_or_default();
        let hexadecimal = number.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hexadecimal && matches!(number.len(), 8 | 17) {
            return Ok(());
        }
        Err(Refusal::bad(self.malformed, format!("Invalid id: \"{id}\"")))
    }

    fn missing(self, id: &str) -> Refusal {
        Refusal::bad(self.not_found, format!("The {} '{id}' does not exist", self.what))
    }
}
