//! The command line: a noun, then a verb.

mod address;
mod image;
mod machine;
mod peer;
mod site;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::output::Format;

pub use address::{Address, Pools};
pub use image::{Image, Layout, Register};
pub use machine::{Define, Machine, Security, Service, Which};
pub use peer::{AddPeer, Agreement, Peer};
pub use site::{Host, Key, Network, Site, SiteNode};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  the command line makes no sense
  3  the site refuses it, or what was started failed
  4  there is no such thing
  5  the site cannot be reached, or cannot answer now
  6  the key does not allow it

Machines, services, networks, images, keys and peers are named by their name (shop/web-1), by their id, or by four
or more characters at the beginning or end of the id that no other has.";

/// A peer-to-peer federated cloud: its node and its command line.
#[derive(Debug, Parser)]
#[command(name = "reservoir", version, after_help = EXIT_CODES, subcommand_required = true)]
pub struct Line {
    /// For people, or for programs.
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub output: Format,
    /// What it is about.
    #[command(subcommand)]
    pub noun: Noun,
}

/// What a command is about.
#[derive(Debug, Subcommand)]
pub enum Noun {
    /// The node that runs on this machine.
    #[command(subcommand)]
    Node(Node),
    /// Watch over the guests of a node on this machine, and stop those whose lease has ended.
    Fence {
        /// The node's directory.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// The site in use.
    #[command(subcommand)]
    Site(Site),
    /// The sites that it trades with.
    #[command(subcommand)]
    Peer(Peer),
    /// What is agreed with them about machines.
    #[command(subcommand)]
    Agreement(Agreement),
    /// Services: the machines of a manifest.
    #[command(subcommand)]
    Service(Service),
    /// Machines, wherever they run.
    #[command(subcommand)]
    Machine(Machine),
    /// Public addresses, by which machines are reached from outside.
    #[command(subcommand)]
    Address(Address),
    /// What machines start from.
    #[command(subcommand)]
    Image(Image),
    /// Who may use the site.
    #[command(subcommand)]
    Key(Key),
    /// The networks that reach the site.
    #[command(subcommand)]
    Network(Network),
    /// What the site's machines run on.
    #[command(subcommand)]
    Host(Host),
}

/// What can be done with the node on this machine.
#[derive(Debug, Subcommand)]
pub enum Node {
    /// Run it until it is told to stop.
    Run {
        /// Where it keeps all it has.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Its configuration; without one, DIR/node.toml, or everything has its default.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Only check the configuration.
        #[arg(long)]
        check: bool,
    },
}
