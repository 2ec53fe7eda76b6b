//! What the acts of a case do.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::case::Act;
use super::life::Life;
use super::play::Play;
use super::reader::Round;
use crate::cloud::resources::InstanceState;
use crate::cloud::spec::NEW;
use crate::ledger::{Client, Event};

/// An emulated processor needs minutes for what takes seconds elsewhere.
const BOOT: Duration = Duration::from_mins(10);
const SCRIPT: Duration = Duration::from_mins(4);
const LOOK: Duration = Duration::from_millis(500);
/// Between two questions that are asked inside: each of them is a second of an emulated processor.
const ASK: Duration = Duration::from_secs(5);
/// Long enough for a guest's agent that is there.
const KNOCK: Duration = Duration::from_secs(1);
/// Long enough for both readers to come round on a busy machine.
const ROUNDS: Duration = Duration::from_secs(5);

const UNIT: &str = "weaviate-provisioner.service";

/// How the unit stands: `ActiveState`, `SubState` and the exit status of its main process.
struct Unit {
    active: String,
    sub: String,
    status: String,
}

impl Play {
    pub(super) async fn act(&mut self, act: &Act) -> Result<()> {
        self.site.ledger.record(Event::Mark { what: format!("act: {act:?}") });
        match act {
            Act::Serving => {
                self.until_serving().await?;
                let life = Life::look(&self.machine().guest, self.began).await?;
                self.lives.push(life);
                Ok(())
            }
            Act::Waiting { says } => self.until_waiting(says).await,
            Act::ClosedUntil { call, times } => self.closed_until(call, *times).await,
            Act::Reboot => {
                // The agent of the guest is ended by it, and its answer with it.
                let _ = self.machine().guest.run("systemctl --no-block reboot", SCRIPT).await;
                self.machine().until_off(SCRIPT).await?;
                self.power_on("reboot").await
            }
            Act::PowerCut { call, times } => {
                if let Some(call) = call {
                    self.until_called(call, *times).await?;
                }
                self.machine().power_cut().await?;
                self.power_on("power cut").await
            }
            Act::StopStart => {
                let cloud = self.site.cloud.clone();
                ensure!(cloud.stop(NEW), "the instance was not there to be stopped");
                self.until_state(InstanceState::Stopped).await?;
                (self.since, self.began) = (Timestamp::now(), "stopped and started");
                ensure!(cloud.start_instance(NEW), "the instance was not there to be started");
                self.until_state(InstanceState::Running).await
            }
            Act::ReplaceRoot => {
                self.machine().shut_down().await?;
                self.machine().replace_root().await?;
                self.power_on("root volume replaced").await
            }
            Act::Inside { script } => self.machine().guest.succeed(script, SCRIPT).await.map(drop),
            Act::Unnoticed { script } => self.unnoticed(script).await,
            Act::ComesBack { script } => self.comes_back(script).await,
            Act::Upgrade => {
                let install = self.handed(0, "/run/upgrade.deb")?;
                let script = format!(
                    "{install}\nDEBIAN_FRONTEND=noninteractive apt-get -qq install --yes /run/upgrade.deb"
                );
                self.unnoticed(&script).await
            }
            Act::MakeImage => self.make_image().await,
            Act::MetadataSilent { seconds } => {
                self.site.vpc.silence_metadata().await?;
                let (vpc, late) = (self.site.vpc.clone(), Duration::from_secs(*seconds));
                self.beside(async move {
                    vpc.until_metadata_asked().await?;
                    sleep(late).await;
                    vpc.hear_metadata().await
                });
                Ok(())
            }
            Act::Replug => self.replug().await,
            Act::Ended => self.until_state(InstanceState::Terminated).await,
        }
    }

    pub(super) async fn power_on(&mut self, began: &'static str) -> Result<()> {
        (self.since, self.began) = (Timestamp::now(), began);
        self.attendant.power_on().await
    }

