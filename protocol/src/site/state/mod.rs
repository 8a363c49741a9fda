//! The rows of a site's state: one struct for each table.

mod agreement;
mod establishment;
mod guest;
mod machine;
mod network;
mod peer;

pub use agreement::{Agreement, Termination};
pub use establishment::{Host, Invitation, Key, Node, Profile, Registered, Role, Tenant};
pub use guest::{Guest, Hold, Keeping, Lodging, Remains, guest_name};
pub use machine::{Displacement, Machine, Membership, Mode, Place, Service, Sight, Stage, Timer};
pub use network::{Attached, Holder, Lan, Network, Public};
pub use peer::{Contradiction, Owed, Peer, Refusals, Tallies, Tally};
