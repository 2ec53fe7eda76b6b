//! Whoever does to the machine what the cloud says: interfaces, power.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::sync::mpsc::UnboundedReceiver;

use super::machine::Machine;
use crate::cloud::{Cloud, Hotplug, Power};
use crate::judge::START;
use crate::ledger::{Event, Ledger};
use crate::vpc::EniPlan;

pub struct Attendant {
    pub machine: Machine,
    pub enis: BTreeMap<String, EniPlan>,
    pub cloud: Cloud,
    pub ledger: Arc<Ledger>,
}

impl Attendant {
    /// Obeys until the cloud is gone.
    pub async fn attend(self: Arc<Self>, mut plugs: UnboundedReceiver<Hotplug>) {
        while let Some(plug) = plugs.recv().await {
            if let Err(error) = self.obey(&plug).await {
                self.ledger.record(Event::Mark { what: format!("the world failed: {plug:?}: {error:#}") });
            }
        }
    }

    async fn obey(&self, plug: &Hotplug) -> Result<()> {
        let ours = &self.machine.order().instance_id;
        match plug {
            Hotplug::Plug { eni, instance, .. } if instance == ours => {
                let plan = self.enis.get(eni).with_context(|| format!("no plan says how {eni} is wired"))?;
                self.machine.plug(plan).await
            }
            Hotplug::Unplug { eni, instance } if instance == ours => self.machine.unplug(eni).await,
            Hotplug::Power { instance, power } if instance == ours => self.switch(*power).await,
            // The other instances of the cloud have no machines.
            Hotplug::Plug { .. } | Hotplug::Unplug { .. } | Hotplug::Power { .. } => Ok(()),
        }
    }

    async fn switch(&self, power: Power) -> Result<()> {
        let on = self.machine.is_on().await;
        let switched = match power {
            Power::Off if on => self.machine.shut_down().await,
            Power::On if !on => self.power_on().await,
            Power::OnElsewhere if !on => {
                self.machine.elsewhere().await?;
                self.power_on().await
            }
            Power::Off | Power::On | Power::OnElsewhere => Ok(()),
        };
        // An end that failed is told, and must not keep the instance from its end.
        self.cloud.powered(&self.machine.order().instance_id, power != Power::Off);
        switched
    }

    /// A life of the machine begins: everything is to be proven again.
    pub async fn power_on(&self) -> Result<()> {
        self.ledger.record(Event::Mark { what: START.to_owned() });
        self.machine.power_on().await
    }
}
