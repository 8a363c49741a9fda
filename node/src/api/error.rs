//! Why a request is not done, in the interface's words: one code for each cause, and one status
//! for each code.
//!
//! Every table here is total: a new refusal of the protocol does not compile until it has a code.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::manifest::Faults;
use protocol::site::Refusal;

use super::shapes::problem::{Fault, Problem};
use crate::observe::chain;
use crate::{blobs, console, desk, kpi};

/// What is wrong, for programs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Code {
    /// The command line or the request makes no sense.
    Malformed,
    /// The manifest has faults.
    BadManifest,
    /// The machine's size is none.
    BadSize,
    /// The machine's disk is too small for its image.
    DiskTooSmall,
    /// There is no key, or it is not known.
    Unauthenticated,
    /// The key does not allow it.
    NotAllowed,
    /// The interface has nothing at this path.
    NoSuchOperation,
    /// There is no such service.
    UnknownService,
    /// There is no such machine.
    UnknownMachine,
    /// There is no such image.
    UnknownImage,
    /// There is no such key.
    UnknownKey,
    /// There is no such host.
    UnknownHost,
    /// There is no such network.
    UnknownNetwork,
    /// Another method is needed.
    MethodNotAllowed,
    /// The request did not arrive in time.
    TooSlow,
    /// The name is in use.
    NameTaken,
    /// Another machine has the address still.
    AddressTaken,
    /// Machines use the image.
    ImageInUse,
    /// The host may have guests.
    HostInUse,
    /// A file of the image has not been sent.
    MissingBlob,
    /// There is no such node.
    UnknownNode,
    /// The last voter has to stay.
    LastVoter,
    /// Guests have their place on the node.
    NodeInUse,
    /// The node is in the site already, or another has its number.
    NodeTwice,
    /// Nobody has invited the node.
    NotInvited,
    /// The site's root key is needed and cannot be reached.
    NoRoot,
    /// The node cannot lead now.
    NotElected,
    /// The last operator's key has to stay.
    LastKey,
    /// The request was done before, and its answer cannot be told twice.
    Repeated,
    /// The verb does not lead from where the machine is.
    IllegalStep,
    /// The machine is being deployed.
    Deploying,
    /// The service has ended.
    ServiceOver,
    /// The component cannot have so many machines.
    NotScaled,
    /// There is no such public address, or no such pool.
    UnknownAddress,
    /// A public address is a machine's, or a machine has one already.
    AddressHeld,
    /// The machine is on no network that reaches the public one.
    NoWayOut,
    /// Every public address is somebody's.
    NoAddress,
    /// Two pools have addresses in common.
    PoolOverlaps,
    /// Tenants have addresses of the pool.
    PoolInUse,
    /// The service cannot have such security groups, or a rule is none.
    NotSecured,
    /// The machine has no console now.
    NoConsole,
    /// The state is another site's.
    OtherSite,
    /// The site is no peer.
    UnknownPeer,
    /// A site is no peer of itself.
    OwnSite,
    /// A peer's addresses cannot be used.
    BadAddress,
    /// Machines stand in the way of removing a peer.
    PeerInUse,
    /// The peer shows nothing to a site without a machine there.
    NotMonitored,
    /// The peer does not answer.
    PeerAway,
    /// What a machine says of itself cannot be asked where it runs.
    NotObserved,
    /// There is no such agreement.
    UnknownAgreement,
    /// The agreement cannot be renewed.
    NotRenewable,
    /// Messages are missing before this one.
    Gap,
    /// More bytes than are taken.
    TooLarge,
    /// The body is of another kind than is needed.
    UnsupportedMediaType,
    /// A WebSocket is needed.
    UpgradeRequired,
    /// The node failed.
    Internal,
    /// Too much is going on.
    Busy,
    /// Another node leads.
    NotLeader,
    /// What the node knows may be out of date.
    NotCurrent,
    /// It is not known whether it was done.
    Uncertain,
    /// The node is stopping, or has stopped.
    Stopping,
    /// A limit of the site is reached, or its disk is full.
    Full,
}

