//! The command line: a noun, then a verb.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use protocol::images;
use protocol::manifest::OnPartition;
use protocol::peering::{Reserve, Setting};
use protocol::units::Mebibytes;

use super::output::Format;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  the command line makes no sense
  3  the site refuses it, or what was started failed
  4  there is no such thing
  5  the site cannot be reached, or cannot answer now
  6  the key does not allow it

Machines, services, images, keys and peers are named by their name (shop/web-1), by their id, or by four
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
    /// What machines start from.
    #[command(subcommand)]
    Image(Image),
    /// Who may use the site.
    #[command(subcommand)]
    Key(Key),
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
    /// Take one out of the site.
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
        #[arg(value_name = "NAME=VALUE", required = true)]
        settings: Vec<Setting>,
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
  buys-from=yes|no      whether this site may place machines there
  price-max=0.10|none   what one machine may cost there, for one hour
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
    /// Where it is, such as /ip4/192.0.2.1/tcp/7401; once for each address.
    #[arg(long = "address", value_name = "ADDRESS")]
    pub addresses: Vec<String>,
    /// What of its policy is not as usual, such as credit=5.00.
    #[arg(value_name = "NAME=VALUE")]
    pub settings: Vec<Setting>,
}

/// What can be done with services.
#[derive(Debug, Subcommand)]
pub enum Service {
    /// Deploy a manifest and follow it until its machines run.
    Submit {
        /// The manifest; '-' reads it from standard input.
        file: PathBuf,
        /// Only say where each machine would go, and why.
        #[arg(long)]
        plan: bool,
        /// Run each machine that finds a place, even if another finds none.
        #[arg(long)]
        best_effort: bool,
        /// Do not wait for the machines.
        #[arg(long)]
        detach: bool,
    },
    /// List them.
    #[command(alias = "list")]
    Ls,
    /// Show one with its machines.
    Show {
        /// Which.
        service: String,
    },
    /// Take one down: its machines are destroyed.
    End {
        /// Which.
        service: String,
        /// Do not wait until nothing is left of it.
        #[arg(long)]
        detach: bool,
    },
}

/// What can be done with machines.
#[derive(Debug, Subcommand)]
pub enum Machine {
    /// Define a machine without starting it.
    Define(Define),
    /// Start machines, or let them go on.
    Activate(Which),
    /// Stop their processors; their memory stays where it is.
    Pause(Which),
    /// Write their memory to disk and free it.
    Suspend(Which),
    /// Ask their guests to end; their disks stay.
    Shutdown(Which),
    /// End them and delete their disks.
    Destroy(Which),
    /// List them.
    #[command(alias = "list")]
    Ls {
        /// Also those of which nothing is left.
        #[arg(short, long)]
        all: bool,
    },
    /// Show one.
    Show {
        /// Which.
        machine: String,
    },
    /// Attach to its serial console; Ctrl-] detaches.
    Console {
        /// Which.
        machine: String,
        /// Detach after this many seconds.
        #[arg(long = "for", value_name = "SECONDS")]
        seconds: Option<u64>,
    },
}

/// A machine that is to be defined.
#[derive(Args, Debug)]
pub struct Define {
    /// Its name.
    pub name: String,
    /// The name of its image.
    #[arg(long)]
    pub image: String,
    /// Its virtual processors.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub vcpus: u32,
    /// Its memory, such as 128MiB.
    #[arg(long, value_name = "SIZE")]
    pub memory: Mebibytes,
    /// Its disk, such as 64MiB.
    #[arg(long, value_name = "SIZE")]
    pub disk: Mebibytes,
    /// A site that it may run at; without any, every site may.
    #[arg(long = "site", value_name = "SITE")]
    pub sites: Vec<String>,
    /// What becomes of it if it cannot be reached: 'fence', it is stopped and started elsewhere;
    /// 'hold', it runs on and is never started elsewhere.
    #[arg(long, value_name = "POLICY", default_value_t)]
    pub on_partition: OnPartition,
}

/// Machines that are to be led to a state.
#[derive(Args, Debug)]
pub struct Which {
    /// Which.
    #[arg(required = true, value_name = "MACHINE")]
    pub machines: Vec<String>,
    /// Wait until they are there, which is what happens anyway.
    #[arg(long, conflicts_with = "detach")]
    pub wait: bool,
    /// Do not wait until they are there.
    #[arg(long)]
    pub detach: bool,
}

/// What can be done with images.
#[derive(Debug, Subcommand)]
pub enum Image {
    /// Send an image's files and enter it into the site's catalogue.
    Register(Register),
    /// List the catalogue.
    #[command(alias = "list")]
    Ls,
    /// Strike an image from the catalogue.
    Unregister {
        /// Which.
        image: String,
    },
}

/// An image that is to be registered.
#[derive(Args, Debug)]
pub struct Register {
    /// Its name.
    pub name: String,
    /// A kernel.
    #[arg(long, value_name = "FILE", requires = "initrd", required_unless_present = "disk")]
    pub kernel: Option<PathBuf>,
    /// The kernel's initial RAM disk.
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub initrd: Option<PathBuf>,
    /// What the kernel is told.
    #[arg(long, value_name = "TEXT", requires = "kernel", default_value = "")]
    pub command_line: String,
    /// A disk.
    #[arg(long, value_name = "FILE", requires = "format", requires = "size")]
    #[arg(conflicts_with = "kernel")]
    pub disk: Option<PathBuf>,
    /// How the disk is laid out in its file.
    #[arg(long, value_enum, requires = "disk")]
    pub format: Option<Layout>,
    /// The size of the disk in the file, such as 2GiB.
    #[arg(long, value_name = "SIZE", requires = "disk")]
    pub size: Option<Mebibytes>,
}

/// How a disk is laid out in its file.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Layout {
    /// The disk's bytes, one after the other.
    Raw,
    /// QEMU's copy-on-write format.
    Qcow2,
}

impl From<Layout> for images::Format {
    fn from(layout: Layout) -> Self {
        match layout {
            Layout::Raw => Self::Raw,
            Layout::Qcow2 => Self::Qcow2,
        }
    }
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
    /// Forget one that is lost and will not come back: whatever was left on it counts as gone.
    Rm {
        /// Which.
        host: String,
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
