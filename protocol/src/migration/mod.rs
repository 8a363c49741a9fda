//! Live migration: a machine goes to another host, or to another site, while it runs.
//!
//! Each site drives its own half by its own hypervisor, and neither shows the other its paths,
//! addresses or sockets. What their hypervisors have to tell each other is here as typed fields,
//! bounded and known one by one.

pub mod cookie;
pub mod handover;
