//! How many connections one card may have in the host's table, which all networks share.
//!
//! Without a bound one guest would fill that table, and the connections of every other guest, the
//! host's own too, would be refused. So what a card begins and what others begin with it is counted,
//! each by itself: whoever has too many begins no more, and what it has goes on. Cards that are
//! elsewhere are counted as well, by their frames that pass through here.
//!
//! What is counted must outlive a change of the rules, or a guest would have as many again with each
//! group that comes or goes. So the counting is a table of its own that never changes: it knows
//! cards by their MAC addresses, which their ports vouch for, and marks the first packet of a
//! connection that is too much. The host's other table refuses what is marked, and counts it.

use nftables::expr::{MetaKey, PayloadBase};
use nftables::types::{NfFamily, NfHook};

use super::super::super::names::{Key, Kind};
use super::super::super::wanted::Wanted;
use super::words::{
    Step, Word, about, accept, any, becomes, bits, field, in_state, is, is_new, is_not, jump,
    number, text, with_more_than, with_more_than_each_second,
};
use super::{Cause, Table};

/// The name of the table.
const NAME: &str = "reservoir-limits";

/// What is marked so is refused: the letters "rsv".
const EXCESS: u32 = 0x0072_7376;

/// Before all other chains: the earliest has -10.
const BEFORE: i32 = -20;

/// What the MAC address of every card begins with (`protocol::hull::Mac`). Gateways, exits and
/// routers have other letters: what comes through them is many machines'.
const CARD: u32 = 0x52;

/// How many connections a card may have begun, and how many others may have begun with it. The
/// kernel's table has room for 262,144 on a host with more than 4 GiB, and a finished connection
/// stays in it for two minutes; 8192 are some 68 new ones in each second, for ever.
const CARD_MAX: u32 = 8192;

/// How many connections of one network a host may translate on its way out. Half of them is more
/// than one card may begin.
const EXIT_MAX: u32 = 2 * CARD_MAX;

/// How many may be begun in a second. The kernel takes no more than nine ended ones off a count in
/// each of its ticks (at least 100 in a second), so faster ones would pile up there.
const RATE: u32 = 500;

/// How many may be begun at once: a server that was just started has all its clients at once.
const BURST: u32 = 2000;

/// The table that marks what is too much.
pub(super) fn table() -> Table {
    let mut table = Table::named(NAME, NfFamily::INet);
    table.hook("forward", NfHook::Forward, BEFORE);
    let first = || [in_state("new"), is_new()];
    let comes = |kind: Kind| is(about(MetaKey::Iifname), text(format!("{}*", kind.letters())));
    for (chain, kind) in [("cards", Kind::Bridge), ("exits", Kind::Door)] {
        table.rule(
            "forward",
            [comes(kind)].into_iter().chain(first()).chain([jump(chain.to_owned())]),
        );
    }
    for (name, end, offset) in [("begun", "saddr", 48), ("taken", "daddr", 0)] {
        let of_card = || is(bits(PayloadBase::LL, offset, 8), number(CARD));
        let card = || field("ether", end);
        bound("cards", name, of_card, card, CARD_MAX, &mut table);
    }
    let of_exit = || comes(Kind::Door);
    bound("exits", "door", of_exit, || about(MetaKey::Iifname), EXIT_MAX, &mut table);
    table
}

/// Marks what one of `whose` has too much of, and asks no further: a packet that is refused for its
/// haste is not counted.
fn bound(
    chain: &str,
    name: &str,
    is_one: impl Fn() -> Step,
    whose: impl Fn() -> Word,
    most: u32,
    table: &mut Table,
) {
    let marks = || becomes(about(MetaKey::Mark), number(EXCESS));
    let haste = with_more_than_each_second(format!("{name}-haste"), whose(), RATE, BURST);
    let excess = with_more_than(format!("{name}-most"), whose(), most);
    for step in [haste, excess] {
        table.rule(chain, [is_one(), step, marks(), accept()]);
    }
}

/// Refuses what was marked, as a matter of the network that it came through.
pub(super) fn filter(wanted: &Wanted, table: &mut Table) {
    table.hook("excess", NfHook::Forward, BEFORE + 1);
    table.rule("excess", [is_not(about(MetaKey::Mark), number(EXCESS)), accept()]);
    for lan in &wanted.lans {
        let key = Key::of(lan.identity);
        let through = any([Kind::Bridge, Kind::Door].map(|kind| text(key.name(kind))));
        let through = is(about(MetaKey::Iifname), through);
        table.refuse("excess", [through], Some(key), Cause::Connections);
    }
}
