//! What is said of peers, and of what is agreed with them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use protocol::peering::Setting;

/// What can be done with peers.
#[derive(Debug, Subcommand)]
pub enum Peer {
    /// List them.
    #[command(alias = "list")]
    Ls,
    /// Show one: what it is allowed, what it has, how it behaves.
    Show {
        /// Its name or id.
        peer: String,
    },
    /// Add one, or say anew what it is called and where it is.
    Add(AddPeer),
    /// Change what one is allowed.
    #[command(after_help = SETTINGS)]
    Policy {
        /// Its name or id.
        peer: String,
        /// What is to be changed, such as credit=5.00.
        #[arg(value_name = "NAME=VALUE", required_unless_present = "file")]
        settings: Vec<Setting>,
        /// A file of such changes, one on a line; what stands behind a '#' is a remark.
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Show what it shows of itself, and of this site's machines there.
    Monitor {
        /// Its name or id.
        peer: String,
    },
    /// Place nothing new there, and have what it runs for this site placed elsewhere.
    Drain {
        /// Its name or id.
        peer: String,
    },
    /// Trade with it again, as its policy says.
    Enable {
        /// Its name or id.
        peer: String,
    },
    /// Remove one.
    Rm {
        /// Its name or id.
        peer: String,
        /// Have this site's machines there placed elsewhere, and end its machines here with
        /// notice, and remove it then.
        #[arg(long)]
        drain: bool,
    },
}

/// What can be done with agreements.
#[derive(Debug, Subcommand)]
pub enum Agreement {
    /// List them.
    #[command(alias = "list")]
    Ls {
        /// Also those that have ended.
        #[arg(short, long)]
        all: bool,
    },
    /// Show one: its terms, and what the other side has signed.
    Show {
        /// Its id, or a part of it.
        agreement: String,
    },
    /// End one: as home at once, as provider with the notice agreed on.
    Terminate {
        /// Its id, or a part of it.
        agreement: String,
    },
    /// Propose, as its provider, terms as the policy has them now.
    Renew {
        /// Its id, or a part of it.
        agreement: String,
    },
}

const SETTINGS: &str = "\
Settings:
  sells-to=yes|no       whether it may place machines here
  price-factor=1.2      what it pays, as a factor on this site's tariff
  credit=5.00|none      what its machines here may cost in all, for one hour
  largest=4,8GiB,100GiB the largest machine that is sold to it; or none
  machines-max=10|none  how many machines it may have here
  term=30d              for how long an agreement is made
  notice=10m            how long before it ends an agreement this site says so
  retention=7d          how long disks are kept after an agreement's end if the home says nothing
  sells-hold=yes|no     whether it may place machines here that nobody may stop (on_partition: hold)
  buys-from=yes|no      whether this site may place machines there
  price-max=0.10|none   what one machine may cost there, for one hour; without it, what costs more
                        when an agreement is renewed is refused
  preference=1.5        how much rather this peer than another: by so much its prices count as less";

/// A peer that is to be added.
#[derive(Args, Debug)]
#[command(after_help = SETTINGS)]
pub struct AddPeer {
    /// Its id, as 'reservoir site show' prints it there.
    pub site: String,
    /// What this site is to call it, also in manifests.
    #[arg(long)]
    pub name: String,
    /// Where it is, such as /ip4/192.0.2.1/tcp/7401 or /dns4/site.example/tcp/7401; once for each
    /// address.
    #[arg(long = "address", value_name = "ADDRESS")]
    pub addresses: Vec<String>,
    /// What of its policy is not as usual, such as credit=5.00.
    #[arg(value_name = "NAME=VALUE")]
    pub settings: Vec<Setting>,
}
