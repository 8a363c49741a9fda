//! What can go wrong when networks are made on a host.

use std::io;
use std::path::PathBuf;

use nftables::helper::NftablesError;

use super::super::check::Contradiction;
use super::super::names::InterfaceName;

/// A host's networks could not be made as wanted, or looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is wanted contradicts itself.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// The kernel's network interface could not be opened.
    #[error("cannot talk to the kernel about its network interfaces")]
    Netlink(#[source] io::Error),
    /// The kernel refused a step.
    #[error("cannot {step} {what}")]
    Kernel {
        /// The step, as a verb.
        step: &'static str,
        /// What it was about.
        what: String,
        /// The kernel's answer.
        #[source]
        source: rtnetlink::Error,
    },
    /// The kernel did not answer in time.
    #[error("the kernel does not answer when told to {step} {what}")]
    Silent {
        /// The step, as a verb.
        step: &'static str,
        /// What it was about.
        what: String,
    },
    /// Frames would pass between guests without being asked about connections.
    #[error("the kernel does not show bridges' frames to its filters: modprobe br_netfilter")]
    Unfiltered,
    /// Another kind of interface has one of our names.
    #[error("interface {0} is not what its name says: remove it")]
    Foreign(String),
    /// The device that leads to other sites is not there.
    #[error("there is no interface {0}, which leads to other sites")]
    NoTunnel(String),
    /// The interface that leads to the public network is not there.
    #[error("there is no interface {0}, which leads to the public network")]
    NoOutside(InterfaceName),
    /// The kernel did not take a setting.
    #[error("cannot set {}", .path.display())]
    Setting {
        /// Its file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Nobody can be asked for an echo.
    #[error("cannot send echo requests")]
    Probe(#[source] io::Error),
    /// It could not be said who has an address.
    #[error("cannot say through {interface} who has an address")]
    Announce {
        /// The interface.
        interface: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A network namespace could not be made, entered or removed.
    #[error("cannot {step} network namespace {}", .path.display())]
    Namespace {
        /// The step, as a verb.
        step: &'static str,
        /// Where it is.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The filters could not be put in place or read.
    #[error("cannot {step} the filters: {said}")]
    Filters {
        /// The step, as a verb.
        step: &'static str,
        /// What nft said.
        said: String,
    },
    /// What answers the guests could not be made to.
    #[error(transparent)]
    Services(#[from] crate::Error),
    /// Told to fail, by a test.
    #[error("the fake was told to fail")]
    Told,
}

impl Error {
    /// Whether nothing of what was wanted stands for sure, not even what filters the guests' frames.
    #[must_use]
    pub const fn leaves_nothing(&self) -> bool {
        match self {
            Self::Contradiction(_)
            | Self::Netlink(_)
            | Self::Unfiltered
            | Self::Filters { .. }
            | Self::Told => true,
            Self::Kernel { .. }
            | Self::Silent { .. }
            | Self::Foreign(_)
            | Self::NoTunnel(_)
            | Self::NoOutside(_)
            | Self::Announce { .. }
            | Self::Probe(_)
            | Self::Setting { .. }
            | Self::Namespace { .. }
            | Self::Services(_) => false,
        }
    }

    pub(super) fn filters(step: &'static str, source: &NftablesError) -> Self {
        let said = match source {
            NftablesError::NftFailed { stderr, .. } => {
                stderr.lines().take(3).collect::<Vec<_>>().join("; ")
            }
            NftablesError::NftExecution { .. } => {
                "install nft (Debian's package is nftables)".to_owned()
            }
            NftablesError::NftOutputEncoding { .. } | NftablesError::NftInvalidJson(_) => {
                source.to_string()
            }
        };
        Self::Filters { step, said }
    }
}
