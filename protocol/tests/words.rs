//! Claims about the words of the protocol: quantities, ids, names, moments, images, hulls.

use proptest::prelude::*;
use protocol::epoch::Epoch;
use protocol::hull::{Boot, Hull, Mac, Port, libvirt_uuid};
use protocol::ids::{BlobId, MachineId, Mint, NetworkId, SiteId};
use protocol::images::{Blob, Format, Image};
use protocol::names::Label;
use protocol::sla::Catalogue;
use protocol::time::{Span, Timestamp};
use protocol::units::{Currency, MalformedSize, Mebibytes, Micros, Permille, Size, Tariff};
use uuid::Uuid;

#[test]
fn an_amount_is_read_with_its_unit_and_refused_without() {
    let read = |text: &str| text.parse::<Mebibytes>();
    for (text, amount) in
        [("0MiB", 0), ("512MiB", 512), ("2 GiB", 2_048), (" 1TiB ", 1 << 20), ("007 MiB", 7)]
    {
        assert_eq!(read(text), Ok(Mebibytes(amount)), "{text}");
    }
    for text in ["", "GiB", "-1GiB", "+1GiB", ".5GiB"] {
        assert!(matches!(read(text), Err(MalformedSize::Number(_))), "{text}");
    }
    for text in ["1", "1GB", "1gib", "1.5GiB", "1e3MiB", "1 GiB MiB"] {
        assert!(matches!(read(text), Err(MalformedSize::Unit(_))), "{text}");
    }
    for text in ["99999999999999999999MiB", "18446744073709551615TiB", "1048577TiB"] {
        assert!(matches!(read(text), Err(MalformedSize::Huge(_))), "{text}");
    }
}

#[test]
fn money_and_factors_are_read_to_the_last_decimal_and_never_as_floats() {
    let amount = |text: &str| text.parse::<Micros>();
    assert_eq!(amount("1.5"), Ok(Micros(1_500_000)));
    assert_eq!(amount("0.000001"), Ok(Micros(1)));
    for text in ["0.0000001", "-1", "1e3", ".5", "", "99999999999999999999"] {
        assert!(amount(text).is_err(), "{text}");
    }
    let factor = |text: &str| text.parse::<Permille>().map(Permille::thousandths);
    assert_eq!(factor("1.25"), Ok(1_250));
    assert_eq!(factor("1000"), Ok(1_000_000));
    for text in ["1000.001", "1.0001", "-1", "x"] {
        assert!(factor(text).is_err(), "{text}");
    }
}

#[test]
fn a_currency_is_three_capital_letters() {
    assert_eq!("EUR".parse(), Ok(Currency::EUR));
    for text in ["", "eur", "EU", "EURO", "E1R", "É"] {
        assert!(text.parse::<Currency>().is_err(), "{text}");
    }
}

fn tariff(vcpu: u64, memory: u64, disk: u64) -> Tariff {
    Tariff {
        currency: Currency::EUR,
        vcpu_hour: Micros(vcpu),
        memory_gib_hour: Micros(memory),
        disk_gib_hour: Micros(disk),
        classes: Catalogue::NONE,
    }
}

#[test]
fn a_price_is_rounded_half_to_even_and_only_once() {
    let size = |memory, disk| Size { vcpus: 0, memory: Mebibytes(memory), disk: Mebibytes(disk) };
    let price = |tariff: Tariff, size| tariff.hourly(size).0;
    assert_eq!(price(tariff(0, 1, 0), size(512, 0)), 0, "0.5 goes down to even");
    assert_eq!(price(tariff(0, 3, 0), size(512, 0)), 2, "1.5 goes up to even");
    assert_eq!(price(tariff(0, 5, 0), size(512, 0)), 2, "2.5 goes down to even");
    assert_eq!(price(tariff(0, 1, 0), size(513, 0)), 1);
    assert_eq!(price(tariff(0, 1, 1), size(512, 512)), 1, "two halves are one, not twice none");
    assert_eq!(price(tariff(7, 0, 0), Size { vcpus: 3, ..size(0, 0) }), 21);
    let most = Size { vcpus: u32::MAX, ..size(0, 0) };
    assert_eq!(price(tariff(u64::MAX, 0, 0), most), u64::MAX, "it stops at the end of its type");
}

