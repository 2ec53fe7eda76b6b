//! Plays a case of a whole machine, and looks at what came of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::attendant::Attendant;
use super::case::Case;
use super::life::Life;
use super::machine::{Machine, Order};
use super::reader::Readers;
use super::{Parts, resolver, user_data};
use crate::cloud::Answered;
use crate::cloud::spec::NEW;
use crate::ledger::Event;
use crate::stage::{Programs, Site};
use crate::vpc::Knockers;

/// Of an instance store: XFS takes what it needs, and the file has holes.
const STORE: u64 = 4 << 30;
/// Between two connections of each client.
const KNOCK: Duration = Duration::from_millis(250);
/// How long the machine may take to show what it has written.
const LOOK_INSIDE: Duration = Duration::from_mins(2);
/// Everything in which a secret could lie, as one stream; not the folder on the tmpfs that is theirs.
const EVERYTHING: &str = "
  cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ
  docker ps --all --quiet | xargs --no-run-if-empty docker inspect
  docker ps --all --quiet | xargs --no-run-if-empty -n 1 docker logs 2>&1
  find /etc /run /tmp /var/tmp /var/lib/weaviate-provisioner /var/log /var/lib/cloud -xdev -type f -size -2M \
    -not -path '/run/weaviate-provisioner/weaviate/*' -not -path '*/journal/*' -print0 | xargs -0 cat
";

/// What came of a case.
#[derive(Debug)]
pub struct Played {
    pub complaints: Vec<String>,
    /// The journal of our units, of all lives.
    pub journal: String,
    pub console: String,
    /// As JSON lines.
    pub ledger: String,
    /// Of each life in which it served.
    pub lives: Vec<Life>,
    /// From power-on to the answer of the hook.
    pub answered: Option<Duration>,
}

pub struct Play {
    pub(super) site: Arc<Site>,
    pub(super) attendant: Arc<Attendant>,
    pub(super) readers: Readers,
    /// When this life of the machine began, and by what.
    pub(super) since: Timestamp,
    pub(super) began: &'static str,
    pub(super) lives: Vec<Life>,
    /// What the instance's launch template says.
    pub(super) user_data: String,
    knockers: Option<Knockers>,
    tasks: Vec<JoinHandle<()>>,
    _resolver: tokio::process::Child,
}

impl Drop for Play {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Sets everything up, plays, judges, and takes it down again.
pub async fn play(case: &Case, programs: &Programs, parts: &Parts) -> Result<Played> {
    let mut play = Play::set(case, programs, parts)
        .await
        .with_context(|| format!("setting up the machine of {}", case.name))?;
    let mut complaints = Vec::new();
    for act in &case.acts {
        if let Err(error) = play.act(act).await {
            complaints.push(format!("{act:?}: {error:#}"));
            break;
        }
    }
    Ok(play.end(case, complaints).await)
}

impl Play {
    async fn set(case: &Case, programs: &Programs, parts: &Parts) -> Result<Self> {
        let package = std::fs::read(&parts.package).context("read the package")?;
        let mut scene = case.scene.clone();
        let model = toml::toml! { [storage]
            model = "QEMU NVMe Ctrl"
        };
        crate::case::lay(&mut scene.config, &model);
        // A launch hook that has a heartbeat's time for an emulated boot.
        let mut group = toml::toml! { hooks = [{ heartbeat = 900.0 }] };
        crate::case::lay(&mut group, &scene.group);
        scene.group = group;
        // The instance stands in the specification before its user data are known.
        let (site, mut made) = Site::open(programs, &scene, Some(user_data::policy()?)).await?;
        site.store.create_bucket(user_data::BUCKET);
        site.store.put(user_data::BUCKET, user_data::KEY, &package)?;
        let user_data = user_data::render(&programs.repository, &case.machine, &made.config, &package)?;
        if !case.machine.builder {
            site.cloud.give_user_data(NEW, user_data.clone());
        }
        let plugs = site.cloud.hotplug();
        site.cloud.house(NEW);
        let primary = made.machine.primary.clone();
        let nics: Vec<_> = std::iter::once(&primary).chain(made.enis.values().map(|eni| &eni.nic)).collect();
        let resolver =
            resolver::start(&site.vpc, &nics, &made.machine.hosts, &site.scratch().join("dnsmasq.log"))
                .await?;
        let order = Order {
            instance_id: NEW.to_owned(),
            primary: primary.clone(),
            os: parts.os.clone(),
            stores: vec![STORE],
            handed: if case.machine.builder {
                vec![parts.package.clone(), site.image.archive.clone()]
            } else {
                vec![parts.upgrade.clone()]
            },
            clock: case.machine.clock.clone(),
            folder: site.scratch().join("machine"),
        };
        let machine = tokio::task::block_in_place(|| Machine::new(&site.vpc, order))?;
        let attendant = Arc::new(Attendant {
            machine,
            enis: std::mem::take(&mut made.enis),
            cloud: site.cloud.clone(),
            ledger: Arc::clone(&site.ledger),
        });
        let site = Arc::new(site);
        let knockers = site.vpc.knock_every(KNOCK, &site.ledger, site.address.into(), &[8080, 50051]);
        let mut play = Self {
            readers: Readers::start(&site),
            tasks: vec![tokio::spawn(Arc::clone(&attendant).attend(plugs))],
            site,
            attendant,
            since: Timestamp::now(),
            began: "",
            lives: Vec::new(),
            user_data,
            knockers: Some(knockers),
            _resolver: resolver,
        };
        play.power_on("first boot").await?;
        // A builder is no instance of the group: that launches what is made of it.
        if !case.machine.builder {
            play.site.cloud.start();
        }
        Ok(play)
    }

