//! How two sites come to an agreement about one machine, and how it ends.
//!
//! ```text
//!   buyer (home)                                seller (provider)
//!     Call ------------------------------------->  room? policy? image?
//!     <------------------------------- Offer         and a hold behind it, for a short time
//!     <------------------------------- Refuse        or why not
//!     Hand ------------------------------------->  what the machine is handed, if anything is
//!     Accept ----------------------------------->  the hold becomes a guest
//!     <------------------------------- Agreed
//!     <------------------------------- Lapsed        or it came too late
//!     Decline ---------------------------------->  the hold is let go
//!     Order, Order, ... ------------------------>  the guest's goal
//!     <--------------------------- Report, ...       what has become of it; the last one ends it
//!     <--------------------------------- Lost        or what ran it is gone
//! ```
//!
//! How an agreement is renewed and ended is drawn in the site's `agreements`.
//! `Farewell`, from either, is the last word of a site that has removed the other from its peers:
//! after it nothing more is answered.
//!
//! Each message is a signed statement in a numbered stream, delivered once and in order (see
//! [`crate::site`]), so neither side repeats or reorders anything here. What may be assumed from
//! silence: the seller lets a hold go after [`HOLD`]; the buyer stops waiting for offers after
//! [`PATIENCE`]. A hold that the buyer has accepted is never let go in silence: the answer is
//! `Agreed` or `Lapsed`.
//!
//! **Invariant.** The offer and its acceptance carry the same [`Terms`], each signed by the side
//! that is held to them: both have the other's signature, or there is no agreement.

pub mod buyer;
pub mod choice;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::epoch::Epoch;
use crate::hull::Hull;
use crate::identity::Claim;
use crate::ids::{CallId, HoldId, HullId, ImageId, MachineId, NetworkId, SiteId, TenantId};
use crate::machine::{Goal, State};
use crate::manifest::OnPartition;
use crate::networks::lan::Word;
use crate::sla::Class;
use crate::time::{Span, Timestamp};
use crate::units::{Price, Size};
use crate::user_data::UserData;

/// How long a seller keeps room for an offer: long enough for the buyer to hear from the others
/// it asked, twice, and short enough that a buyer who vanished costs little.
pub const HOLD: Span = Span::from_secs(30);

/// How long a buyer waits for answers to one round of calls.
pub const PATIENCE: Span = Span::from_secs(8);

/// The most messages that one delivery to a peer carries: some hundred kilobytes, and one command
/// in the peer's log.
pub const DELIVERY_MESSAGES_MAX: usize = 64;

/// The most bytes of them together: all but those that hand something to a machine fit at their
/// longest. What is delivered has to fit into one entry of the peer's log.
pub const DELIVERY_BODIES_MAX: usize = 512 << 10;

/// The most statements of the other side that are kept of one agreement: its beginning, and a year
/// of renewals every month.
pub const EVIDENCE_MAX: usize = 16;

/// What is agreed about one machine.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// The site that owns the machine and pays.
    pub home: SiteId,
    /// The site that runs it and is paid.
    pub provider: SiteId,
    /// The machine.
    pub machine: MachineId,
    /// What its guest sees.
    pub hull: HullId,
    /// What it takes of the provider.
    pub size: Size,
    /// What it starts from.
    pub image: ImageId,
    /// What becomes of it if its home cannot be reached.
    pub on_partition: OnPartition,
    /// What the provider promises of it: no less than was asked for.
    pub class: Class,
    /// What it costs.
    pub price: Price,
    /// Until when, unless it is renewed.
    pub until: Timestamp,
    /// How long before it ends the agreement the provider says so.
    pub notice: Span,
    /// How long the provider keeps the machine's disks if the agreement ends without its home's
    /// word on them.
    pub retention: Span,
}

impl Terms {
    /// Whether these terms may become the others: about the same machine, for no shorter time.
    #[must_use]
    pub fn differ_in_price_and_time_only(&self, others: &Self) -> bool {
        let Self { price, until, notice, .. } = others.clone();
        Self { price, until, notice, ..self.clone() } == *others && until >= self.until
    }
}

