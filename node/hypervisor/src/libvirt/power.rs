//! libvirt's states and their reasons, in our words.
//!
//! libvirt numbers them and adds more with time; each number of its version 9 is named here, and
//! one that is not named is [`Power::Unknown`], never a guess.

use virt::sys;

use crate::Power;

/// What a domain does; nothing if it has ended.
pub(super) fn of(state: sys::virDomainState, reason: i32) -> Option<Power> {
    let power = match state {
        sys::VIR_DOMAIN_RUNNING | sys::VIR_DOMAIN_BLOCKED => Power::Running,
        sys::VIR_DOMAIN_PAUSED => u32::try_from(reason).map_or(Power::Unknown, paused),
        sys::VIR_DOMAIN_SHUTDOWN => Power::ShuttingDown,
        sys::VIR_DOMAIN_SHUTOFF => return None,
        sys::VIR_DOMAIN_CRASHED => Power::Crashed,
        // Our guests cannot put themselves to sleep.
        sys::VIR_DOMAIN_NOSTATE | sys::VIR_DOMAIN_PMSUSPENDED => Power::Unknown,
        _ => Power::Unknown,
    };
    Some(power)
}

fn paused(reason: sys::virDomainPausedReason) -> Power {
    match reason {
        // A guest restored from a file is paused "for migration".
        sys::VIR_DOMAIN_PAUSED_UNKNOWN
        | sys::VIR_DOMAIN_PAUSED_USER
        | sys::VIR_DOMAIN_PAUSED_MIGRATION
        | sys::VIR_DOMAIN_PAUSED_FROM_SNAPSHOT => Power::Paused,
        sys::VIR_DOMAIN_PAUSED_SAVE
        | sys::VIR_DOMAIN_PAUSED_DUMP
        | sys::VIR_DOMAIN_PAUSED_SNAPSHOT
        | sys::VIR_DOMAIN_PAUSED_STARTING_UP
        | sys::VIR_DOMAIN_PAUSED_POSTCOPY => Power::Busy,
        sys::VIR_DOMAIN_PAUSED_IOERROR
        | sys::VIR_DOMAIN_PAUSED_WATCHDOG
        | sys::VIR_DOMAIN_PAUSED_POSTCOPY_FAILED
        | sys::VIR_DOMAIN_PAUSED_API_ERROR => Power::Faulted,
        sys::VIR_DOMAIN_PAUSED_SHUTTING_DOWN => Power::ShuttingDown,
        sys::VIR_DOMAIN_PAUSED_CRASHED => Power::Crashed,
        _ => Power::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restored_guest_is_paused() {
        let reason = i32::try_from(sys::VIR_DOMAIN_PAUSED_MIGRATION).unwrap();
        assert_eq!(of(sys::VIR_DOMAIN_PAUSED, reason), Some(Power::Paused));
    }

    #[test]
    fn a_number_nobody_knows_is_no_guess() {
        assert_eq!(of(sys::VIR_DOMAIN_PAUSED, 1_000), Some(Power::Unknown));
        assert_eq!(of(sys::VIR_DOMAIN_PAUSED, -1), Some(Power::Unknown));
        assert_eq!(of(1_000, 0), Some(Power::Unknown));
    }

    #[test]
    fn a_domain_that_is_off_is_no_guest() {
        assert_eq!(of(sys::VIR_DOMAIN_SHUTOFF, 0), None);
    }
}