impl Code {
    /// The code as the interface says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::BadManifest => "bad_manifest",
            Self::BadSize => "bad_size",
            Self::DiskTooSmall => "disk_too_small",
            Self::Unauthenticated => "unauthenticated",
            Self::NotAllowed => "not_allowed",
            Self::NoSuchOperation => "no_such_operation",
            Self::UnknownService => "unknown_service",
            Self::UnknownMachine => "unknown_machine",
            Self::UnknownImage => "unknown_image",
            Self::UnknownKey => "unknown_key",
            Self::UnknownHost => "unknown_host",
            Self::UnknownNetwork => "unknown_network",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::TooSlow => "too_slow",
            Self::NameTaken => "name_taken",
            Self::AddressTaken => "address_taken",
            Self::ImageInUse => "image_in_use",
            Self::HostInUse => "host_in_use",
            Self::MissingBlob => "missing_blob",
            Self::UnknownNode => "unknown_node",
            Self::LastVoter => "last_voter",
            Self::NodeInUse => "node_in_use",
            Self::NodeTwice => "node_twice",
            Self::NotInvited => "not_invited",
            Self::NoRoot => "no_root",
            Self::NotElected => "not_elected",
            Self::LastKey => "last_key",
            Self::Repeated => "repeated",
            Self::IllegalStep => "illegal_step",
            Self::Deploying => "deploying",
            Self::ServiceOver => "service_over",
            Self::NotScaled => "not_scaled",
            Self::NotSecured => "not_secured",
            Self::UnknownAddress => "unknown_address",
            Self::AddressHeld => "address_held",
            Self::NoWayOut => "no_way_out",
            Self::NoAddress => "no_address",
            Self::PoolOverlaps => "pool_overlaps",
            Self::PoolInUse => "pool_in_use",
            Self::NoConsole => "no_console",
            Self::OtherSite => "other_site",
            Self::UnknownPeer => "unknown_peer",
            Self::OwnSite => "own_site",
            Self::BadAddress => "bad_address",
            Self::PeerInUse => "peer_in_use",
            Self::NotMonitored => "not_monitored",
            Self::PeerAway => "peer_away",
            Self::NotObserved => "not_observed",
            Self::UnknownAgreement => "unknown_agreement",
            Self::NotRenewable => "not_renewable",
            Self::Gap => "gap",
            Self::TooLarge => "too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::UpgradeRequired => "upgrade_required",
            Self::Internal => "internal",
            Self::Busy => "busy",
            Self::NotLeader => "not_leader",
            Self::NotCurrent => "not_current",
            Self::Uncertain => "uncertain",
            Self::Stopping => "stopping",
            Self::Full => "full",
        }
    }

    /// The status that goes with it.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Malformed
            | Self::BadManifest
            | Self::BadSize
            | Self::NotScaled
            | Self::NotSecured
            | Self::DiskTooSmall
            | Self::OwnSite
            | Self::BadAddress => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::NotAllowed | Self::NotInvited => StatusCode::FORBIDDEN,
            Self::NoSuchOperation
            | Self::UnknownPeer
            | Self::UnknownAgreement
            | Self::UnknownService
            | Self::UnknownMachine
            | Self::UnknownImage
            | Self::UnknownKey
            | Self::UnknownNode
            | Self::UnknownAddress
            | Self::UnknownHost
            | Self::UnknownNetwork => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NameTaken
            | Self::AddressTaken
            | Self::AddressHeld
            | Self::NoWayOut
            | Self::PoolOverlaps
            | Self::PoolInUse
            | Self::ImageInUse
            | Self::HostInUse
            | Self::PeerInUse
            | Self::NotMonitored
            | Self::NotRenewable
            | Self::MissingBlob
            | Self::LastVoter
            | Self::NodeInUse
            | Self::NodeTwice
            | Self::NoRoot
            | Self::NotElected
            | Self::LastKey
            | Self::Repeated
            | Self::IllegalStep
            | Self::Deploying
            | Self::ServiceOver
            | Self::NoConsole
            | Self::OtherSite
            | Self::Gap => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotObserved => StatusCode::BAD_GATEWAY,
            Self::Busy
            | Self::PeerAway
            | Self::NotLeader
            | Self::NotCurrent
            | Self::Uncertain
            | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::Full | Self::NoAddress => StatusCode::INSUFFICIENT_STORAGE,
        }
    }

    /// The code of a refusal.
    #[must_use]
    pub const fn of(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::OtherSite { .. } => Self::OtherSite,
            Refusal::UnknownService { .. } => Self::UnknownService,
            Refusal::UnknownMachine { .. } => Self::UnknownMachine,
            Refusal::UnknownImage { .. } | Refusal::UnknownImageId { .. } => Self::UnknownImage,
            Refusal::UnknownKey { .. } => Self::UnknownKey,
            Refusal::UnknownHost { .. } => Self::UnknownHost,
            Refusal::LastKey { .. } => Self::LastKey,
            Refusal::NameTaken { .. } => Self::NameTaken,
            Refusal::AddressTaken { .. } => Self::AddressTaken,
            Refusal::ImageInUse { .. } => Self::ImageInUse,
            Refusal::HostInUse { .. } => Self::HostInUse,
            Refusal::DiskTooSmall { .. } => Self::DiskTooSmall,
            Refusal::BadSize { .. } => Self::BadSize,
            Refusal::IllegalStep { .. } => Self::IllegalStep,
            Refusal::Deploying { .. } | Refusal::StillPlaced { .. } => Self::Deploying,
            Refusal::ServiceOver { .. } => Self::ServiceOver,
            Refusal::NotScaled { .. } => Self::NotScaled,
            Refusal::NotSecured { .. } => Self::NotSecured,
            Refusal::UnknownAddress { .. } | Refusal::UnknownPool { .. } => Self::UnknownAddress,
            Refusal::AddressHeld { .. } | Refusal::CardTaken { .. } => Self::AddressHeld,
            Refusal::NoWayOut { .. } => Self::NoWayOut,
            Refusal::NoAddress { .. } => Self::NoAddress,
            Refusal::PoolOverlaps { .. } => Self::PoolOverlaps,
            Refusal::PoolInUse { .. } => Self::PoolInUse,
            Refusal::Full { .. } => Self::Full,
            Refusal::UnknownPeer { .. } => Self::UnknownPeer,
            Refusal::OwnSite { .. } => Self::OwnSite,
            Refusal::Addresses { .. } => Self::BadAddress,
            Refusal::PeerInUse { .. } => Self::PeerInUse,
            Refusal::UnknownAgreement { .. } => Self::UnknownAgreement,
            Refusal::NotRenewable { .. } | Refusal::OwnPolicy { .. } => Self::NotRenewable,
            Refusal::Gap { .. } => Self::Gap,
            Refusal::UnknownNode { .. } => Self::UnknownNode,
            Refusal::OtherNode { .. } | Refusal::NodeTwice { .. } => Self::NodeTwice,
            Refusal::LastVoter { .. } => Self::LastVoter,
            Refusal::NodeInUse { .. } => Self::NodeInUse,
            Refusal::Uninvited
            | Refusal::InvitationOver
            | Refusal::InvitationUsed
            | Refusal::StruckNode => Self::NotInvited,
        }
    }
}

