//! The replicated state of one site: everything it has decided, in one place, changed in one way.
//!
//! ```text
//!   tenant's request ---+
//!   peer's messages  ---+--> Command --(log)--> Site::apply --> Outcome
//!   host's sight     ---+                          |
//!   passed deadline  ---+                          +--> rows: machines, guests, holds, ...
//!                                                  +--> rows owed to peers: the outbox
//! ```
//!
//! [`Site::apply`] is deterministic and total: every replica that applies the same commands has
//! the same rows, and a refusal is an outcome. It reads no clock and draws no number; the leader
//! has stamped both on the command. It checks no signature; the node that received a statement
//! has. What is owed to peers is a row in the state, numbered in one stream for each peer and
//! removed when the peer has acknowledged it, so a new leader carries on where the last one
//! stopped. What hosts should do is no list of effects but the state itself: see
//! [`Site::assignments`].
//!
//! A site is its own provider: a machine placed here has a row among the guests like that of any
//! other site, and is ordered and reported on by the same functions, without the network between.
//!
//! **Invariant.** A refused command changes no row but the clock's and those of deadlines that
//! have passed.

mod apply;
pub mod check;
pub mod command;
mod occupancy;
mod query;
pub mod state;
#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;

use crate::agreement::Message;
use crate::identity::{PublicKey, Verified};
use crate::ids::{
    CallId, HoldId, HostId, ImageId, KeyId, MachineId, MachineName, Mint, NetworkId, NodeId,
    RequestId, ServiceId, SiteId, TenantId,
};
use crate::networks::Offset;
use crate::networks::lan::Member;
use crate::networks::public::Pool;
use crate::rows::{Change, LoadError, Origin, Replicated, Row, Table};
use crate::sla::measure::Measured;
use crate::time::{Span, Timestamp};
use crate::user_data::UserData;

pub use command::{Command, Outcome, Refusal, Stamped};
pub use query::{Assignment, Dispatch, Planned, Seeking, Where};

use state::{
    Agreement, Contradiction, Guest, Hold, Holder, Host, Invitation, Key, Lan, Machine, Network,
    Node, Owed, Peer, Profile, Public, Registered, Remains, Service, Tenant, Timer,
};

use occupancy::Occupancy;

/// The most machines of one site's tenants: what one node's memory holds with ease at some
/// kilobytes each.
pub const MACHINES_MAX: usize = 10_000;

/// The most guests on one site's hosts.
pub const GUESTS_MAX: usize = 10_000;

/// The most services.
pub const SERVICES_MAX: usize = 5_000;

/// The most networks: as many as there may be services.
pub const NETWORKS_MAX: usize = 5_000;

/// The most networks of one peer that reach here: as many as a tenth of the guests that a site may
/// have could be on.
pub const LANS_MAX: usize = 1_000;

/// The most pools of public addresses: a site has a few prefixes.
pub const POOLS_MAX: usize = 64;

/// The most public addresses of tenants: each is an entry in the gateway's packet filter.
pub const PUBLICS_MAX: usize = 4_096;

/// The most images in a catalogue.
pub const IMAGES_MAX: usize = 1_000;

/// The most keys.
pub const KEYS_MAX: usize = 1_000;

/// The most peers, as many as the bus keeps connections to.
pub const PEERS_MAX: usize = 512;

/// The most messages owed to one peer before no further call is made to it: orders and reports
/// must still find room, so this is no hard end, only the end of new business.
pub const OUTBOX_MAX: usize = 1_000;

/// How many of a peer's last messages are kept, to be compared with what comes again under their
/// numbers: at the length of the longest, some hundred kilobytes for each peer.
pub const HEARD_KEPT: u64 = 16;

/// The most answered requests that are remembered, and for how long: a client that retries does
/// so within minutes.
pub const REQUESTS_MAX: usize = 10_000;
/// See [`REQUESTS_MAX`].
pub const REQUESTS_KEPT: Span = Span::from_secs(3_600);

/// How long what has ended can still be seen.
pub const ENDED_KEPT: Span = Span::from_secs(3_600);

/// How long an invitation for a node can be taken up: somebody is about to log in at the machine.
pub const INVITATION_LIFETIME: Span = Span::from_secs(3_600);

/// The state of a site.
#[derive(Clone, Debug)]
pub struct Site {
    profile: Table<(), Profile>,
    hosts: Table<HostId, Host>,
    tenants: Table<TenantId, Tenant>,
    keys: Table<KeyId, Key>,
    images: Table<ImageId, Registered>,
    peers: Table<SiteId, Peer>,
    outbox: Table<(SiteId, u64), Owed>,
    services: Table<ServiceId, Service>,
    machines: Table<MachineId, Machine>,
    calls: Table<CallId, crate::agreement::buyer::Asking>,
    holds: Table<HoldId, Hold>,
    guests: Table<MachineName, Guest>,
    agreements: Table<HoldId, Agreement>,
    requests: Table<(TenantId, RequestId), (Timestamp, Outcome)>,
    nodes: Table<NodeId, Node>,
    /// By the BLAKE3 digest of an invitation's secret.
    invitations: Table<[u8; 32], Invitation>,
    remains: Table<(HostId, MachineName), Remains>,
    timers: Table<(Timestamp, MachineId), Timer>,
    /// The nodes that were taken out, and when: their certificates hold for a while.
    struck: Table<PublicKey, Timestamp>,
    /// When something is to be done about an agreement as its provider.
    dues: Table<(Timestamp, HoldId), ()>,
    /// What each peer has said lately.
    heard: Table<(SiteId, u64), Verified<Message>>,
    proofs: Table<SiteId, Contradiction>,
    networks: Table<NetworkId, Network>,
    /// Who has which address of a network.
    addresses: Table<(NetworkId, Offset), Holder>,
    /// Networks that reach here, by their homes; this site's own among them.
    lans: Table<(SiteId, NetworkId), Lan>,
    /// Who is on each of them.
    members: Table<(SiteId, NetworkId, Offset), Member>,
    /// The public addresses that may be given to tenants.
    pools: Table<Pool, ()>,
    /// Those that are a tenant's.
    publics: Table<Ipv4Addr, Public>,
    /// What is handed to single machines of this site's tenants, and to guests of peers.
    user_data: Table<MachineName, UserData>,
    /// What has been measured of networks that reach here.
    measured: Table<(SiteId, NetworkId), Measured>,
    /// Counted from the tables; no table itself.
    occupancy: Occupancy,
}

