//! Claims about rows: they are the whole state, and each has the bytes it has always had.

use super::*;
use crate::rows::Row;

fn on_disk(rows: &Rows) -> Vec<Row> {
    rows.iter()
        .map(|((table, key), value)| Row { table: *table, key: key.clone(), value: value.clone() })
        .collect()
}

/// Reads each site from its rows, and has both do the same.
pub(super) fn judge(world: &mut World) {
    for at in 0..world.parties.len() {
        let mut read = Site::load(on_disk(&world.parties[at].rows).into_iter()).unwrap();
        let mut kept = world.parties[at].site.clone();
        let manifest = manifest("afterwards", &[("web", 1, 2, &[])]);
        let ask = TenantAsk::Submit { manifest, mode: Mode::BestEffort };
        let mut commands = vec![
            Command::Tenant { tenant: tenant(), request: world.request(), ask },
            Command::Tick,
        ];
        for from in (0..world.parties.len()).filter(|from| *from != at) {
            commands.push(Command::Receive { messages: world.owed(from, at) });
        }
        for sought in kept.seeking() {
            let sites = asked(&sought.peers);
            commands.push(Command::Seek { machine: sought.machine, sites, last: false });
        }
        for command in commands {
            let stamped = Stamped { at: world.now, seed: world.seed(), command };
            assert_eq!(read.apply(&stamped), kept.apply(&stamped));
            assert_eq!(read.take_changes(), kept.take_changes());
        }
    }
}

#[test]
fn a_row_of_an_unknown_table_is_refused() {
    let row = Row { table: 99, key: vec![], value: vec![] };
    let error = Site::load(std::iter::once(row)).unwrap_err();
    assert!(matches!(error, LoadError::UnknownTable { table: 99 }), "{error}");
}

#[test]
fn a_damaged_row_is_refused() {
    let world = World::new(&[1, 1]);
    for mut row in on_disk(&world.parties[ALPHA].rows) {
        row.value.push(0);
        let error = Site::load(std::iter::once(row)).unwrap_err();
        assert!(matches!(error, LoadError::Unreadable { .. }), "{error}");
    }
}

#[test]
fn a_site_that_was_never_configured_does_nothing() {
    let mut site = Site::default();
    let command = Command::Tick;
    let stamped = Stamped { at: Timestamp::from_millis(1), seed: [0; 32], command };
    assert_eq!(site.apply(&stamped), Outcome::Done);
    assert_eq!(site.take_changes(), []);
    assert_eq!(site.violations(), []);
}

/// The tables by their numbers, in which every row of a golden state is shown.
const TABLES: [&str; 30] = [
    "profile",
    "hosts",
    "tenants",
    "keys",
    "images",
    "peers",
    "outbox",
    "services",
    "machines",
    "calls",
    "holds",
    "guests",
    "agreements",
    "requests",
    "nodes",
    "invitations",
    "remains",
    "timers",
    "struck",
    "dues",
    "heard",
    "proofs",
    "networks",
    "addresses",
    "lans",
    "members",
    "pools",
    "publics",
    "user_data",
    "measured",
];

#[test]
fn every_table_has_the_bytes_it_always_had() {
    let mut world = World::new(&[1, 1, 1]);
    let key = OperatorAsk::AddKey {
        name: "first".parse().unwrap(),
        tenant: "house".parse().unwrap(),
        role: state::Role::Operator,
        digest: [7; 32],
    };
    world.operator(ALPHA, key);
    let (name, standing) = (Some("second".parse().unwrap()), crate::membership::Standing::Voter);
    world.operator(ALPHA, OperatorAsk::Invite { digest: [8; 32], name, standing });
    let joined = world.apply(ALPHA, Command::Join { digest: [8; 32], contact: contact(NodeId(2)) });
    assert_eq!(joined, Outcome::Node(NodeId(2)));
    world.operator(ALPHA, OperatorAsk::AddPool { pool: "198.51.100.0/28".parse().unwrap() });
    world.ask(ALPHA, TenantAsk::AllocateAddress);
    world.operator(ALPHA, OperatorAsk::RemoveNode { node: NodeId(2) });
    world.apply(ALPHA, Command::Left { node: NodeId(2) });
    world.submit(ALPHA, manifest("shop", &[("web", 1, 2, &[])]), Mode::AllOrNothing);
    world.settle();
    let more = "service: more\ncomponents:\n  web: { image: guest, vcpus: 1, memory: 1GiB, disk: 1GiB, \
                user_data: '#!/bin/sh' }\n";
    let more = Box::new(manifest::parse(more.as_bytes()).unwrap());
    world.submit(ALPHA, more, Mode::BestEffort);
    world.seek(ALPHA);
    let mut shown = BTreeMap::new();
    let home = world.parties[ALPHA].id;
    let network = *world.parties[ALPHA].site.networks().next().unwrap().0;
    let tally = crate::sla::measure::Tally { seen: 12, missed: 1 };
    let counted = command::Counted { home, network, after: 0, tally };
    world.apply(ALPHA, Command::Measured { counts: vec![counted] });
    collect(&mut shown, &world);
    world.deliver(ALPHA, GAMMA);
    collect(&mut shown, &world);
    world.deliver(GAMMA, ALPHA);
    world.settle();
    collect(&mut shown, &world);
    world.apply(ALPHA, Command::HostEnded { host: host(1) });
    collect(&mut shown, &world);
    let [one, other] = [1, 2].map(|number| {
        let hold = HoldId::from_uuid(uuid::Uuid::from_u128(number));
        world.says(
            BETA,
            GAMMA,
            1,
            Message::Decline { hold, reason: crate::agreement::Refusal::NotChosen },
            world.now,
        )
    });
    world.apply(GAMMA, Command::Receive { messages: vec![one, other] });
    collect(&mut shown, &world);
    let missing: Vec<_> =
        (1..).zip(TABLES).filter(|(table, _)| !shown.contains_key(table)).collect();
    assert_eq!(missing, []);
    let text: String = shown
        .into_iter()
        .map(|(table, (key, value))| {
            let name = TABLES[usize::from(table) - 1];
            format!("{table} {name}\n  {}\n  {}\n", hex(&key), hex(&value))
        })
        .collect();
    expect_test::expect_file!["rows.txt"].assert_eq(&text);
}

/// The first row seen of each table.
fn collect(shown: &mut BTreeMap<u8, (Vec<u8>, Vec<u8>)>, world: &World) {
    for ((table, key), value) in world.parties.iter().flat_map(|party| &party.rows) {
        shown.entry(*table).or_insert_with(|| (key.clone(), value.clone()));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