/// A request is not done. The number of the request is added where all answers pass.
#[derive(Clone, Debug)]
pub struct Error {
    code: Code,
    problem: Box<Problem>,
}

impl Error {
    /// Not done, because of this.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        let problem = Problem { code: code.as_str().to_owned(), message, ..Problem::default() };
        Self { code, problem: Box::new(problem) }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.problem.hint = Some(hint.into());
        self
    }

    /// Its code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What the client is told, with the number of its request.
    #[must_use]
    pub fn problem(&self, request_id: &str) -> Problem {
        Problem { request_id: request_id.to_owned(), ..(*self.problem).clone() }
    }
}

impl From<&Refusal> for Error {
    fn from(refusal: &Refusal) -> Self {
        Self::new(Code::of(refusal), refusal.to_string())
    }
}

impl From<&Faults> for Error {
    fn from(faults: &Faults) -> Self {
        let mut error = Self::new(Code::BadManifest, faults.to_string());
        error.problem.faults = faults.iter().map(Fault::from).collect();
        error.problem.omitted = faults.omitted();
        error
    }
}

impl From<desk::Error> for Error {
    fn from(error: desk::Error) -> Self {
        let code = match &error {
            desk::Error::NotLeader { .. } => Code::NotLeader,
            desk::Error::Busy
            | desk::Error::Overtaken
            | desk::Error::Changing
            | desk::Error::Behind { .. } => Code::Busy,
            desk::Error::TooLarge { .. } => Code::TooLarge,
            desk::Error::NoQuorum => Code::NotCurrent,
            desk::Error::Uncertain => Code::Uncertain,
            desk::Error::Closed => Code::Stopping,
            desk::Error::NoVoter { .. } | desk::Error::NotElected { .. } => Code::NotElected,
            desk::Error::Members { .. } | desk::Error::Fatal { .. } => Code::Internal,
        };
        let said = Self::new(code, error.to_string());
        if code == Code::Uncertain {
            return said.hint("repeat the request with the same Idempotency-Key");
        }
        said
    }
}

impl From<blobs::Error> for Error {
    fn from(error: blobs::Error) -> Self {
        match &error {
            blobs::Error::Store { source, .. } => {
                tracing::warn!(%error, %source, "a file of an image cannot be kept");
                let full = source.kind() == std::io::ErrorKind::StorageFull;
                let code = if full { Code::Full } else { Code::Internal };
                Self::new(code, "the site cannot keep the file")
                    .hint("the node's log says why: make room on its disk")
            }
            blobs::Error::Broken(_) | blobs::Error::Other | blobs::Error::Empty => {
                Self::new(Code::Malformed, error.to_string())
            }
            blobs::Error::TooLong => Self::new(Code::TooLarge, error.to_string()),
        }
    }
}

impl From<desk::MonitorError> for Error {
    fn from(error: desk::MonitorError) -> Self {
        let code = match &error {
            desk::MonitorError::Closed { .. } => Code::NotMonitored,
            desk::MonitorError::Unanswered { .. } | desk::MonitorError::Unreadable { .. } => {
                Code::PeerAway
            }
        };
        Self::new(code, chain(&error))
    }
}

impl From<kpi::Error> for Error {
    fn from(error: kpi::Error) -> Self {
        let code = match &error {
            kpi::Error::Unknown { .. } => Code::UnknownMachine,
            kpi::Error::OtherNode { .. }
            | kpi::Error::Unanswered { .. }
            | kpi::Error::TooSlow { .. }
            | kpi::Error::Away { .. }
            | kpi::Error::Closed { .. }
            | kpi::Error::Unreadable { .. } => Code::NotObserved,
        };
        Self::new(code, chain(&error))
    }
}

impl From<console::Error> for Error {
    fn from(error: console::Error) -> Self {
        Self::new(Code::NoConsole, chain(&error))
    }
}

/// The body is made where all answers pass: [`super::answer`].
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}