proptest! {
    #[test]
    fn amounts_print_as_they_are_read(amount in 0_u64..=1 << 40) {
        let amount = Mebibytes(amount);
        prop_assert_eq!(amount.to_string().parse(), Ok(amount));
    }

    #[test]
    fn a_price_is_never_off_by_more_than_half(
        vcpus in 0_u32..300,
        memory in 0_u64..1 << 22,
        disk in 0_u64..1 << 26,
        prices in (0_u64..1 << 32, 0_u64..1 << 32, 0_u64..1 << 32),
    ) {
        let size = Size { vcpus, memory: Mebibytes(memory), disk: Mebibytes(disk) };
        let exact = u128::from(vcpus) * u128::from(prices.0) * 1024
            + u128::from(memory) * u128::from(prices.1)
            + u128::from(disk) * u128::from(prices.2);
        let price = u128::from(tariff(prices.0, prices.1, prices.2).hourly(size).0);
        prop_assert!((price * 1024).abs_diff(exact) <= 512);
    }

    #[test]
    fn what_is_taken_from_a_size_can_be_given_back(
        vcpus in (0_u32..99, 0_u32..99),
        memory in (0_u64..99, 0_u64..99),
    ) {
        let size = |vcpus, memory| Size { vcpus, memory: Mebibytes(memory), disk: Mebibytes(1) };
        let (whole, part) = (size(vcpus.0, memory.0), size(vcpus.1, memory.1));
        prop_assert_eq!(whole.holds(part), whole.minus(part).plus(part) == whole);
    }

    #[test]
    fn ids_print_as_they_are_read(bytes in any::<[u8; 32]>(), number in any::<u128>()) {
        let (site, machine) = (SiteId::from_bytes(bytes), MachineId::from_uuid(Uuid::from_u128(number)));
        prop_assert_eq!(site.to_string().parse(), Ok(site));
        prop_assert!(site.to_string().starts_with(&site.short()));
        prop_assert_eq!(machine.to_string().parse(), Ok(machine));
    }

    #[test]
    fn epochs_print_as_they_are_read_and_the_home_counts_first(
        one in any::<(u64, u64)>(),
        other in any::<(u64, u64)>(),
    ) {
        let [first, second] = [one, other].map(|(home, provider)| Epoch { home, provider });
        prop_assert_eq!(first.to_string().parse(), Ok(first));
        prop_assert_eq!(first.cmp(&second), one.cmp(&other));
    }

    #[test]
    fn any_text_is_an_id_or_is_refused(text in ".{0,80}") {
        if let Ok(site) = text.parse::<SiteId>() {
            prop_assert_eq!(site.to_string(), text.to_lowercase());
        }
        let machine = text.parse::<MachineId>();
        prop_assert!(machine.is_err() || text.len() >= 32);
    }

    #[test]
    fn a_number_drawn_is_below_its_bound(bound in any::<u64>(), seed in any::<[u8; 32]>()) {
        let drawn = Mint::new(Timestamp::from_millis(1), seed).below(bound);
        prop_assert!(drawn < bound.max(1));
    }
}

#[test]
fn a_mint_draws_the_same_from_the_same_chance_and_never_the_same_twice() {
    let at = Timestamp::from_millis(1_700_000_000_000);
    let draw = |seed| {
        let mut mint = Mint::new(at, [seed; 32]);
        (0..1_000).map(|_| mint.uuid()).collect::<Vec<Uuid>>()
    };
    let mut drawn = draw(1);
    assert_eq!(drawn, draw(1));
    assert_eq!(drawn[0].get_version_num(), 7);
    let (secs, nanos) = drawn[0].get_timestamp().expect("a UUIDv7 has a time").to_unix();
    assert_eq!((secs, nanos), (1_700_000_000, 0));
    drawn.extend(draw(2));
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), 2_000);
}

#[test]
fn a_label_is_what_a_dns_label_is() {
    for good in ["a", "A-1", "0", &"x".repeat(63)] {
        assert_eq!(good.parse::<Label>().map(|label| label.to_string()), Ok(good.to_owned()));
    }
    for bad in ["", "-a", "a-", "a.b", "a b", "ä", &"x".repeat(64)] {
        assert!(bad.parse::<Label>().is_err(), "{bad}");
    }
}