/// Calls a macro with every table, so that none is forgotten in one of the places that name all.
macro_rules! with_tables {
    ($site:ident, $each:ident) => {
        $each!(
            $site,
            profile,
            hosts,
            tenants,
            keys,
            images,
            peers,
            outbox,
            services,
            machines,
            calls,
            holds,
            guests,
            agreements,
            requests,
            nodes,
            invitations,
            remains,
            timers,
            struck,
            dues,
            heard,
            proofs,
            networks,
            addresses,
            lans,
            members,
            pools,
            publics,
            user_data,
            measured
        )
    };
}

impl Default for Site {
    fn default() -> Self {
        Self {
            profile: Table::new(1),
            hosts: Table::new(2),
            tenants: Table::new(3),
            keys: Table::new(4),
            images: Table::new(5),
            peers: Table::new(6),
            outbox: Table::new(7),
            services: Table::new(8),
            machines: Table::new(9),
            calls: Table::new(10),
            holds: Table::new(11),
            guests: Table::new(12),
            agreements: Table::new(13),
            requests: Table::new(14),
            nodes: Table::new(15),
            invitations: Table::new(16),
            remains: Table::new(17),
            timers: Table::new(18),
            struck: Table::new(19),
            dues: Table::new(20),
            heard: Table::new(21),
            proofs: Table::new(22),
            networks: Table::new(23),
            addresses: Table::new(24),
            lans: Table::new(25),
            members: Table::new(26),
            pools: Table::new(27),
            publics: Table::new(28),
            user_data: Table::new(29),
            measured: Table::new(30),
            occupancy: Occupancy::default(),
        }
    }
}

impl Replicated for Site {
    type Command = Stamped;
    type Outcome = Outcome;

    fn load(rows: impl Iterator<Item = Row>) -> Result<Self, LoadError> {
        let mut site = Self::default();
        for row in rows {
            macro_rules! load {
                ($site:ident, $($table:ident),*) => {
                    match row.table {
                        $(number if number == $site.$table.number() => $site.$table.load(&row)?,)*
                        table => return Err(LoadError::UnknownTable { table }),
                    }
                };
            }
            with_tables!(site, load);
        }
        site.count_occupancy();
        Ok(site)
    }

    fn origin(stamped: &Stamped) -> Origin {
        let is_foreign =
            matches!(stamped.command, Command::Receive { .. } | Command::Honours { .. });
        if is_foreign { Origin::Foreign } else { Origin::Own }
    }

    fn apply(&mut self, stamped: &Stamped) -> Outcome {
        let now = self.advance_clock(stamped.at);
        let mut turn = Turn { now, mint: Mint::new(now, stamped.seed) };
        self.pass_deadlines(&mut turn);
        let handled = self.handle(&stamped.command, &mut turn);
        self.follow_networks(&turn);
        handled.unwrap_or_else(Outcome::Refused)
    }

    fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        macro_rules! take {
            ($site:ident, $($table:ident),*) => {
                $($site.$table.take_changes(&mut changes);)*
            };
        }
        with_tables!(self, take);
        changes
    }
}

/// What the leader stamped, as it is used up while one command is applied.
#[derive(Debug)]
struct Turn {
    now: Timestamp,
    mint: Mint,
}

impl Site {
    /// The site's clock: the latest moment stamped on a command.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.profile.get(&()).map_or_else(Timestamp::default, |profile| profile.now)
    }

    /// Takes the stamp, unless the clock of the leader before was ahead.
    fn advance_clock(&mut self, at: Timestamp) -> Timestamp {
        let now = self.now().max(at);
        if let Some(profile) = self.profile.get_mut(&()) {
            profile.now = now;
        }
        now
    }

    /// The site's id.
    ///
    /// # Panics
    ///
    /// If the site has not been configured yet: only `Configure` is applied before.
    #[must_use]
    fn me(&self) -> SiteId {
        self.profile.get(&()).expect("only Configure is applied to an unconfigured site").site
    }

    /// Owes a message to a peer.
    fn owe(&mut self, peer: SiteId, message: Message, turn: &Turn) {
        let Some(row) = self.peers.get_mut(&peer) else { return };
        let number = row.next;
        row.next += 1;
        if let Some(reason) = message.refusal() {
            row.refusals.given.note(reason, turn.now);
        }
        self.outbox.insert((peer, number), Owed { message, at: turn.now });
    }
}
