//! One look at this host's guests: one step for each that needs one.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fence::Target;
use futures::StreamExt as _;
use hypervisor::{Guest, Hypervisor, Power, Tag};
use protocol::epoch::Epoch;
use protocol::ids::{HostId, MachineName};
use protocol::machine::guest::{Phase, Progress, Seen};
use protocol::machine::host::{self, Action, Found, Process};
use protocol::site::command::Observation;
use protocol::site::{Assignment, Command};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::Tools;
use crate::desk::Desk;
use crate::lease::Watched;
use crate::membership::files::{self, Brought};
use crate::observe::chain;

/// How many guests are worked on at once: a host starts few at a time.
const AT_ONCE: usize = 4;

/// How long a guest may take to end once it has been asked to.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);

/// How often a guest that does not end is asked again.
const SHUTDOWN_AGAIN: Duration = Duration::from_secs(5);

/// How long a guest is left alone after a step that failed.
const FAILURE_PAUSE: Duration = Duration::from_secs(2);

/// What a host keeps in mind of a guest between two looks. All of it may be lost.
#[derive(Clone, Copy, Debug)]
struct Mind {
    epoch: Epoch,
    asked_first: Option<Instant>,
    asked_last: Option<Instant>,
    not_before: Option<Instant>,
}

/// What came of a step.
enum Step {
    /// Nothing was to be done.
    Still,
    /// It was done; the next look tells what is to be done next.
    Moved,
    /// The site is to be told.
    Tell(Seen),
    /// The guest was asked to end.
    Asked,
    /// It could not be done, and may be next time.
    Wait,
}

/// The guests of this host.
pub(super) struct Guests {
    desk: Desk,
    host: HostId,
    tools: Tools,
    minds: BTreeMap<MachineName, Mind>,
    strays: Vec<MachineName>,
}

impl Guests {
    pub(super) const fn new(desk: Desk, host: HostId, tools: Tools) -> Self {
        Self { desk, host, tools, minds: BTreeMap::new(), strays: Vec::new() }
    }

