//! The words of a rule: short ways to say in nftables' own shapes what is meant.

use std::fmt::Display;
use std::net::IpAddr;

use ipnet::IpNet;
use nftables::expr::{
    BinaryOperation, CT, CTDir, Expression, Map, Meta, MetaKey, NamedExpression, Payload,
    PayloadBase, PayloadField, PayloadRaw, Prefix, Range, SetItem,
};
use nftables::stmt::{
    CTCount, Counter, JumpTarget, Limit, Mangle, Match, Meter, Operator, Statement, VerdictMap,
};

pub(super) type Word = Expression<'static>;
pub(super) type Step = Statement<'static>;

/// A field of a packet's header.
pub(super) fn field(protocol: &'static str, field: &'static str) -> Word {
    let field = PayloadField { protocol: protocol.into(), field: field.into() };
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(field)))
}

/// A field of the header of IP, in the version of this address.
pub(super) fn address(like: IpAddr, name: &'static str) -> Word {
    field(if like.is_ipv4() { Family::V4 } else { Family::V6 }.header(), name)
}

/// Bits behind the header of the transport, or of the frame, counted from its first bit.
pub(super) fn bits(base: PayloadBase, offset: u32, len: u32) -> Word {
    let raw = PayloadRaw { base, offset, len };
    Expression::Named(NamedExpression::Payload(Payload::PayloadRaw(raw)))
}

