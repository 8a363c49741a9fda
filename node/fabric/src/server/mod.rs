//! What answers the guests of one network: dnsmasq, as a process and its files.

pub(crate) mod dnsmasq;
mod error;
mod files;
pub(crate) mod process;

pub use error::Error;