/// A buyer's question: could you run this machine, and for what?
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The buyer's number for the question.
    pub call: CallId,
    /// Whose machine, without saying who that is: the home's opaque id.
    pub tenant: TenantId,
    /// The machine.
    pub hull: Hull,
    /// What it starts from.
    pub image: ImageId,
    /// What becomes of it if its home cannot be reached.
    pub on_partition: OnPartition,
    /// What is to be promised of it at the least.
    pub class: Class,
    /// Whether every other site on the machine's networks has a gateway that can be called, as far as
    /// the buyer knows. If not, a seller whose own gateway cannot be called either has no way to it.
    pub callable: bool,
}

/// Why one side does not do what the other would like. Closed, so that the other can act on it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum Refusal {
    /// No host has room for a machine of this size at the moment.
    NoCapacity,
    /// The image is not registered there.
    UnknownImage,
    /// The seller does not sell to this buyer.
    NotServed,
    /// The machine is larger than the seller sells to this buyer.
    TooLarge,
    /// The buyer has as many machines there as the seller lets it have.
    TooMany,
    /// The buyer's machines there would cost more for an hour than the seller gives it credit for.
    OverCredit,
    /// What is left is kept for the seller's own tenants.
    Reserved,
    /// The machine's description does not hang together, or is not the caller's.
    Malformed,
    /// The seller has this machine already.
    Duplicate,
    /// The offer's time had passed, or its terms were others.
    Lapsed,
    /// No answer came in time. Said by the buyer to itself.
    Silent,
    /// The price is in another currency than the buyer's. Said by the buyer to itself.
    OtherCurrency,
    /// The price is above what the buyer pays there. Said by the buyer to itself.
    TooDear,
    /// The buyer has stopped buying there. Said by the buyer to itself.
    NotWanted,
    /// An operator has ended the agreement.
    Terminated,
    /// The machine was there, and its agreement has ended. Said by the buyer to itself.
    Ended,
    /// The buyer has taken another's offer.
    NotChosen,
    /// The buyer does not look for a place for the machine any more, or not by this call.
    NotSought,
    /// The offer has the number of another offer or agreement, so one room was to be sold twice.
    SoldTwice,
    /// The seller sells no machines that run on while their home is silent.
    HoldNotSold,
    /// The seller promises less of its machines than is asked for.
    ClassNotSold,
    /// The seller's gateway is behind NAT, and so is that of another site on the machine's networks:
    /// neither can call the other.
    BothBehindNat,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoCapacity => "no host has room for it",
            Self::UnknownImage => "its image is not registered there",
            Self::NotServed => "that site does not sell to this one",
            Self::TooLarge => "it is larger than that site sells to this one",
            Self::TooMany => "that site lets this one have no more machines",
            Self::OverCredit => "it would exceed the credit that that site gives this one",
            Self::Reserved => "what is left there is kept for that site's own tenants",
            Self::Malformed => "its description was refused as malformed",
            Self::Duplicate => "that site has the machine already",
            Self::Lapsed => "the offer had lapsed when it was accepted",
            Self::Silent => "no answer in time",
            Self::OtherCurrency => "it asks for another currency than this site's",
            Self::TooDear => "it asks for more than this site pays there",
            Self::NotWanted => "nothing is bought there any more",
            Self::Terminated => "an operator has ended the agreement",
            Self::Ended => "its agreement there has ended",
            Self::NotChosen => "another offer was better",
            Self::NotSought => "nobody waits for the offer any more",
            Self::ClassNotSold => "that site sells nothing of so good a class",
            Self::HoldNotSold => "that site sells no machines that nobody may stop",
            Self::BothBehindNat => {
                "its gateway and that of another site on the machine's networks are both behind NAT: \
                 one of them needs an address that is reached (network.external)"
            }
            Self::SoldTwice => "what it offers stands for another offer or agreement already",
        })
    }
}

/// A buyer's word that it takes an offer.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Acceptance {
    /// The room that was held.
    pub hold: HoldId,
    /// The terms of the offer.
    pub terms: Terms,
    /// The home's part of the machine's epoch.
    pub epoch: u64,
}