/// Something about a packet that is not in it.
pub(super) fn about(key: MetaKey) -> Word {
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

/// Something about the packet that began the connection.
pub(super) fn original(key: &'static str) -> Word {
    let dir = Some(CTDir::Original);
    Expression::Named(NamedExpression::CT(CT { key: key.into(), family: None, dir }))
}

/// Something about the connection.
pub(super) fn connection(key: &'static str) -> Word {
    Expression::Named(NamedExpression::CT(CT { key: key.into(), family: None, dir: None }))
}

pub(super) fn text(value: impl Display) -> Word {
    Expression::String(value.to_string().into())
}

pub(super) fn number(value: impl Into<u32>) -> Word {
    Expression::Number(value.into())
}

pub(super) fn prefix(net: IpNet) -> Word {
    if net.prefix_len() == net.max_prefix_len() {
        return text(net.addr());
    }
    let addr = Box::new(text(net.network()));
    Expression::Named(NamedExpression::Prefix(Prefix { addr, len: net.prefix_len().into() }))
}

pub(super) fn range(first: u16, last: u16) -> Word {
    if first == last {
        return number(first);
    }
    Expression::Range(Box::new(Range { range: [number(first), number(last)] }))
}

pub(super) fn pair(one: Word, other: Word) -> Word {
    Expression::Named(NamedExpression::Concat(vec![one, other]))
}

/// One of these. There must be one: an empty set is not said.
pub(super) fn any(items: impl IntoIterator<Item = Word>) -> Word {
    let items: Vec<SetItem<'_>> = items.into_iter().map(SetItem::Element).collect();
    assert!(!items.is_empty(), "a set of nothing is not said");
    Expression::Named(NamedExpression::Set(items))
}

pub(super) fn one_of(items: &[&'static str]) -> Word {
    any(items.iter().map(text))
}

pub(super) fn is(left: Word, right: Word) -> Step {
    Statement::Match(Match { left, right, op: Operator::EQ })
}

pub(super) fn is_not(left: Word, right: Word) -> Step {
    Statement::Match(Match { left, right, op: Operator::NEQ })
}

/// An address is one of a prefix.
pub(super) fn lies_in(address: Word, net: IpNet) -> Step {
    let family = if net.addr().is_ipv4() { Family::V4 } else { Family::V6 };
    if net.prefix_len() == 0 {
        return is(about(MetaKey::Nfproto), text(family.name()));
    }
    is(address, prefix(net))
}

/// Writes something into a packet.
pub(super) fn becomes(key: Word, value: Word) -> Step {
    Statement::Mangle(Mangle { key, value })
}

/// The connection is in this state.
pub(super) fn in_state(state: &'static str) -> Step {
    let (left, right) = (connection("state"), text(state));
    Statement::Match(Match { left, right, op: Operator::IN })
}

/// Nothing of the connection has got through yet.
pub(super) fn is_new() -> Step {
    let confirmed = BinaryOperation::AND(connection("status"), text("confirmed"));
    is(Expression::BinaryOperation(Box::new(confirmed)), number(0_u32))
}

/// Whoever the packet is from has more than this many connections.
pub(super) fn with_more_than(meter: String, whose: Word, most: u32) -> Step {
    let count = CTCount { val: number(most), inv: Some(true) };
    of_each(meter, whose, Statement::CTCount(count))
}

/// Whoever the packet is from had more than this many in a second.
pub(super) fn with_more_than_each_second(
    meter: String,
    whose: Word,
    rate: u32,
    burst: u32,
) -> Step {
    of_each(meter, whose, more_often_than(rate, burst))
}

/// More than this many packets came in a second.
pub(super) fn more_often_than(rate: u32, burst: u32) -> Step {
    Statement::Limit(Limit {
        rate,
        rate_unit: None,
        per: Some("second".into()),
        burst: Some(burst),
        burst_unit: None,
        inv: Some(true),
    })
}

/// A question that is asked about each by itself.
fn of_each(meter: String, whose: Word, question: Step) -> Step {
    let (name, key, stmt) = (meter.into(), whose, Box::new(question));
    Statement::Meter(Meter { name, key, stmt })
}

/// More than this many bytes came in a second. The burst is what comes in a tenth of it, and at
/// least one packet made of segments (64 KiB).
pub(super) fn faster_than(rate: u32) -> Step {
    Statement::Limit(Limit {
        rate,
        rate_unit: Some("bytes".into()),
        per: Some("second".into()),
        burst: Some((rate / 10).max(1 << 16)),
        burst_unit: Some("bytes".into()),
        inv: Some(true),
    })
}

pub(super) fn count(counter: String) -> Step {
    Statement::Counter(Counter::Named(counter.into()))
}

pub(super) const fn accept() -> Step {
    Statement::Accept(None)
}

pub(super) const fn drop() -> Step {
    Statement::Drop(None)
}

pub(super) fn goto(target: String) -> Step {
    Statement::Goto(JumpTarget { target: target.into() })
}

pub(super) fn jump(target: String) -> Step {
    Statement::Jump(JumpTarget { target: target.into() })
}

/// Goes where the key says; on, if it says nothing.
pub(super) fn dispatch(key: Word, ways: impl IntoIterator<Item = (Word, Step)>) -> Option<Step> {
    let ways: Vec<SetItem<'_>> =
        ways.into_iter().map(|(value, step)| SetItem::MappingStatement(value, step)).collect();
    (!ways.is_empty()).then(|| {
        let data = Expression::Named(NamedExpression::Set(ways));
        Statement::VerdictMap(VerdictMap { key, data })
    })
}

/// What the key is mapped to; a rule whose key is not in the map ends there.
pub(super) fn looked_up(key: Word, pairs: impl IntoIterator<Item = (Word, Word)>) -> Word {
    let pairs: Vec<SetItem<'_>> =
        pairs.into_iter().map(|(key, value)| SetItem::Mapping(key, value)).collect();
    assert!(!pairs.is_empty(), "a map of nothing is not said");
    let data = Expression::Named(NamedExpression::Set(pairs));
    Expression::Named(NamedExpression::Map(Box::new(Map { key, data })))
}

/// The addresses of IPv4, and those of IPv6: a rule speaks of one kind.
pub(super) fn by_family(all: impl IntoIterator<Item = IpAddr>) -> [(Family, Vec<Word>); 2] {
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = all.into_iter().partition(IpAddr::is_ipv4);
    let words = |all: Vec<IpAddr>| all.into_iter().map(text).collect();
    [(Family::V4, words(v4)), (Family::V6, words(v6))]
}

/// A version of IP, with the names of its fields.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const fn header(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }

    /// What the kernel calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }

    /// Who began the connection.
    pub(super) fn beginner(self) -> Word {
        original(match self {
            Self::V4 => "ip saddr",
            Self::V6 => "ip6 saddr",
        })
    }

    /// With whom it was begun.
    pub(super) fn other(self) -> Word {
        original(match self {
            Self::V4 => "ip daddr",
            Self::V6 => "ip6 daddr",
        })
    }
}
