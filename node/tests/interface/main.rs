//! Claims about the REST interface and the command line, against a whole node whose hypervisor,
//! network and bus are fakes in memory; but for the bus, where a claim is about it.

mod command_line;
mod kpis;
mod lies;
mod metadata;
mod networks;
mod nodes;
mod rest;
mod revocation;
mod world;
