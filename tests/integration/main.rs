//! The whole, as its users and operators meet it: the real program, real libvirt, real guests,
//! several sites on this machine, asked by the command line and judged from outside.
//!
//! A claim about a machine is never taken from the site alone: libvirt on the host that runs it
//! and the guest's own console say it too. All of it needs root and what `testnet/install`
//! installs; the programs must have been built before, as `tests/run` does.

mod bad_input;
mod console;
mod copies;
mod growth;
mod guest;
mod history;
mod hostility;
mod kills;
mod lease;
mod linearizability;
mod main_job;
mod membership;
mod networks;
mod nodes;
mod peering;
mod repair;
mod rogue;
mod routed;
mod sites;
mod terminal;
mod traces;
mod workload;
mod world;