#[test]
fn time_stops_at_its_ends() {
    let (first, last) = (Timestamp::default(), Timestamp::from_millis(u64::MAX));
    assert_eq!(last + Span::from_secs(1), last);
    assert_eq!(first - Span::from_secs(1), first);
    assert_eq!(first.since(last), Span::from_millis(0));
    assert_eq!(Span::from_millis(1_050).to_string(), "1.050 s");
}

#[test]
fn an_image_is_named_by_all_that_it_contains() {
    let blob = |byte| Blob { id: BlobId::from_bytes([byte; 32]), length: 5 };
    let disk = |byte, format, size| Image::Disk { blob: blob(byte), format, size: Mebibytes(size) };
    let kernel = |line: &str| Image::Kernel {
        kernel: blob(1),
        initrd: blob(2),
        command_line: line.to_owned(),
    };
    let images = [
        disk(1, Format::Raw, 9),
        disk(2, Format::Raw, 9),
        disk(1, Format::Qcow2, 9),
        disk(1, Format::Raw, 8),
        kernel(""),
        kernel("quiet"),
    ];
    let mut ids: Vec<_> = images.iter().map(Image::id).collect();
    assert_eq!(ids[0], images[0].clone().id());
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), images.len());
    assert_eq!(images[0].disk_min(), Mebibytes(9));
    assert_eq!(images[4].blobs(), [blob(1), blob(2)]);
}

fn network() -> NetworkId {
    "01900000-0000-7000-8000-000000000017".parse().expect("an id")
}

fn hull() -> Hull {
    let machine = MachineId::from_uuid(Uuid::from_u128(1));
    let size = Size { vcpus: 2, memory: Mebibytes(512), disk: Mebibytes(64) };
    Hull::new(SiteId::from_bytes([1; 32]), machine, size, Boot::Disk, &[network()])
}

#[test]
fn a_new_hull_is_sound_and_takes_what_it_was_made_with() {
    assert!(hull().is_sound());
    assert_eq!(hull().size(), Size { vcpus: 2, memory: Mebibytes(512), disk: Mebibytes(64) });
}

#[test]
fn a_hull_that_does_not_hang_together_is_not_sound() {
    type Bend = fn(&mut Hull);
    let crooked: [(&str, Bend); 14] = [
        ("two devices behind one port", |hull| hull.cards[0].port = Port(1)),
        ("port zero", |hull| hull.cards[0].port = Port(0)),
        ("a port there is not", |hull| hull.cards[0].port = Port(9)),
        ("too many ports", |hull| hull.ports = 9),
        ("no processor", |hull| hull.vcpus = 0),
        ("fewer processors at most than at first", |hull| hull.vcpus_max = 1),
        ("too many processors", |hull| hull.vcpus_max = 256),
        ("no memory", |hull| hull.memory = Mebibytes(0)),
        ("less memory at most than at first", |hull| hull.memory_max = Mebibytes(1)),
        ("no disk in a disk", |hull| hull.disks[0].size = Mebibytes(0)),
        ("no serial", |hull| hull.disks[0].serial.clear()),
        ("markup in a serial", |hull| hull.disks[0].serial = "<a/>".to_owned()),
        ("a packet too large", |hull| hull.cards[0].mtu = 9_001),
        ("a line break for the kernel", |hull| {
            hull.boot = Boot::Kernel { command_line: "a\nb".to_owned() };
        }),
    ];
    for (what, bend) in crooked {
        let mut hull = hull();
        bend(&mut hull);
        assert!(!hull.is_sound(), "{what}");
    }
}

#[test]
fn every_change_of_a_hull_changes_its_id() {
    let mut other = hull();
    other.version += 1;
    assert_ne!(other.id(), hull().id());
    assert_eq!(hull().id(), hull().id());
}

#[test]
fn machines_of_different_sites_never_share_a_name_below() {
    let machine = MachineId::from_uuid(Uuid::from_u128(1));
    let [one, other] = [1, 2].map(|byte| SiteId::from_bytes([byte; 32]));
    assert_ne!(libvirt_uuid(one, machine), libvirt_uuid(other, machine));
    assert_eq!(libvirt_uuid(one, machine).get_version_num(), 8);
    let mac = Mac::of(one, machine, 0);
    assert_ne!(mac, Mac::of(other, machine, 0));
    assert_ne!(mac, Mac::of(one, machine, 1));
    assert_eq!(mac.as_bytes()[0] & 0b11, 0b10, "locally administered, and of one machine");
}
