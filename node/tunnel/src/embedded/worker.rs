//! The thread of a tunnel: what comes in, and then what goes out, again and again.
//!
//! One thread for both ways, since an answer often waits in the interface as soon as a packet has been
//! handed over (an acknowledgement, or what a guest on this host says): it goes out without waking
//! anybody. So one processor bounds the sum of both ways. A thread for each way has been tried: for
//! one flow it was no faster, and took a fifth more of the processors and twice the time for a round
//! trip. To stay awake for some tens of microseconds, for the answer to a packet after a silence, has
//! been tried as well: it saves one waking in a round trip, but no other site is so near, and two gateways
//! on the same processors wait for each other.

use rustix::process::setpriority_process;

use super::inward::{Inward, TICK};
use super::outward::Outward;
use super::shared::{Ready, Shared};

/// How much earlier than others it gets its turn: half of what can be given.
const NICE: i32 = -10;

/// Runs until the tunnel ends, or its interface is taken away.
pub(super) fn run(shared: &Shared) {
    hurry();
    let mut inward = Inward::new(shared);
    let mut outward = Outward::new(shared);
    loop {
        let ready = shared.wait(TICK);
        if ready == Ready::End {
            return;
        }
        let table = shared.table();
        inward.tick(&table);
        if ready == Ready::Both {
            inward.run(&table);
        }
        if let Err(error) = outward.run(&table) {
            return tracing::warn!(%error, "the tunnel's interface is gone");
        }
    }
}

/// Has this thread run soon after a packet has come, whatever else the host computes. The kernel's
/// own network runs before every process.
fn hurry() {
    if let Err(error) = setpriority_process(None, NICE) {
        tracing::debug!(%error, "the tunnel's thread waits for its turn like all others");
    }
}
