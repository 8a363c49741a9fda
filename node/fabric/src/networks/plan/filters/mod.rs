//! What passes and what does not, as nftables tables: one for frames, one for connections, and one
//! that counts them.
//!
//! | where | what is decided | file |
//! | --- | --- | --- |
//! | bridge, prerouting | who a frame is from: only what its port may say | [`ports`], [`places`] |
//! | bridge, prerouting | who is next on the way out of the network | [`ways`] |
//! | bridge, forward | what stays on this host, and what a tap is for | [`ports`], [`places`] |
//! | bridge, input | nothing of a network reaches the host itself | [`ports`] |
//! | inet, input | who may speak to us in VXLAN, about which network, as which card | [`overlay`] |
//! | inet, forward | who has too many connections already | [`limits`] |
//! | inet, forward | who may begin what with whom | [`groups`] |
//! | inet, forward and postrouting | what goes out to the public network and comes in | [`exits`] |
//! | inet, in an exit's namespace | whose addresses become which | [`translation`] |
//!
//! The bridge family has no connections here, so frames of a network's bridge go through family
//! inet as well (the bridge is told so), under a zone of their own: equal addresses and ports of
//! two networks are two connections.
//!
//! What changes is replaced in one transaction. Rules and sets have no state, but for the table of
//! limits, which never changes; what counts drops has a name and stays.

mod cause;
mod exits;
mod groups;
mod limits;
mod overlay;
mod places;
mod ports;
pub(super) mod translation;
mod ways;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use nftables::schema::{Chain, Counter, NfListObject, Rule};
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};

pub use self::cause::Cause;
use self::words::{Step, count, drop};
use super::super::names::Key;
use super::super::wanted::Wanted;
use super::Forwards;

/// The name of the tables. Whatever stands in others is not ours, but for the table of limits.
pub(in super::super) const TABLE: &str = "reservoir";

/// All tables of the host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in super::super) struct Filters {
    pub(in super::super) bridge: Table,
    pub(in super::super) inet: Table,
    pub(in super::super) limits: Table,
}

impl Filters {
    pub(super) fn of(wanted: &Wanted, zones: &BTreeMap<Key, u16>, forwards: Forwards) -> Self {
        let mut bridge = Table::new(NfFamily::Bridge);
        ports::filter(wanted, &mut bridge);
        let mut inet = Table::new(NfFamily::INet);
        exits::filter(wanted, zones, forwards, &mut inet);
        overlay::filter(wanted, &mut inet);
        groups::filter(wanted, zones, &mut inet);
        limits::filter(wanted, &mut inet);
        Self { bridge, inet, limits: limits::table() }
    }

    pub(in super::super) const fn all(&self) -> [&Table; 3] {
        [&self.bridge, &self.inet, &self.limits]
    }
}

/// One table, in the order in which it is made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in super::super) struct Table {
    pub(in super::super) name: &'static str,
    pub(in super::super) family: NfFamily,
    pub(in super::super) counters: BTreeSet<String>,
    pub(in super::super) chains: BTreeMap<String, Option<Hook>>,
    rules: Vec<(String, Vec<Step>)>,
}

/// Where the kernel calls a chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) struct Hook {
    kind: NfChainType,
    hook: NfHook,
    priority: i32,
}

impl Table {
    const fn new(family: NfFamily) -> Self {
        Self::named(TABLE, family)
    }

    const fn named(name: &'static str, family: NfFamily) -> Self {
        Self { name, family, counters: BTreeSet::new(), chains: BTreeMap::new(), rules: Vec::new() }
    }

    /// Begins a chain that the kernel calls.
    fn hook(&mut self, name: &str, hook: NfHook, priority: i32) {
        let hook = Hook { kind: NfChainType::Filter, hook, priority };
        self.chains.insert(name.to_owned(), Some(hook));
    }

    /// Begins a chain that the kernel asks once for each connection, how to translate it.
    fn translation(&mut self, name: &str, hook: NfHook, priority: i32) {
        let hook = Hook { kind: NfChainType::NAT, hook, priority };
        self.chains.insert(name.to_owned(), Some(hook));
    }

    /// Adds a rule to a chain, which is made if it is not there yet.
    fn rule(&mut self, chain: &str, steps: impl IntoIterator<Item = Step>) {
        self.chains.entry(chain.to_owned()).or_default();
        self.rules.push((chain.to_owned(), steps.into_iter().collect()));
    }

    /// Adds a rule that refuses, and counts what it refused.
    fn refuse(
        &mut self,
        chain: &str,
        steps: impl IntoIterator<Item = Step>,
        key: Option<Key>,
        cause: Cause,
    ) {
        let counter = cause.counter(key);
        self.counters.insert(counter.clone());
        self.rule(chain, steps.into_iter().chain([count(counter), drop()]));
    }

    /// Everything in the table: counters, chains, and rules, in an order in which each finds what
    /// it names.
    pub(in super::super) fn objects(&self) -> impl Iterator<Item = NfListObject<'static>> + '_ {
        let (family, own) = (self.family, self.name);
        let counters = self.counters.iter().map(move |name| {
            let (table, name) = (own.into(), name.clone().into());
            NfListObject::Counter(Counter { family, table, name, ..Counter::default() })
        });
        let chains = self.chains.iter().map(move |(name, hook)| {
            let chain = Chain { family, table: own.into(), ..Chain::default() };
            NfListObject::Chain(Chain {
                name: name.clone().into(),
                _type: hook.map(|it| it.kind),
                hook: hook.map(|it| it.hook),
                prio: hook.map(|it| it.priority),
                policy: hook.map(|_| NfChainPolicy::Accept),
                ..chain
            })
        });
        let rules = self.rules.iter().map(move |(chain, steps)| {
            let (table, chain) = (own.into(), chain.clone().into());
            NfListObject::Rule(Rule {
                family,
                table,
                chain,
                expr: steps.clone().into(),
                ..Rule::default()
            })
        });
        counters.chain(chains).chain(rules)
    }
}