    async fn unit(&self) -> Result<Unit> {
        let show = format!("systemctl show {UNIT} --property=ActiveState,SubState,ExecMainStatus");
        let shown = self.machine().guest.succeed(&show, SCRIPT).await?;
        let value = |name: &str| {
            let line = shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap_or_default().to_owned()
        };
        Ok(Unit { active: value("ActiveState"), sub: value("SubState"), status: value("ExecMainStatus") })
    }

    async fn until_serving(&self) -> Result<()> {
        let end = Instant::now() + BOOT;
        self.until_answered(end).await?;
        loop {
            let Unit { active, sub, status } = self.unit().await?;
            if active == "active" {
                break;
            }
            ensure!(active != "failed", "the unit failed with {status} and does not serve");
            ensure!(Instant::now() < end, "the unit is {active} ({sub}) after {BOOT:?}");
            sleep(ASK).await;
        }
        let held = self.site.held().context("nothing was published that could be counted")?;
        for client in [Client::Near, Client::Far] {
            let counts = self.site.count(client, &held).await?;
            ensure!(counts == held, "{client:?} counts {counts:?}, not {held:?}");
        }
        let (_, _, stranger) = self.site.look().await;
        ensure!(stranger == 0, "the stranger is answered {stranger}");
        Ok(())
    }

    /// Until both readers were answered. What goes on inside is asked for now and then only.
    async fn until_answered(&self, end: Instant) -> Result<()> {
        let began = Timestamp::now();
        let mut inside = Instant::now() + ASK;
        loop {
            let sights = self.readers.since(began);
            let answered = |client| sights.iter().any(|s| s.client == client && s.round == Round::Right);
            if [Client::Near, Client::Far].into_iter().all(answered) {
                return Ok(());
            }
            ensure!(self.machine().is_on().await, "the machine is off; {}", self.last_lines());
            if Instant::now() > inside && self.machine().guest.ready(KNOCK).await.is_ok() {
                let Unit { active, status, .. } = self.unit().await?;
                ensure!(active != "failed", "the unit failed with {status} and does not serve");
                inside = Instant::now() + 4 * ASK;
            }
            ensure!(Instant::now() < end, "nobody was answered within {BOOT:?}; {}", self.last_lines());
            sleep(LOOK).await;
        }
    }

    async fn comes_back(&self, script: &str) -> Result<()> {
        // systemd gives each run an id of its own.
        let id = format!("systemctl show {UNIT} --property=InvocationID --value");
        let guest = &self.machine().guest;
        let before = guest.succeed(&id, SCRIPT).await?;
        guest.succeed(script, SCRIPT).await?;
        let end = Instant::now() + BOOT;
        while guest.succeed(&id, SCRIPT).await? == before {
            ensure!(Instant::now() < end, "no other run of the unit has begun after {BOOT:?}");
            sleep(ASK).await;
        }
        self.until_serving().await
    }

    async fn until_waiting(&self, says: &str) -> Result<()> {
        let end = Instant::now() + BOOT;
        self.machine().guest.ready(BOOT).await.with_context(|| self.last_lines())?;
        loop {
            let show = format!("systemctl show {UNIT} --property=StatusText --value");
            let status = self.machine().guest.succeed(&show, SCRIPT).await?;
            let Unit { active, sub, status: code } = self.unit().await?;
            ensure!(
                active != "active" && active != "failed",
                "the unit is {active} ({code}), and was to wait"
            );
            if status.contains(says) {
                break;
            }
            ensure!(Instant::now() < end, "the unit is {active} ({sub}) and says {status:?} after {BOOT:?}");
            sleep(ASK).await;
        }
        self.nobody_got_in()
    }

    fn nobody_got_in(&self) -> Result<()> {
        let reached = self.site.ledger.since(self.since).into_iter().find_map(|seen| match seen.event {
            Event::Reached { client, port } => Some(format!("{client:?} reached port {port} at {}", seen.at)),
            _ => None,
        });
        match reached {
            Some(reached) => bail!("nobody was to get in: {reached}"),
            None => Ok(()),
        }
    }

