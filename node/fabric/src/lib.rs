//! Networks on one host, as many as there are, across hosts and sites: see [`networks`].
//!
//! The fabric is level-triggered: its user says what should be there, again and again, and the
//! fabric makes it so. Nothing is remembered between two calls that could not be found out anew,
//! so a node that was killed carries on where it stood, and what it left running is taken over.
//!
//! **Invariant.** A network has at most one DHCP server on a host, and that server answers only the
//! cards in the table. Nothing here gives out an address of its own choice: the table is the site's
//! state.

mod name;
pub mod networks;
mod server;

#[cfg(test)]
mod tests;

pub use crate::name::HostName;
pub use crate::server::Error;

/// What a call to [`networks::Networks::converge`] had to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// All was as wanted.
    Nothing,
    /// Something was missing, or other than wanted, and has been put right.
    Made,
}

impl Change {
    /// `Made` if either is.
    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, Self::Nothing) => Self::Nothing,
            (Self::Made, _) | (_, Self::Made) => Self::Made,
        }
    }
}
