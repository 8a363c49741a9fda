//! The program behind `testnet/up` and `testnet/down`.

mod tour;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use testnet::{Plan, Testnet};
use tokio::signal::unix::{SignalKind, signal};
use tracing::error;

/// How often the supervisor looks after its daemons.
const GLANCE: Duration = Duration::from_millis(500);

/// Several Reservoir sites on one machine, with real hypervisors.
#[derive(Parser)]
struct Arguments {
    /// Where the testnet has all of its files.
    #[arg(long, default_value = "/var/lib/reservoir-testnet")]
    directory: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Brings up three sites, runs a service across them, and says what to try next.
    Up {
        /// The binary `reservoir`; the one beside this program if it is left out.
        #[arg(long)]
        reservoir: Option<PathBuf>,
        /// The service's manifest.
        #[arg(long, default_value = "examples/three-tier.yaml")]
        service: PathBuf,
        /// How many nodes a site has, such as alpha=3; each further one is a host of its own.
        #[arg(long, value_name = "SITE=N")]
        nodes: Vec<String>,
        /// Sites without nodes, for tests of the testnet itself.
        #[arg(long)]
        hypervisors_only: bool,
    },
    /// Takes everything away.
    Down,
    /// Makes the plan in the directory true, and keeps it so until it is told to end.
    #[command(hide = true)]
    Supervise {
        /// The plan, as JSON.
        plan: String,
    },
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(Arguments { directory, verb }: Arguments) -> Result<()> {
    match verb {
        Verb::Up { hypervisors_only: true, .. } => {
            tour::supervised(&Plan::three(None), &directory).map(drop)
        }
        Verb::Up { reservoir, service, nodes, hypervisors_only: false } => {
            let reservoir = match reservoir {
                Some(reservoir) => reservoir,
                None => beside()?,
            };
            tour::up(&directory, &reservoir, &service, &nodes)
        }
        Verb::Down => testnet::clean(&directory),
        Verb::Supervise { plan } => {
            let plan = serde_json::from_str(&plan).context("read the plan")?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.context("start the supervisor")?.block_on(supervise(&plan, directory))
        }
    }
}

fn beside() -> Result<PathBuf> {
    let own = std::env::current_exe().context("find this program")?;
    Ok(own.with_file_name("reservoir"))
}

/// The service manager of all sites: what ends is started again, until the signal comes.
async fn supervise(plan: &Plan, directory: PathBuf) -> Result<()> {
    // Until here a signal ends this process at once, and `down` takes away what it had made.
    let mut net = Testnet::start(plan, &directory)?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for signals")?;
    tour::ready(&directory)?;
    let mut clock = tokio::time::interval(GLANCE);
    loop {
        tokio::select! {
            _ = terminate.recv() => return net.close(),
            _ = clock.tick() => {
                // What cannot be started now is tried again, as a service manager would.
                if let Err(error) = net.tend() {
                    error!("{error:#}");
                }
            }
        }
    }
}