    async fn until_called(&self, call: &str, times: u64) -> Result<()> {
        let end = Instant::now() + BOOT;
        loop {
            let seen = crate::case::calls(&self.site.ledger.since(self.since)).get(call).copied();
            if seen.unwrap_or_default() >= times {
                return Ok(());
            }
            ensure!(Instant::now() < end, "{call} was called {seen:?} times within {BOOT:?}, not {times}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn closed_until(&self, call: &str, times: u64) -> Result<()> {
        self.until_called(call, times).await?;
        self.nobody_got_in()
    }

    async fn until_state(&self, wanted: InstanceState) -> Result<()> {
        let cloud = &self.site.cloud;
        let reached = cloud.until(|resources| resources.instance_state(NEW) == Some(wanted));
        tokio::time::timeout(BOOT, reached).await.with_context(|| format!("the instance is not {wanted:?}"))
    }

    async fn unnoticed(&self, script: &str) -> Result<()> {
        let began = Timestamp::now();
        self.machine().guest.succeed(script, SCRIPT).await?;
        self.until_serving().await?;
        sleep(ROUNDS).await;
        let sights = self.readers.since(began);
        for client in [Client::Near, Client::Far] {
            let rounds = sights.iter().filter(|sight| sight.client == client).count();
            ensure!(rounds > 1, "{client:?} asked {rounds} times only: that says nothing");
        }
        let failed = sights.into_iter().find(|sight| sight.round != Round::Right);
        match failed {
            Some(sight) => bail!("{:?} noticed it at {}: {:?}", sight.client, sight.at, sight.round),
            None => Ok(()),
        }
    }

    /// The lines by which the machine reads a file that was handed to it as a disk.
    fn handed(&self, number: usize, to: &str) -> Result<String> {
        let handed = &self.machine().order().handed;
        let file = handed.get(number).context("nothing was handed to the machine")?;
        let (bytes, letter) = (std::fs::metadata(file)?.len(), [b'b', b'c'][number] as char);
        Ok(format!("head --bytes={bytes} /dev/vd{letter} >{to}"))
    }

    async fn make_image(&mut self) -> Result<()> {
        let guest = &self.machine().guest;
        guest.ready(BOOT).await.with_context(|| self.last_lines())?;
        // As a builder does: when cloud-init has ended.
        guest.succeed("cloud-init status --wait", BOOT).await?;
        let recipe = std::fs::read_to_string(self.site.programs.repository.join("packaging/ami.sh"))?;
        let (package, archive) =
            (self.handed(0, "/var/tmp/package.deb")?, self.handed(1, "/var/tmp/image.tar")?);
        let script = format!(
            "set -eu\n{package}\n{archive}\ncat >/var/tmp/ami.sh <<'RECIPE'\n{recipe}\nRECIPE\n\
             bash /var/tmp/ami.sh --package /var/tmp/package.deb --image-archive /var/tmp/image.tar\n\
             rm /var/tmp/package.deb /var/tmp/image.tar /var/tmp/ami.sh"
        );
        guest.succeed(&script, BOOT).await?;
        self.machine().shut_down().await?;
        self.site.cloud.give_user_data(NEW, self.user_data.clone());
        self.power_on("first boot of an image").await?;
        self.site.cloud.start();
        Ok(())
    }

    async fn replug(&self) -> Result<()> {
        let (id, plan) = self.attendant.enis.first_key_value().context("the cloud has an ENI")?;
        let attached = self.site.cloud.until(|r| r.enis.get(id).is_some_and(|eni| eni.owner() == Some(NEW)));
        tokio::time::timeout(BOOT, attached).await.context("the interface is not attached")?;
        while !self.machine().has(id).await {
            sleep(LOOK).await;
        }
        self.machine().unplug(id).await?;
        self.machine().plug(plan).await
    }
}