    /// Takes one step for each guest that needs one, if the host may act. Says whether there may be
    /// more to do at once.
    pub(super) async fn look(&mut self, may_act: bool) -> bool {
        let assignments = self.desk.read(|site| site.assignments(self.host));
        let networked = self.tools.networks.converge(&self.desk, self.host).await;
        let present = match self.tools.hypervisor.guests().await {
            Ok(present) => present,
            Err(fault) => {
                debug!(fault = chain(&fault), "the hypervisor cannot be looked at");
                return false;
            }
        };
        self.name_strays(&assignments, &present);
        self.watch(&assignments, &present).await;
        if !may_act {
            return false;
        }
        self.minds.retain(|name, _| assignments.iter().any(|it| it.name == *name));
        let now = Instant::now();
        let due: Vec<(Assignment, Action)> = assignments
            .into_iter()
            .filter_map(|assignment| {
                let action = self.action(&assignment, &present, now)?;
                let starts = matches!(action, Action::Prepare | Action::Restore | Action::Resume);
                // What filters its frames stands before it does.
                let may = networked || !starts;
                (action != Action::Nothing && may).then_some((assignment, action))
            })
            .collect();
        let (desk, tools) = (&self.desk, &self.tools);
        let steps: Vec<(Assignment, Step)> = futures::stream::iter(due)
            .map(|(assignment, action)| async move {
                let step = match bring_files(desk, &assignment, &action).await {
                    Brought::Later => Step::Wait,
                    // What is nowhere the step itself misses, and says so.
                    Brought::All | Brought::Nowhere => act(tools, &assignment, action).await,
                };
                (assignment, step)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        self.conclude(steps).await
    }

    fn action(
        &mut self,
        assignment: &Assignment,
        present: &[Guest],
        now: Instant,
    ) -> Option<Action> {
        let name = assignment.name;
        let epoch = assignment.progress.epoch;
        let fresh = Mind { epoch, asked_first: None, asked_last: None, not_before: None };
        let mind = self.minds.entry(name).or_insert(fresh);
        if mind.epoch != epoch {
            *mind = fresh;
        }
        if mind.not_before.is_some_and(|at| now < at) {
            return None;
        }
        let guest = present.iter().find(|guest| guest.tag.name == name);
        let process = match guest {
            Some(guest) => Some(Process { epoch: guest.tag.epoch, running: running(guest.power)? }),
            None => None,
        };
        let overdue = mind.asked_first.is_some_and(|at| now >= at + SHUTDOWN_GRACE);
        let saved = self.tools.carrier.memory(name).exists();
        let action = host::next(&assignment.progress, Found { process, saved, overdue });
        if action == Action::Resume && !self.desk.leases().may_run(name) {
            // Its lease has been asked for.
            return None;
        }
        let patient = mind.asked_last.is_some_and(|at| now < at + SHUTDOWN_AGAIN);
        (action != Action::Shutdown || !patient).then_some(action)
    }

    /// Sees to it that each guest here is stopped when its lease ends. What is left of a machine that
    /// was placed elsewhere is not watched over: it keeps the deadline it had.
    async fn watch(&self, assignments: &[Assignment], present: &[Guest]) {
        let leases = self.desk.leases();
        leases.retain(|name| present.iter().any(|guest| guest.tag.name == name));
        for Assignment { name, slot, progress, .. } in assignments {
            let (name, epoch) = (*name, progress.epoch);
            let here = self
                .desk
                .read(|site| site.guest(name).is_some_and(|guest| guest.lodging.host == self.host));
            let guest = present.iter().find(|it| it.tag.name == name && it.tag.epoch == epoch);
            let Some(guest) = guest.filter(|_| here) else { continue };
            let running = running(guest.power) == Some(true);
            let watched = Watched { slot: *slot, epoch, running };
            if leases.watches(name, &watched) {
                continue;
            }
            match process(&*self.tools.hypervisor, name, epoch).await {
                Ok(target) => leases.watch(name, watched, target),
                Err(fault) => {
                    debug!(machine = %name, fault = chain(&fault), "a guest's process is not known");
                }
            }
        }
    }

    /// Tells the site what was seen, and remembers what was tried.
    async fn conclude(&mut self, steps: Vec<(Assignment, Step)>) -> bool {
        let now = Instant::now();
        let mut moved = false;
        let mut observations = Vec::new();
        for (assignment, step) in steps {
            let Some(mind) = self.minds.get_mut(&assignment.name) else { continue };
            match step {
                Step::Still => {}
                Step::Moved => moved = true,
                Step::Wait => mind.not_before = Some(now + FAILURE_PAUSE),
                Step::Asked => {
                    mind.asked_first.get_or_insert(now);
                    mind.asked_last = Some(now);
                }
                Step::Tell(seen) => {
                    if let Seen::Failed { .. } = seen {
                        mind.not_before = Some(now + FAILURE_PAUSE);
                    }
                    let epoch = assignment.progress.epoch;
                    observations.push(Observation { guest: assignment.name, epoch, seen });
                }
            }
        }
        if observations.is_empty() {
            return moved;
        }
        let command = Command::Observe { host: self.host, observations };
        match self.desk.propose(command).await {
            Ok(_) => true,
            Err(fault) => {
                // The next look sees it again.
                debug!(fault = chain(&fault), "the site could not be told of its guests");
                moved
            }
        }
    }

    /// Names guests of ours that the state does not know, once for each change.
    fn name_strays(&mut self, assignments: &[Assignment], present: &[Guest]) {
        let known = |name: &MachineName| assignments.iter().any(|it| it.name == *name);
        let strays: Vec<MachineName> =
            present.iter().map(|guest| guest.tag.name).filter(|name| !known(name)).collect();
        if strays != self.strays {
            for name in &strays {
                warn!(
                    machine = %name,
                    "a guest runs on this host that the site does not know: if its site's state \
                     was not lost, end it with virsh"
                );
            }
            self.strays = strays;
        }
    }
}

/// Takes hold of a guest's process; none if it ends with this program. That it is the guest's, and
/// not one that has got its id since, is what asking twice tells.
async fn process(
    hypervisor: &dyn Hypervisor,
    name: MachineName,
    epoch: Epoch,
) -> Result<Option<Target>, hypervisor::Error> {
    let Some(pid) = hypervisor.process(name, epoch).await? else { return Ok(None) };
    let target = Target::of(pid);
    let again = hypervisor.process(name, epoch).await?;
    target.filter(|_| again == Some(pid)).map(Some).ok_or(hypervisor::Error::Absent { name })
}

/// Whether a guest's processors run; none if that cannot be said now.
const fn running(power: Power) -> Option<bool> {
    match power {
        Power::Running | Power::ShuttingDown => Some(true),
        Power::Paused | Power::Faulted | Power::Crashed => Some(false),
        Power::Busy | Power::Unknown => None,
    }
}

/// Brings the files that a machine starts from to this host, if it is to be made now.
async fn bring_files(desk: &Desk, assignment: &Assignment, action: &Action) -> Brought {
    match (action, &assignment.files) {
        (Action::Prepare | Action::Restore, Some(image)) => files::bring(desk, image).await,
        _ => Brought::All,
    }
}

/// Takes one step.
async fn act(tools: &Tools, assignment: &Assignment, action: Action) -> Step {
    let name = assignment.name;
    let epoch = assignment.progress.epoch;
    let memory = tools.carrier.memory(name);
    info!(machine = %name, %epoch, ?action, "a step for a guest");
    let done = match action {
        Action::Nothing => return Step::Still,
        Action::Report(Seen::Absent) => return gone(tools, assignment, &memory).await,
        Action::Report(seen) => return Step::Tell(seen),
        Action::Prepare => return make(tools, assignment, false).await,
        Action::Restore => return make(tools, assignment, true).await,
        Action::Resume => {
            if let Err(step) = forget(&memory).await {
                return step;
            }
            let resumed = tools.hypervisor.resume(name, epoch).await;
            tools.networks.announce(name, &assignment.hull).await;
            resumed
        }
        Action::Pause => tools.hypervisor.pause(name, epoch).await,
        Action::Save => tools.hypervisor.save(name, epoch, &memory).await,
        Action::Shutdown => {
            return match tools.hypervisor.shutdown(name, epoch).await {
                Ok(()) => Step::Asked,
                Err(fault) => failed(&fault),
            };
        }
        Action::Destroy(found) => tools.hypervisor.destroy(name, found).await,
        Action::Wipe => {
            let directory = tools.carrier.directory(name);
            assert!(tools.carrier.owns(&directory), "only a machine's own directory is wiped");
            return match tools.hypervisor.wipe(&directory).await {
                Ok(()) => Step::Tell(Seen::Released),
                Err(fault) => failed(&fault),
            };
        }
    };
    match done {
        Ok(()) => Step::Moved,
        Err(fault) => failed(&fault),
    }
}

/// Finds out what became of a guest that is gone. libvirtd ends a save that a killed node began,
/// and then the guest is in a file that only wants its name: its memory is not lost.
async fn gone(tools: &Tools, assignment: &Assignment, memory: &Path) -> Step {
    let Progress { phase, epoch, .. } = assignment.progress;
    if !matches!(phase, Phase::Started(_)) {
        return Step::Tell(Seen::Absent);
    }
    match tools.hypervisor.save(assignment.name, epoch, memory).await {
        Ok(()) => Step::Moved,
        Err(hypervisor::Error::Absent { .. }) => Step::Tell(Seen::Absent),
        Err(fault) => failed(&fault),
    }
}

/// Makes a guest with its processors stopped, from nothing or from its saved memory.
async fn make(tools: &Tools, assignment: &Assignment, saved: bool) -> Step {
    let (name, hull) = (assignment.name, &assignment.hull);
    let tag = Tag { name, epoch: assignment.progress.epoch, hull: hull.id() };
    let backend = match tools.carrier.backend(assignment) {
        Ok(backend) => backend,
        Err(missing) => return Step::Tell(Seen::Failed { reason: missing.to_string() }),
    };
    let made = if saved {
        tools.hypervisor.restore(hull, &backend, &tag, &tools.carrier.memory(name)).await
    } else {
        match tools.hypervisor.disk_create(hull, &backend).await {
            Ok(()) => tools.hypervisor.prepare(hull, &backend, &tag).await,
            Err(fault) => Err(fault),
        }
    };
    match made {
        Ok(()) => Step::Moved,
        Err(fault) => failed(&fault),
    }
}

/// Deletes saved memory before its guest goes on from it: it is never gone on from twice.
async fn forget(memory: &Path) -> Result<(), Step> {
    match tokio::fs::remove_file(memory).await {
        Ok(()) => {
            let parent = memory.parent().expect("saved memory is in its machine's directory");
            let synced = async { tokio::fs::File::open(parent).await?.sync_all().await };
            synced.await.map_err(|fault| {
                warn!(%fault, "a directory could not be brought to disk");
                Step::Wait
            })
        }
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(fault) => {
            warn!(%fault, "saved memory could not be deleted");
            Err(Step::Wait)
        }
    }
}

fn failed(fault: &hypervisor::Error) -> Step {
    let reason = chain(fault);
    if fault.is_transient() {
        debug!(fault = reason, "a step for a guest has to wait");
        return Step::Wait;
    }
    match fault {
        // What is there changed between the look and the step: look again.
        hypervisor::Error::Absent { .. } | hypervisor::Error::OtherEpoch { .. } => Step::Moved,
        _ => {
            warn!(fault = reason, "a step for a guest failed");
            Step::Tell(Seen::Failed { reason })
        }
    }
}
