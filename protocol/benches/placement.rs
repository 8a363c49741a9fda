//! How many placement decisions a second: each machine of a submission placed on one of so many
//! hosts.

use divan::Bencher;
use protocol::ids::{HostId, MachineId};
use protocol::placement::{Need, Room, plan};
use protocol::units::{Mebibytes, Size};
use uuid::Uuid;

fn main() {
    divan::main();
}

/// A size between one and eight processors, in no order.
const fn size(number: u32) -> Size {
    let vcpus = number * 7 % 8 + 1;
    let gib = Mebibytes::from_gib(vcpus as u64);
    Size { vcpus, memory: gib, disk: gib }
}

#[divan::bench(args = [10, 100, 1_000], consts = [1, 64, 1_024])]
fn machines<const MACHINES: u32>(bencher: Bencher<'_, '_>, hosts: u32) {
    let needs: Vec<Need> = (0..MACHINES)
        .map(|number| {
            let machine = MachineId::from_uuid(Uuid::from_u128(number.into()));
            Need { machine, size: size(number) }
        })
        .collect();
    let rooms: Vec<Room> = (0..hosts)
        .map(|number| {
            let host = HostId::from_uuid(Uuid::from_u128(number.into()));
            let gib = Mebibytes::from_gib(256);
            Room { host, free: Size { vcpus: 64 + number % 8, memory: gib, disk: gib } }
        })
        .collect();
    bencher.counter(MACHINES).bench_local(|| plan(&needs, &rooms));
}
