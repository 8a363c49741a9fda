//! A simulated host: processes and saved memory that outlive the node, and the steps in which the
//! node changes them, each of which may be its last.
//!
//! What is to be done is decided by [`protocol::machine::host::next`], as on a real host; the
//! steps below are what one action is made of. The node keeps only the list of steps it is at in
//! mind, and loses that when it is killed.

use std::collections::{BTreeMap, VecDeque};

use protocol::epoch::Epoch;
use protocol::ids::{HostId, MachineName};
use protocol::lease::Moment;
use protocol::machine::guest::Seen;
use protocol::machine::host::{Action, Found, Process};
use protocol::units::Size;

use crate::leases::Held;
use crate::rule::Rule;

/// How long a guest is given to shut down, in milliseconds.
pub(crate) const GRACE: u64 = 5_000;

/// What a guest has in its memory, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Whether its first instruction was run.
    pub(crate) booted: bool,
    /// The saved memory it was made from, until it goes on from it.
    pub(crate) from: Option<u64>,
}

/// A guest's process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guest {
    pub(crate) epoch: Epoch,
    pub(crate) running: bool,
    /// Whether the fence has stopped it, which the hypervisor does not see.
    pub(crate) frozen: bool,
    pub(crate) memory: Memory,
}

/// A request to shut down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) at: u64,
    /// When the guest ends, if it heeds the request.
    pub(crate) ends_at: Option<u64>,
}

/// What a host has of one machine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Local {
    pub(crate) guest: Option<Guest>,
    pub(crate) saved: Option<Memory>,
    pub(crate) disks: bool,
    pub(crate) asked: Option<Asked>,
}

impl Local {
    /// What the node finds.
    pub(crate) fn found(&self, now: u64) -> Found {
        Found {
            process: self.guest.map(|it| Process { epoch: it.epoch, running: it.running }),
            saved: self.saved.is_some(),
            overdue: self.asked.is_some_and(|asked| now >= asked.at + GRACE),
        }
    }

    fn is_nothing(&self) -> bool {
        self.guest.is_none() && self.saved.is_none() && !self.disks
    }
}

/// The smallest thing that a node does on its host: between two of them it can be killed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    MakeDisks,
    MakeFresh(Epoch),
    MakeFromSaved(Epoch),
    DeleteSaved,
    Run,
    Stop,
    WriteMemory,
    End(Epoch),
    Ask,
    DeleteDisks,
    Report(Epoch, Seen),
}

/// The steps of an action upon a guest whose site is at `epoch`.
pub(crate) fn steps(action: &Action, epoch: Epoch, left_out: Option<Rule>) -> VecDeque<Step> {
    let mut steps = match action {
        Action::Nothing => vec![],
        Action::Prepare => vec![Step::MakeDisks, Step::MakeFresh(epoch)],
        Action::Restore => vec![Step::MakeFromSaved(epoch)],
        Action::Resume => vec![Step::DeleteSaved, Step::Run],
        Action::Pause => vec![Step::Stop],
        Action::Save => vec![Step::Stop, Step::WriteMemory, Step::End(epoch)],
        Action::Shutdown => vec![Step::Ask],
        Action::Destroy(other) => vec![Step::End(*other)],
        Action::Wipe => {
            vec![Step::DeleteDisks, Step::DeleteSaved, Step::Report(epoch, Seen::Released)]
        }
        Action::Report(seen) => vec![Step::Report(epoch, seen.clone())],
    };
    match left_out {
        Some(Rule::PreparedFirst) if *action == Action::Prepare => steps.push(Step::Run),
        Some(Rule::SavedOnce) if *action == Action::Resume => {
            steps.retain(|step| *step != Step::DeleteSaved);
        }
        _ => {}
    }
    steps.into()
}

/// A host.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) id: HostId,
    /// The replica whose node speaks for it.
    pub(crate) node: usize,
    pub(crate) capacity: Size,
    /// What it has of each machine; outlives the node.
    pub(crate) locals: BTreeMap<MachineName, Local>,
    /// What the node is at.
    pub(crate) doing: Option<(MachineName, VecDeque<Step>)>,
    /// When its hypervisor can be reached again, if it cannot now.
    pub(crate) unreachable_until: Option<u64>,
    /// What the site was last told of its trouble.
    pub(crate) told: Option<String>,
    /// When the node looks again; earlier plans are void.
    pub(crate) work_at: u64,
    /// Until when it waits for an answer to what it has told its site.
    pub(crate) answered_at: u64,
    /// What the node holds of leases.
    pub(crate) held: Held,
    /// How often the node was started.
    pub(crate) life: u64,
    /// When the node asks for its lease again; earlier plans are void.
    pub(crate) renew_at: u64,
    /// Until when guests may run, as the fence has it; outlives the node.
    pub(crate) deadlines: BTreeMap<MachineName, Moment>,
}

impl Host {
    /// An empty host.
    pub(crate) fn new(id: HostId, node: usize, capacity: Size) -> Self {
        Self {
            id,
            node,
            capacity,
            locals: BTreeMap::new(),
            doing: None,
            unreachable_until: None,
            told: None,
            work_at: u64::MAX,
            answered_at: 0,
            held: Held::default(),
            life: 0,
            renew_at: u64::MAX,
            deadlines: BTreeMap::new(),
        }
    }

    /// The node is killed: guests run on, and what it was at is forgotten.
    pub(crate) fn interrupt(&mut self) {
        self.doing = None;
        self.told = None;
        self.answered_at = 0;
        self.held = Held::default();
        self.life += 1;
        self.renew_at = u64::MAX;
        for local in self.locals.values_mut() {
            local.asked = None;
        }
    }

    /// The host itself restarts: nothing runs any more, and disks stay.
    pub(crate) fn reboot(&mut self) {
        self.interrupt();
        for local in self.locals.values_mut() {
            local.guest = None;
        }
        self.deadlines.clear();
    }

    /// Guests that heed a request to shut down end when they are done.
    pub(crate) fn let_guests_end(&mut self, now: u64) {
        for local in self.locals.values_mut() {
            if local.guest.is_none() {
                local.asked = None;
            }
            if local.asked.is_some_and(|asked| asked.ends_at.is_some_and(|at| at <= now)) {
                local.guest = None;
                local.asked = None;
            }
        }
        self.locals.retain(|_, local| !local.is_nothing());
    }
}
