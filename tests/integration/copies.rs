//! The copies of one machine on the hosts that may have one, looked at from outside: the process
//! that runs it, and what its guest says. No site is asked where it is.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use testnet::wait_for;
use uuid::Uuid;

use crate::console::Pulse;
use crate::sites::{Machine, PATIENCE, Sites};
use crate::world::{note, until};

/// How often guests are looked at while something is waited for.
pub(crate) const GLANCE: Duration = Duration::from_millis(50);

/// What is to be seen of one machine on one host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Seen {
    /// No process.
    Gone,
    /// A process that a signal has stopped.
    Stopped,
    /// Any other process.
    Alive,
}

/// One machine, wherever it is.
#[derive(Clone, Debug)]
pub(crate) struct Copies<'a> {
    sites: &'a Sites,
    name: String,
    uuid: Uuid,
}

impl<'a> Copies<'a> {
    /// The copies of a home's machine.
    pub(crate) fn of(sites: &'a Sites, home: &str, machine: &Machine) -> Result<Self> {
        Ok(Self { sites, name: machine.name.clone(), uuid: sites.uuid(home, machine)? })
    }

    /// Looks at the process that runs it on a host, as libvirtd has noted it.
    pub(crate) fn look(&self, host: &str) -> Result<Seen> {
        let run = self.sites.directory(host).join("host/run/libvirt/qemu");
        let Ok(pid) = fs::read_to_string(run.join(format!("reservoir-{}.pid", self.uuid))) else {
            return Ok(Seen::Gone);
        };
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", pid.trim())) else {
            return Ok(Seen::Gone);
        };
        let (_, rest) = stat.rsplit_once(')').context("a process has a name")?;
        Ok(match rest.split_whitespace().next() {
            Some("T") => Seen::Stopped,
            Some("Z" | "X") => Seen::Gone,
            Some(_) => Seen::Alive,
            None => bail!("a process without a state"),
        })
    }

    /// What its guest has said on a host.
    pub(crate) fn pulse(&self, host: &str) -> Result<Pulse> {
        Pulse::read(&self.sites.keeps(host, self.uuid))
    }

    /// The one of these hosts on which it runs.
    pub(crate) fn host(&self, hosts: &[&'static str]) -> Result<&'static str> {
        let mut found = None;
        for host in hosts {
            if self.look(host)? != Seen::Gone {
                ensure!(found.is_none(), "{} is on {found:?} and on {host}", self.name);
                found = Some(*host);
            }
        }
        found.with_context(|| format!("{} is on none of {hosts:?}", self.name))
    }

    /// Waits until its guest beats on a host after what it has said there so far, in the boot that
    /// was last heard there, if there was one.
    pub(crate) fn beats_on(&self, host: &str) -> Result<()> {
        let before = self.pulse(host)?;
        until(&format!("a beat of {} on {host}", self.name), || {
            Ok(self.pulse(host)?.last > before.last)
        })?;
        let after = self.pulse(host)?;
        ensure!(before.last.is_none() || after.boots == before.boots, "it has booted: {after:?}");
        Ok(())
    }

    /// Waits until it beats on one of the hosts `to`, and sees to it that it stands still at `from`
    /// before it does: it is looked at on all of them all the time, at `from` last, so that what was
    /// seen there holds for the earlier looks. Answers where it beats.
    pub(crate) fn moves(&self, from: &str, to: &[&'static str]) -> Result<&'static str> {
        let (since, name) = (Instant::now(), &self.name);
        let old = self.pulse(from)?;
        let before = to.iter().map(|host| self.pulse(host)).collect::<Result<Vec<_>>>()?;
        let mut stopped_at = None;
        let there = wait_for(&format!("{name} on one of {to:?}"), PATIENCE, || {
            let mut beats = Vec::new();
            for (host, before) in to.iter().zip(&before) {
                if self.pulse(host)?.last != before.last {
                    beats.push(*host);
                }
            }
            let seen = self.look(from)?;
            if stopped_at.is_none() && seen != Seen::Alive {
                let last = self.pulse(from)?.last;
                note(
                    since,
                    &format!("{name} is {seen:?} on {from}; its last beat there: {last:?}"),
                );
                stopped_at = Some(last);
            }
            ensure!(
                stopped_at.is_none() || seen != Seen::Alive,
                "{name} goes on on {from} although its lease has ended"
            );
            let [there] = beats[..] else {
                ensure!(beats.is_empty(), "{name} beats on each of {beats:?}");
                thread::sleep(GLANCE);
                return Ok(None);
            };
            ensure!(stopped_at.is_some(), "{name} beats on {there}, and is {seen:?} on {from}");
            note(since, &format!("{name} beats on {there}"));
            Ok(Some(there))
        })?;
        // What it had written down when it stopped may have been on its way to the file.
        let last = self.pulse(from)?;
        ensure!(
            last.boots == old.boots || last.boots.is_empty(),
            "it did not boot on {from} again"
        );
        let new = self.pulse(there)?.last;
        until("three more beats there", || {
            Ok(match (new, self.pulse(there)?.last) {
                (Some((boot, beat)), Some((same, later))) => boot == same && later >= beat + 3,
                _ => false,
            })
        })?;
        let after = self.pulse(from)?;
        ensure!(after.last == last.last || after.last.is_none(), "more was said on {from}");
        Ok(there)
    }

    /// Waits until nothing is left of it on a host that is back; it says nothing meanwhile. Its
    /// process is killed, and so is seen in other states than stopped.
    pub(crate) fn is_cleared(&self, host: &str) -> Result<()> {
        let (since, name) = (Instant::now(), &self.name);
        let directory = self.sites.keeps(host, self.uuid);
        let last = self.pulse(host)?.last;
        until(&format!("nothing left of {name} on {host}"), || {
            let said = self.pulse(host)?.last;
            ensure!(said.is_none() || said == last, "{name} runs on {host} again: {said:?}");
            Ok(self.look(host)? == Seen::Gone && !directory.exists())
        })?;
        note(since, &format!("nothing is left of {name} on {host}"));
        Ok(())
    }
}
