//! What is said of services and machines.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use protocol::manifest::{ComponentName, OnPartition, SecurityGroupName};
use protocol::sla::Class;
use protocol::units::Mebibytes;

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
    /// Give a component of it another number of machines, and follow them: missing ones are
    /// placed and started, and those with the highest numbers go if they are too many.
    Scale {
        /// Which.
        service: String,
        /// Which of its components.
        component: ComponentName,
        /// How many machines it is to have from now on.
        replicas: u32,
        /// Do not wait for the machines.
        #[arg(long)]
        detach: bool,
    },
    /// Who may begin what with its machines.
    #[command(subcommand)]
    Security(Security),
    /// Take one down: its machines are destroyed.
    End {
        /// Which.
        service: String,
        /// Do not wait until nothing is left of it.
        #[arg(long)]
        detach: bool,
    },
}

/// What can be done with the security groups of a service.
#[derive(Debug, Subcommand)]
pub enum Security {
    /// List them with their rules and who is in them.
    #[command(alias = "list")]
    Ls {
        /// Of which service.
        service: String,
    },
    /// Give one these rules and no others, while its machines run; it is made if it is not there.
    Set {
        /// Of which service.
        service: String,
        /// Which group.
        group: SecurityGroupName,
        /// What others may begin with its machines, such as 'tcp 443 from 0.0.0.0/0'; once for each
        /// rule.
        #[arg(long, value_name = "RULE")]
        ingress: Vec<String>,
        /// What its machines may begin with others, such as 'tcp 5432 to database'; anything, if
        /// it is not said.
        #[arg(long, value_name = "RULE", conflicts_with = "no_egress")]
        egress: Vec<String>,
        /// Its machines may begin nothing with others.
        #[arg(long)]
        no_egress: bool,
    },
    /// Take one away that nothing names any more.
    #[command(alias = "remove")]
    Rm {
        /// Of which service.
        service: String,
        /// Which group.
        group: SecurityGroupName,
    },
    /// Put the machines of a component into these groups and no others.
    Assign {
        /// Of which service.
        service: String,
        /// Which component.
        component: ComponentName,
        /// Its groups.
        #[arg(required = true)]
        groups: Vec<SecurityGroupName>,
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
    /// What is to be promised of it at the least: best-effort, bronze, silver or gold.
    #[arg(long, value_name = "CLASS", default_value_t)]
    pub sla: Class,
    /// A file whose bytes the machine finds as its user data: at most 16 KiB.
    #[arg(long, value_name = "FILE")]
    pub user_data: Option<PathBuf>,
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
