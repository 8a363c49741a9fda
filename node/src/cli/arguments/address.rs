//! What is said of public addresses.

use std::net::Ipv4Addr;

use clap::Subcommand;
use protocol::manifest::NetworkName;
use protocol::networks::public::Pool;

/// What can be done with public addresses.
#[derive(Debug, Subcommand)]
pub enum Address {
    /// List them, each with the machine that is reached by it.
    #[command(alias = "list")]
    Ls,
    /// Have one of the site's; it is printed.
    Allocate,
    /// Have a machine reached by one, wherever it runs.
    Associate {
        /// The address.
        address: Ipv4Addr,
        /// Which machine.
        machine: String,
        /// On which of its networks; the first that reaches the public network, if it is not said.
        #[arg(long)]
        network: Option<NetworkName>,
    },
    /// Have one reach nothing any more; it stays yours.
    Disassociate {
        /// The address.
        address: Ipv4Addr,
    },
    /// Give one back.
    Release {
        /// The address.
        address: Ipv4Addr,
    },
    /// Where the site's public addresses come from.
    #[command(subcommand)]
    Pool(Pools),
}

/// What can be done with pools of public addresses.
#[derive(Debug, Subcommand)]
pub enum Pools {
    /// List them.
    #[command(alias = "list")]
    Ls,
    /// Let the addresses of a prefix be given to tenants.
    Add {
        /// The prefix, such as 198.51.100.0/28.
        prefix: Pool,
    },
    /// Take a pool away of which no tenant has an address.
    #[command(alias = "remove")]
    Rm {
        /// The prefix.
        prefix: Pool,
    },
}
