//! The resources that a specification asks for, and those that are launched later.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::resources::{
    Attachment, AttachmentStatus, Eni, Group, Instance, InstanceState, Lifecycle, Member, Resources, mac_of,
};
use super::spec::{CloudSpec, EniSpec, InstanceSpec};

impl Resources {
    pub(super) fn build(spec: &CloudSpec) -> Self {
        let mut built = Self {
            subnets: spec.subnets.clone(),
            route_tables: spec.route_tables.clone(),
            security_groups: spec.security_groups.clone(),
            ..Self::default()
        };
        for instance in &spec.instances {
            if let Some(state) = instance.state {
                built.launch(instance, state);
            }
        }
        for eni in &spec.enis {
            let zone = built.zone(&eni.subnet);
            built.enis.insert(eni.id.clone(), Eni::build(eni, zone));
        }
        for group in &spec.groups {
            let members = group.members.iter().map(|m| (m.instance.clone(), Member::new(m.state)));
            let built_group = Group { spec: group.clone(), members: members.collect() };
            built.groups.insert(group.name.clone(), built_group);
        }
        built.tag_members();
        built
    }

    /// Auto Scaling tags its instances with the name of their group.
    fn tag_members(&mut self) {
        for (name, group) in &self.groups {
            for id in group.members.keys() {
                if let Some(instance) = self.instances.get_mut(id) {
                    instance.tags.insert("aws:autoscaling:groupName".into(), name.clone());
                }
            }
        }
    }

    /// Creates an instance with its primary interface.
    pub(super) fn launch(&mut self, spec: &InstanceSpec, state: InstanceState) {
        let zone = self.zone(&spec.subnet);
        let mac = spec.mac.clone().unwrap_or_else(|| mac_of(&spec.address));
        let suffix: String = spec.id.chars().skip(2).collect();
        let primary = Eni {
            id: format!("eni-{suffix}"),
            address: spec.address.clone(),
            mac,
            subnet: spec.subnet.clone(),
            zone: zone.clone(),
            groups: spec.groups.clone(),
            tags: BTreeMap::new(),
            description: String::new(),
            requester_managed: false,
            attachment: (state != InstanceState::Terminated)
                .then(|| Attachment::settled(format!("eni-attach-{suffix}"), spec.id.clone(), 0, true)),
        };
        if primary.attachment.is_some() {
            self.enis.insert(primary.id.clone(), primary);
        }
        let instance = Instance {
            id: spec.id.clone(),
            kind: spec.kind.clone(),
            address: spec.address.clone(),
            subnet: spec.subnet.clone(),
            zone,
            role: spec.role.clone(),
            tags: spec.tags.clone(),
            state,
            launched: Timestamp::now(),
            user_data: spec.user_data.clone(),
            metadata_tags: spec.metadata_tags,
            impaired: false,
            spot_notice: None,
            rebalance_notice: None,
        };
        self.instances.insert(spec.id.clone(), instance);
    }

    pub(super) fn join(&mut self, group: &str, instance: &str, state: Lifecycle) {
        if let Some(group) = self.groups.get_mut(group) {
            group.members.insert(instance.to_owned(), Member::new(state));
        }
        self.tag_members();
    }

    fn zone(&self, subnet: &str) -> String {
        self.subnets.iter().find(|s| s.id == subnet).map(|s| s.zone.clone()).unwrap_or_default()
    }
}

impl Eni {
    fn build(spec: &EniSpec, zone: String) -> Self {
        let suffix: String = spec.id.chars().skip(4).collect();
        Self {
            id: spec.id.clone(),
            address: spec.address.clone(),
            mac: spec.mac.clone().unwrap_or_else(|| mac_of(&spec.address)),
            subnet: spec.subnet.clone(),
            zone,
            groups: spec.groups.clone(),
            tags: spec.tags.clone(),
            description: spec.description.clone(),
            requester_managed: spec.requester_managed,
            attachment: spec.owner.as_ref().map(|owner| {
                let id = format!("eni-attach-{suffix}");
                Attachment::settled(id, owner.clone(), 1, spec.delete_on_termination)
            }),
        }
    }
}

impl Attachment {
    fn settled(id: String, instance: String, index: u32, delete_on_termination: bool) -> Self {
        Self {
            id,
            instance,
            index,
            status: AttachmentStatus::Attached,
            delete_on_termination,
            since: Timestamp::now(),
            in_metadata: true,
            index_in_metadata: true,
        }
    }
}
