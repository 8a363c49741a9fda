//! What the kernel does with packets, for each network namespace.

use std::fs;
use std::io;
use std::path::Path;

use crate::Change;
use crate::networks::names::InterfaceName;
use crate::networks::plan::Forwards;

/// Where the settings are. They are those of the thread's own namespace.
pub(super) const SETTINGS: &str = "/proc/sys/net";

/// The setting by which IPv6 is forwarded for one interface, where the kernel has it.
pub(super) const FORCE_FORWARDING: &str = "force_forwarding";

/// Makes a setting be so.
pub(super) fn set(path: &Path, value: &str) -> io::Result<Change> {
    if fs::read_to_string(path)?.trim() == value {
        return Ok(Change::Nothing);
    }
    fs::write(path, value)?;
    Ok(Change::Made)
}

/// Whether the host forwards packets of others, by its own administrator's will: what we turn on
/// is for single interfaces.
pub(super) fn forwarding() -> Forwards {
    let is_set = |path: &str| {
        fs::read_to_string(Path::new(SETTINGS).join(path)).is_ok_and(|it| it.trim() != "0")
    };
    Forwards { v4: is_set("ipv4/ip_forward"), v6: is_set("ipv6/conf/all/forwarding") }
}

/// Whether the host forwards what comes in through one interface in IPv6.
pub(super) fn forwards_ipv6(interface: &InterfaceName) -> bool {
    let conf = Path::new(SETTINGS).join("ipv6/conf");
    let own = conf.join(interface.as_str()).join(FORCE_FORWARDING);
    // What is not there is not set.
    forwarding().v6 || fs::read_to_string(own).is_ok_and(|it| it.trim() != "0")
}

/// Lets a namespace forward between these interfaces or not, whatever namespaces begin with on
/// this host. Where something is from, the bridges have looked at.
pub(super) fn forwards(interfaces: &[&str], is_router: bool) -> io::Result<Change> {
    let mut change = Change::Nothing;
    let value = if is_router { "1" } else { "0" };
    for path in ["ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"] {
        change = change.and(set(&Path::new(SETTINGS).join(path), value)?);
    }
    for interface in ["all"].iter().chain(interfaces) {
        let conf = Path::new(SETTINGS).join("ipv4/conf").join(interface);
        change = change.and(set(&conf.join("rp_filter"), "0")?);
        // Nobody is told of a way that is shorter: the bridges turn packets to the right one.
        change = change.and(set(&conf.join("send_redirects"), "0")?);
    }
    Ok(change)
}
