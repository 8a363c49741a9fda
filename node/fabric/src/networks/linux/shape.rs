//! What a guest is sent at most: a token bucket (TBF) on its tap.
//!
//! What a guest sends is limited by the filters, which drop; what it is sent waits a moment
//! first, since that is what TCP is used to.

use futures::TryStreamExt as _;
use rtnetlink::packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_REPLACE, Nla as _, NlasIterator};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{TcAttribute, TcHandle, TcMessage, TcOption};

use super::Error;
use super::kernel::{Kernel, Links, patient};
use crate::Change;
use crate::networks::plan::Segment;
use crate::networks::wanted::BytesPerSecond;

const KIND: &str = "tbf";

/// The handle by which a bucket is ours.
const OURS: TcHandle = TcHandle { major: 0x5256, minor: 0 };

/// `TCA_TBF_PARMS` and `TCA_TBF_BURST` in `linux/pkt_sched.h`.
const PARAMETERS: u16 = 1;
const BURST: u16 = 6;

/// `TC_LINKLAYER_ETHERNET`: the kernel computes times itself and wants no table of them.
const ETHERNET: u8 = 1;

/// Every queueing discipline of the host, listed once for all networks.
pub(super) async fn present(kernel: &Kernel) -> Result<Vec<TcMessage>, Error> {
    let listed = kernel.handle.qdisc().get().execute();
    patient("list", "the queueing disciplines", listed.try_collect()).await
}

/// Makes the buckets of one network's taps as planned.
pub(super) async fn converge(
    kernel: &Kernel,
    links: &Links,
    present: &[TcMessage],
    plan: &Segment,
) -> Result<Change, Error> {
    let mut change = Change::Nothing;
    for (tap, rate) in &plan.taps {
        let Some(link) = links.get(tap.as_str()) else { continue };
        let index = i32::try_from(link.header.index).expect("an index is a positive number");
        let is_ours = |it: &&TcMessage| it.header.index == index && it.header.handle == OURS;
        let found = present.iter().find(is_ours);
        match (found, rate) {
            (None, None) => {}
            (Some(message), Some(rate)) if speed_of(message) == Some(*rate) => {}
            (Some(_), None) => {
                let message = RouteNetlinkMessage::DelQueueDiscipline(root(index));
                kernel.tell(message, 0, "lift the limit of", tap.as_str()).await?;
                change = Change::Made;
            }
            (_, Some(rate)) => {
                let message = RouteNetlinkMessage::NewQueueDiscipline(bucket(index, *rate));
                let flags = NLM_F_CREATE | NLM_F_REPLACE;
                kernel.tell(message, flags, "limit", tap.as_str()).await?;
                change = Change::Made;
            }
        }
    }
    Ok(change)
}

fn root(index: i32) -> TcMessage {
    let mut message = TcMessage::default();
    message.header.index = index;
    message.header.handle = OURS;
    message.header.parent = TcHandle::ROOT;
    message
}

/// What waits at most: a twentieth of a second. What comes at once at most: as much, and at least
/// one packet made of segments (64 KiB).
fn bucket(index: i32, rate: BytesPerSecond) -> TcMessage {
    let rate = rate.get();
    let burst = (rate / 20).max(1 << 16);
    let limit = burst.saturating_add(rate / 20);
    // struct tc_tbf_qopt: a rate, no peak rate, the limit, the burst as time (computed from the
    // bytes below), no size of a cell.
    let mut parameters = vec![0, ETHERNET, 0, 0, 0, 0, 0, 0];
    parameters.extend(rate.to_ne_bytes());
    parameters.extend([0; 12]);
    parameters.extend(limit.to_ne_bytes());
    parameters.extend([0; 8]);
    let options = [
        TcOption::Other(DefaultNla::new(PARAMETERS, parameters)),
        TcOption::Other(DefaultNla::new(BURST, burst.to_ne_bytes().to_vec())),
    ];
    let mut message = root(index);
    message.attributes.push(TcAttribute::Kind(KIND.to_owned()));
    message.attributes.push(TcAttribute::Options(options.to_vec()));
    message
}

/// The rate of a bucket, as the kernel tells it: rtnetlink hands on unread what it has no type
/// for.
fn speed_of(message: &TcMessage) -> Option<BytesPerSecond> {
    let options = message.attributes.iter().find_map(|it| match it {
        TcAttribute::Options(options) => options.first(),
        _ => None,
    })?;
    let mut bytes = vec![0; options.value_len()];
    options.emit_value(&mut bytes);
    let mut all = NlasIterator::new(bytes.as_slice()).flatten();
    let parameters = all.find(|it| it.kind() == PARAMETERS)?;
    let rate = parameters.value().get(8..12)?.try_into().ok()?;
    BytesPerSecond::new(u32::from_ne_bytes(rate))
}
