//! The filters in the kernel: each table that is other than planned replaced, in one transaction.
//!
//! The kernel gives rules back in a shape of its own, so the plan is not compared with them.
//! What is compared is what the kernel gave back after the last change with what it gives back
//! now: whoever changed anything in between is found out. After a restart of the node the first
//! call puts the plan in place once more, which takes no connection and no count away.

use std::collections::BTreeSet;
use std::io;

use nftables::batch::Batch;
use nftables::helper::{self, NftablesError};
use nftables::schema::{Chain, Counter, FlushObject, NfCmd, NfListObject, Table as Named};
use nftables::types::NfFamily;
use serde_json::Value;

use super::Error;
use crate::Change;
use crate::networks::plan::filters::{Filters, TABLE, Table};

/// What was put in place last, and how the kernel told it then.
#[derive(Debug)]
pub(super) struct Known {
    plan: Filters,
    told: Vec<Option<Value>>,
}

/// Makes the filters as planned.
pub(super) async fn converge(plan: &Filters, known: &mut Option<Known>) -> Result<Change, Error> {
    let before = known.take();
    let plan = plan.clone();
    let work = tokio::task::spawn_blocking(move || -> Result<_, Error> {
        let told = told(&plan)?;
        if before.as_ref().is_some_and(|known| known.plan == plan && known.told == told) {
            return Ok((Known { plan, told }, Change::Nothing));
        }
        let is_same = |(number, table): (usize, &Table)| {
            let known = before.as_ref();
            known
                .is_some_and(|it| it.plan.all()[number] == table && it.told[number] == told[number])
        };
        apply(&plan, &told, is_same)?;
        let told = self::told(&plan)?;
        Ok((Known { plan, told }, Change::Made))
    });
    let (now, change) = work.await.map_err(|error| interrupted(&error))??;
    *known = Some(now);
    Ok(change)
}

/// Every counter that is there, with packets and bytes.
pub(super) async fn counters() -> Result<Vec<(String, u64, u64)>, Error> {
    let work = tokio::task::spawn_blocking(|| -> Result<_, Error> {
        let mut all = Vec::new();
        for family in ["bridge", "inet"] {
            let listed = list(&["list", "counters", "table", family, TABLE], "read")?;
            let Some(listed) = listed else { continue };
            let listed: Value =
                serde_json::from_str(&listed).map_err(|error| unreadable(&error))?;
            for counter in objects(&listed, "counter") {
                let number = |key| counter.get(key).and_then(Value::as_u64).unwrap_or_default();
                if let Some(name) = counter.get("name").and_then(Value::as_str) {
                    all.push((name.to_owned(), number("packets"), number("bytes")));
                }
            }
        }
        Ok(all)
    });
    work.await.map_err(|error| interrupted(&error))?
}

fn interrupted(error: &tokio::task::JoinError) -> Error {
    Error::Filters { step: "wait for", said: error.to_string() }
}

const fn word(family: NfFamily) -> &'static str {
    match family {
        NfFamily::Bridge => "bridge",
        NfFamily::INet => "inet",
        NfFamily::IP | NfFamily::IP6 | NfFamily::ARP | NfFamily::NetDev => {
            panic!("no table of ours is of this family")
        }
    }
}

/// How the kernel tells our tables, without counts; none for one that is not there.
fn told(plan: &Filters) -> Result<Vec<Option<Value>>, Error> {
    let one = |table: &Table| {
        let listed = list(&["list", "table", word(table.family), table.name], "look at")?;
        let Some(listed) = listed else { return Ok(None) };
        let mut told: Value = serde_json::from_str(&listed).map_err(|error| unreadable(&error))?;
        let all = told.get_mut("nftables").and_then(Value::as_array_mut).into_iter().flatten();
        for counter in all.filter_map(|object| object.get_mut("counter")?.as_object_mut()) {
            counter.retain(|key, _| !["packets", "bytes"].contains(&key.as_str()));
        }
        Ok(Some(told))
    };
    plan.all().into_iter().map(one).collect()
}

fn unreadable(error: &serde_json::Error) -> Error {
    Error::Filters { step: "read", said: error.to_string() }
}

fn list(arguments: &[&str], step: &'static str) -> Result<Option<String>, Error> {
    match helper::get_current_ruleset_raw(helper::DEFAULT_NFT, arguments) {
        Ok(told) => Ok(Some(told)),
        Err(NftablesError::NftFailed { stderr, .. }) if stderr.contains("No such file") => Ok(None),
        Err(error) => Err(Error::filters(step, &error)),
    }
}

fn objects<'a>(listed: &'a Value, kind: &'static str) -> impl Iterator<Item = &'a Value> {
    let all = listed.get("nftables").and_then(Value::as_array);
    all.into_iter().flatten().filter_map(move |object| object.get(kind))
}

/// One transaction: all rules go, then what nothing names any more, then all that is planned
/// comes. Counters that stay are not touched, and connections are not these tables' matter.
fn apply(
    plan: &Filters,
    told: &[Option<Value>],
    is_same: impl Fn((usize, &Table)) -> bool,
) -> Result<(), Error> {
    let mut batch = Batch::new();
    let other = plan.all().into_iter().zip(told).enumerate();
    for (_, (table, told)) in other.filter(|(number, (table, _))| !is_same((*number, table))) {
        let family = table.family;
        let named = || Named { family, name: table.name.into(), ..Named::default() };
        batch.add(NfListObject::Table(named()));
        batch.add_cmd(NfCmd::Flush(FlushObject::Table(named())));
        if let Some(told) = told {
            for object in stale(table, told) {
                batch.delete(object);
            }
        }
        for object in table.objects() {
            batch.add(object);
        }
    }
    helper::apply_ruleset(&batch.to_nftables()).map_err(|error| Error::filters("set", &error))
}

/// Puts one table in place of whatever has its name, in the namespace of this thread.
pub(super) fn replace(table: &Table) -> io::Result<()> {
    let mut batch = Batch::new();
    let named = || {
        let (family, name) = (table.family, table.name.into());
        NfListObject::Table(Named { family, name, ..Named::default() })
    };
    // Only what is there can be deleted.
    batch.add(named());
    batch.delete(named());
    batch.add(named());
    for object in table.objects() {
        batch.add(object);
    }
    let applied = helper::apply_ruleset(&batch.to_nftables());
    applied.map_err(|error| io::Error::other(Error::filters("set", &error)))
}

/// Chains and counters that are there and not planned.
fn stale(table: &Table, told: &Value) -> Vec<NfListObject<'static>> {
    let (family, own) = (table.family, table.name);
    let names = |kind| -> BTreeSet<String> {
        let name = |object: &Value| Some(object.get("name")?.as_str()?.to_owned());
        objects(told, kind).filter_map(name).collect()
    };
    let chains = names("chain").into_iter().filter(|name| !table.chains.contains_key(name));
    let chains = chains.map(|name| {
        let (table, name) = (own.into(), name.into());
        NfListObject::Chain(Chain { family, table, name, ..Chain::default() })
    });
    let counters = names("counter").into_iter().filter(|name| !table.counters.contains(name));
    let counters = counters.map(|name| {
        let (table, name) = (own.into(), name.into());
        NfListObject::Counter(Counter { family, table, name, ..Counter::default() })
    });
    chains.chain(counters).collect()
}