/// What a provider says of a guest to its home.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The machine.
    pub machine: MachineId,
    /// Which start it is.
    pub epoch: Epoch,
    /// What a user sees of it.
    pub state: State,
    /// Since when, by the provider's clock.
    pub since: Timestamp,
    /// What is wrong, for a person; empty if nothing is.
    pub reason: String,
}

/// What one site says to another about machines. Every variant is signed and numbered.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// Buyer to seller: a question.
    Call(Box<Call>),
    /// Seller to buyer: an offer, with room held behind it.
    Offer {
        /// The question it answers.
        call: CallId,
        /// The room that is held.
        hold: HoldId,
        /// On which terms.
        terms: Terms,
    },
    /// Seller to buyer: no offer.
    Refuse {
        /// The question it answers.
        call: CallId,
        /// Why.
        reason: Refusal,
    },
    /// Buyer to seller: the offer is taken, on these terms, and the machine's epoch starts here.
    Accept(Acceptance),
    /// Buyer to seller, right before its word that it takes an offer: what the machine is to be
    /// handed. A message of its own, so that no call and no proof of an agreement carries it.
    Hand {
        /// The room that is held.
        hold: HoldId,
        /// What it is to be handed.
        user_data: UserData,
    },
    /// Buyer to seller: the offer is not taken.
    Decline {
        /// The room that was held.
        hold: HoldId,
        /// Why.
        reason: Refusal,
    },
    /// Seller to buyer: there is an agreement.
    Agreed {
        /// It has the name of the hold.
        hold: HoldId,
        /// The machine it is about.
        machine: MachineId,
    },
    /// Seller to buyer: there is none.
    Lapsed {
        /// The room that is not held any more.
        hold: HoldId,
        /// The machine it was for.
        machine: MachineId,
        /// Why.
        reason: Refusal,
    },
    /// Home to provider: where the machine should be.
    Order {
        /// The machine.
        machine: MachineId,
        /// The home's part of its epoch.
        epoch: u64,
        /// Where it should be.
        goal: Goal,
    },
    /// Provider to home: where it is.
    Report(Report),
    /// Provider to home: the machine is gone, because what ran it is, and there is no other place
    /// for it here. The agreement ends.
    Lost {
        /// The machine.
        machine: MachineId,
        /// The home's part of its epoch.
        epoch: u64,
    },
    /// Provider to home: these terms are to count from now on.
    Propose {
        /// The agreement.
        hold: HoldId,
        /// The new terms.
        terms: Terms,
    },
    /// Home to provider: it takes the new terms.
    Consent {
        /// The agreement.
        hold: HoldId,
        /// The new terms.
        terms: Terms,
    },
    /// Provider to home: the new terms count.
    Renewed {
        /// The agreement.
        hold: HoldId,
    },
    /// Either to the other: the agreement ends at this moment.
    Terminate {
        /// The agreement.
        hold: HoldId,
        /// When, by the clock of the one who says it.
        at: Timestamp,
        /// Why.
        reason: Refusal,
    },
    /// Either to the other: something about a network that machines of the home are on.
    Network {
        /// The network.
        network: NetworkId,
        /// What of it.
        word: Word,
    },
    /// Either to the other: it has parted with the other. Nothing stands between them, and
    /// whatever the other still waits for will not come.
    Farewell,
}

impl Message {
    /// Why the one who says it does not do what the other would like, if that is what it says.
    #[must_use]
    pub const fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refuse { reason, .. }
            | Self::Decline { reason, .. }
            | Self::Lapsed { reason, .. }
            | Self::Terminate { reason, .. } => Some(*reason),
            Self::Call(_)
            | Self::Offer { .. }
            | Self::Accept(_)
            | Self::Hand { .. }
            | Self::Agreed { .. }
            | Self::Order { .. }
            | Self::Report(_)
            | Self::Lost { .. }
            | Self::Propose { .. }
            | Self::Consent { .. }
            | Self::Renewed { .. }
            | Self::Network { .. }
            | Self::Farewell => None,
        }
    }
}

impl Claim for Message {
    const DOMAIN: &'static str = "reservoir 2026 message v1";
    /// User data of 16 KiB are the largest part of any of them; a hull with a kernel's command line
    /// of 2,000 bytes comes next.
    const LIMIT: usize = 17 << 10;
}
