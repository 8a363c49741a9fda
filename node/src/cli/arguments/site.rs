//! What is said to a site, its nodes, its hosts and its keys.

use std::path::PathBuf;

use clap::Subcommand;
use protocol::peering::Reserve;

/// What can be done with a site.
#[derive(Debug, Subcommand)]
pub enum Site {
    /// Make a site's keys, so that others can name it before its node runs.
    Init {
        /// Where its node will keep all it has.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// What it is called.
        #[arg(long)]
        name: String,
    },
    /// Show the site in use: its hosts, its prices, whom it has turned away.
    Show,
    /// Let one new node join: prints the token that it needs.
    Invite {
        /// What the node will be called; its own choice, if it is not said.
        #[arg(long)]
        name: Option<String>,
        /// Let it follow without a vote.
        #[arg(long)]
        learner: bool,
        /// Where the new node finds this site's REST interface, if that is not what the node knows
        /// of itself.
        #[arg(long)]
        url: Option<String>,
    },
    /// Make this machine a node of a site that has invited it.
    Join {
        /// The token that 'reservoir site invite' has printed there; '-' reads it from standard
        /// input.
        token: String,
        /// Where the node will keep all it has.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Its configuration; without one, DIR/node.toml, or everything has its default.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// What it is called, if the invitation does not say; else as this machine is.
        #[arg(long)]
        name: Option<String>,
    },
    /// The nodes of the site in use.
    #[command(subcommand)]
    Node(SiteNode),
    /// Keep a share of its capacity for its own tenants.
    Reserve {
        /// From 0 to 1, such as 0.25.
        share: Reserve,
    },
    /// Use a site from now on.
    Use {
        /// The data directory of a node on this machine, or the URL of a site.
        #[arg(value_name = "DIR|URL")]
        place: String,
        /// The secret of a key; '-' reads it from standard input.
        #[arg(long)]
        key: Option<String>,
        /// The SHA-256 of the site's certificate.
        #[arg(long, value_name = "SHA256")]
        pin: Option<String>,
    },
}

/// What can be done with the nodes of a site.
#[derive(Debug, Subcommand)]
pub enum SiteNode {
    /// List them.
    #[command(alias = "list")]
    Ls,
    /// Take one out of the site. Its certificate counts no more at peers once every other node has
    /// renewed its own, for which one of them needs the root key: 'reservoir site show' says how
    /// far that is.
    Remove {
        /// Its number.
        node: u64,
    },
    /// Let one lead the site.
    Lead {
        /// Its number.
        node: u64,
    },
}

/// What can be done with hosts.
#[derive(Debug, Subcommand)]
pub enum Host {
    /// List them.
    #[command(alias = "list")]
    Ls,
    /// Put nothing new on one, and start its machines on others, as far as there is room: what
    /// runs is ended there first, and starts with a fresh disk. Held, paused and suspended
    /// machines stay.
    Drain {
        /// Which.
        host: String,
    },
    /// Let machines be placed on a drained one again.
    Enable {
        /// Which.
        host: String,
    },
    /// Forget one that is lost and will not come back. Switch it off first: whatever was left on it
    /// counts as gone, and may be started elsewhere.
    Rm {
        /// Which.
        host: String,
    },
}

/// What can be done with networks.
#[derive(Debug, Subcommand)]
pub enum Network {
    /// List them.
    #[command(alias = "list")]
    Ls,
    /// Show who is on one, and, to operators, how the node that answers sees it: the tunnels to the
    /// sites on it, its devices, and what was dropped.
    Show {
        /// Which.
        network: String,
    },
    /// Have every node of the site look, and say what is broken and what to do about it. The ways to
    /// other hosts and sites are tried with small and large packets; that takes some seconds.
    Check {
        /// Which; all of them, if it is not said.
        network: Option<String>,
    },
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a key; its secret is shown this once.
    Add {
        /// A label.
        name: String,
        /// Whose services it acts on: a new tenant, if there is none of that name. Your own, if it
        /// is not said.
        #[arg(long)]
        tenant: Option<String>,
        /// Let it run the site, too.
        #[arg(long)]
        operator: bool,
    },
    /// List them.
    #[command(alias = "list")]
    Ls,
    /// Take one out of use.
    Rm {
        /// Which.
        key: String,
    },
}