    /// Does something beside the acts; what fails there fails the case.
    pub(super) fn beside(&mut self, work: impl Future<Output = Result<()>> + Send + 'static) {
        let ledger = Arc::clone(&self.site.ledger);
        self.tasks.push(tokio::spawn(async move {
            if let Err(error) = work.await {
                ledger.record(Event::Mark { what: format!("the world failed: {error:#}") });
            }
        }));
    }

    pub(super) fn machine(&self) -> &Machine {
        &self.attendant.machine
    }

    /// The end of what the console shows.
    pub(super) fn last_lines(&self) -> String {
        let console = self.machine().console();
        let lines: Vec<_> = console.lines().rev().take(15).collect();
        format!("the console ends so:\n{}", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }

    async fn end(mut self, case: &Case, mut complaints: Vec<String>) -> Played {
        if let Some(knockers) = self.knockers.take() {
            knockers.stop().await;
        }
        let mut inside = String::new();
        if self.machine().is_on().await {
            match self.look_inside().await {
                Ok(journal) => inside = journal,
                Err(error) => complaints.push(format!("looking into the machine: {error:#}")),
            }
        }
        complaints.extend(self.readers.wrong());
        let console = self.machine().console();
        self.site.planted.search("the console", console.as_bytes());
        if let Err(error) = self.machine().power_cut().await {
            complaints.push(format!("switching it off: {error:#}"));
        }
        let events = self.site.ledger.events();
        complaints.extend(crate::judge::forbidden_from_outside(&events));
        complaints.extend(self.site.planted.found());
        complaints.extend(self.site.faults.unused());
        complaints.extend(events.iter().filter_map(|seen| match &seen.event {
            Event::Mark { what } if what.starts_with("the world failed") => Some(what.clone()),
            _ => None,
        }));
        let actions = self.site.cloud.lifecycle_actions();
        let answer = actions.iter().rev().find(|action| action.instance == NEW);
        let answer = answer.and_then(|action| match &action.outcome {
            Some((verdict, Answered::Call { .. })) => Some(verdict.text().to_owned()),
            _ => None,
        });
        let expect = &case.expect;
        if expect.lifecycle_action.is_some() && expect.lifecycle_action != answer {
            complaints.push(format!("the hook was answered {answer:?}, not {:?}", expect.lifecycle_action));
        }
        complaints.extend(missing("the journal", &inside, &expect.journal));
        complaints.extend(missing("the console", &console, &expect.console));
        let calls = crate::case::calls(&events);
        complaints.extend(expect.at_most.iter().filter_map(|(call, most)| {
            let made = calls.get(call).copied().unwrap_or_default();
            (made > *most).then(|| format!("{call} was called {made} times, at most {most} was expected"))
        }));
        let start = events
            .iter()
            .find(|seen| matches!(&seen.event, Event::Mark { what } if what == crate::judge::START));
        let answered = events.iter().find(|seen| {
            matches!(&seen.event, Event::Call { operation, status: 200, .. } if operation == "CompleteLifecycleAction")
        });
        Played {
            complaints,
            journal: inside,
            console,
            ledger: events
                .iter()
                .map(|seen| serde_json::to_string(seen).unwrap_or_default() + "\n")
                .collect(),
            lives: std::mem::take(&mut self.lives),
            answered: start
                .zip(answered)
                .and_then(|(start, end)| Duration::try_from(end.at.duration_since(start.at)).ok()),
        }
    }

    /// The journal of our units; everything in which a secret could lie is searched.
    async fn look_inside(&self) -> Result<String> {
        let guest = &self.machine().guest;
        guest.ready(LOOK_INSIDE).await?;
        let journal = guest
            .succeed(
                "journalctl --no-pager --output=short-precise --unit='weaviate-provisioner*'",
                LOOK_INSIDE,
            )
            .await?;
        self.site.planted.know_vended(&self.site.cloud);
        // Files come and go while it reads them.
        let everything = guest.run(EVERYTHING, LOOK_INSIDE).await?;
        self.site.planted.search("the machine's processes, containers and files", everything.out.as_bytes());
        let all = guest.succeed("journalctl --no-pager --output=export --boot=all", LOOK_INSIDE).await?;
        self.site.planted.search("the journal", all.as_bytes());
        Ok(journal)
    }
}

/// What does not stand there, in this order.
fn missing(place: &str, text: &str, wanted: &[String]) -> Option<String> {
    let mut rest = text;
    for line in wanted {
        let Some(at) = rest.find(line.as_str()) else {
            return Some(format!("{place} does not say {line:?} (in the order of the case)"));
        };
        rest = &rest[at + line.len()..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::missing;

    #[test]
    fn lines_are_missed_where_they_are_not_or_stand_in_another_order() {
        let wanted = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(missing("it", "one two three", &wanted(&["one", "three"])), None);
        assert!(missing("it", "one two three", &wanted(&["three", "one"])).is_some());
        assert!(missing("it", "one", &wanted(&["four"])).is_some());
    }
}
