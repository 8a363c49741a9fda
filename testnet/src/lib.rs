//! Several sites on one machine, with real hypervisors, and what may go wrong.
//!
//! ```text
//!          the virtual Internet: a switch in a network namespace, 203.0.113.0/24, nftables
//!             |                          |                          |
//!   +---------+---------+      +---------+---------+      +---------+---------+
//!   | alpha: namespaces |      | beta              |      | gamma             |
//!   | node   libvirtd   |      | node   libvirtd   |      | node   libvirtd   |
//!   | bridge dnsmasq    |      | bridge dnsmasq    |      | bridge dnsmasq    |
//!   | QEMU   QEMU       |      | QEMU   QEMU       |      | QEMU              |
//!   +-------------------+      +-------------------+      +-------------------+
//! ```
//!
//! A site's host is a network namespace with all that runs in it; a site of several nodes has one
//! for each, called `alpha`, `alpha-2`, `alpha-3`, and wherever a site is named here, one of its hosts
//! can be. Its processes see directories of the
//! testnet's own where libvirt keeps its files, so a libvirt that the machine itself uses is
//! never met. All that a testnet makes is in its one directory, also the namespaces, which are
//! mounts over files there: two testnets in two directories have nothing in common.
//!
//! This process is the supervisor of the daemons, in the place of a host's service manager: it
//! starts a daemon that has ended again only in [`Testnet::tend`], so that a test decides.

mod clean;
mod command;
mod daemon;
mod guest;
mod internet;
mod libvirt;
mod lock;
mod namespace;
mod node;
mod plan;
mod process;
mod site;
mod wait;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, ensure};
use tracing::error;

pub use crate::clean::{clean, supervisor};
pub use crate::guest::{COMMAND_LINE, Image};
use crate::internet::Internet;
pub use crate::libvirt::Domain;
use crate::lock::Lock;
use crate::plan::Place;
pub use crate::plan::{Plan, Prices, SitePlan};
use crate::site::Site;
pub use crate::wait::wait_for;

/// The longest path of a testnet's directory in bytes: libvirt's sockets lie 43 bytes below it,
/// and the kernel's limit for a socket's path is 107.
const DIRECTORY_MAX: usize = 64;

/// A testnet that runs. When it is dropped, all of it is gone.
#[derive(Debug)]
pub struct Testnet {
    directory: PathBuf,
    internet: Internet,
    sites: Vec<Site>,
    image: Image,
    _lock: Lock,
}

/// Whether a testnet was there before.
#[derive(Eq, PartialEq)]
enum Origin {
    New,
    Found,
}

impl Testnet {
    /// Makes the plan true in `directory`, and waits until every daemon answers.
    ///
    /// What an earlier supervisor left there is taken over, if its plan was the same: guests,
    /// daemons that still run, the sites' keys and data.
    ///
    /// # Errors
    ///
    /// The directory belongs to a testnet that runs or had another plan; or the machine lacks
    /// something, which is named.
    pub fn start(plan: &Plan, directory: &Path) -> Result<Self> {
        plan.check()?;
        ensure!(rustix::process::geteuid().is_root(), "a testnet needs root: try sudo");
        fs::create_dir_all(directory).context("create the testnet's directory")?;
        let directory = directory.canonicalize().context("find the testnet's directory")?;
        let length = directory.as_os_str().len();
        ensure!(length <= DIRECTORY_MAX, "{} is too long for sockets in it", directory.display());
        let lock = Lock::take(&directory)?;
        let origin = remember(plan, &directory)?;
        match Self::build(plan, &directory) {
            Ok((internet, sites, image)) => {
                Ok(Self { directory, internet, sites, image, _lock: lock })
            }
            Err(error) => {
                // What was there before stays for another attempt.
                if origin == Origin::New
                    && let Err(error) = clean::remove_all(&directory)
                {
                    error!("{error:#}");
                }
                Err(error)
            }
        }
    }

    fn build(plan: &Plan, directory: &Path) -> Result<(Internet, Vec<Site>, Image)> {
        let internet = Internet::open(directory.join("internet"))?;
        let image = directory.join("guest");
        fs::create_dir_all(&image).context("create the guest's directory")?;
        let image = guest::build(&image)?;
        fs::create_dir_all(directory.join("cache")).context("create libvirt's cache")?;
        let mut sites = Vec::new();
        let places = plan.places();
        for Place { name, number, .. } in &places {
            let home = directory.join("sites").join(name);
            let mut site = Site::prepare(home, name, plan.reservoir.as_deref())?;
            internet.connect(name, &site.namespace, &node::address(*number))?;
            site.start_libvirt().with_context(|| format!("start libvirt at {name}"))?;
            sites.push(site);
        }
        if plan.reservoir.is_some() {
            let founders = &sites[..plan.sites.len()];
            let ids = founders.iter().map(Site::init).collect::<Result<Vec<_>>>()?;
            for (place, site) in places.iter().zip(&mut sites) {
                site.configure(&node::configuration(plan, place, &ids)?)?;
                // A site that was there before answers once most of its nodes run.
                if place.node == 1 || site.has_joined() {
                    site.launch_node()?;
                }
            }
            for place in &places {
                let (others, rest) = sites.split_at_mut(place.number);
                let site = &mut rest[0];
                if place.node > 1 && !site.has_joined() {
                    let joined = site.join(&others[place.site]);
                    joined.with_context(|| format!("let {} join", place.name))?;
                }
                site.start_node()?;
            }
        }
        Ok((internet, sites, image))
    }

    /// Ends every process and takes every trace away.
    ///
    /// # Errors
    ///
    /// What could not be taken away; the rest is gone.
    pub fn close(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        // Our children are reaped this way; all others are found by their namespaces.
        self.sites.iter_mut().try_for_each(Site::kill)?;
        clean::remove_all(&self.directory)
    }

    /// The guest's image, which a site knows only once it is registered there.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The directory of a site's node.
    ///
    /// # Errors
    ///
    /// There is no such site.
    pub fn data(&self, site: &str) -> Result<PathBuf> {
        Ok(self.at(site)?.data())
    }

    /// Runs `reservoir` as at a site, with that site's key; a failure of it is an answer too.
    ///
    /// # Errors
    ///
    /// It could not be run.
    pub fn reservoir(&self, site: &str, arguments: &[&str]) -> Result<Output> {
        self.at(site)?.reservoir(arguments)
    }

    /// Runs any command in a site's network and among its directories; answers what it wrote.
    ///
    /// # Errors
    ///
    /// It failed; its words are in the error.
    pub fn run(&self, site: &str, arguments: &[&str]) -> Result<String> {
        self.at(site)?.run(arguments)
    }

    /// Does some work on a thread of its own in a site's network; the caller waits for it. Sockets
    /// that the thread opens are the site's.
    ///
    /// # Errors
    ///
    /// There is no such site, or the thread could not move there.
    pub fn inside<T: Send>(&self, site: &str, work: impl FnOnce() -> T + Send) -> Result<T> {
        self.at(site)?.namespace.inside(work)
    }

    /// Kills a site's node with SIGKILL. It stays dead until [`Testnet::start_node`].
    ///
    /// # Errors
    ///
    /// There is none, or it could not be killed.
    pub fn kill_node(&mut self, site: &str) -> Result<()> {
        self.at_mut(site)?.kill_node()
    }

    /// Starts a site's node, unless it runs, and does not wait until it answers.
    ///
    /// # Errors
    ///
    /// It could not be started.
    pub fn launch_node(&mut self, site: &str) -> Result<()> {
        self.at_mut(site)?.launch_node()
    }

    /// Starts a site's node, unless it runs, and waits until it answers.
    ///
    /// # Errors
    ///
    /// It ended, with its last words, or did not answer in time.
    pub fn start_node(&mut self, site: &str) -> Result<()> {
        self.at_mut(site)?.start_node()
    }

    /// Kills a host's node and forgets all that it had, as if its disk were lost; then a new one
    /// joins there, by an invitation of the node at `first`.
    ///
    /// # Errors
    ///
    /// It could not be killed, was not let in, or did not answer in time.
    pub fn replace_node(&mut self, host: &str, first: &str) -> Result<()> {
        let place = |name: &str| self.sites.iter().position(|site| site.name == name);
        let [host, first] = [host, first]
            .map(|name| place(name).with_context(|| format!("there is no host '{name}'")));
        let (host, first) = (host?, first?);
        self.sites[host].kill_node()?;
        self.sites[host].kill_fence()?;
        self.sites[host].lose_node()?;
        self.sites[host].join(&self.sites[first])?;
        self.sites[host].start_node()
    }

    /// Kills a host's fence with SIGKILL. It stays dead until [`Testnet::start_fence`].
    ///
    /// # Errors
    ///
    /// There is none, or it could not be killed.
    pub fn kill_fence(&mut self, site: &str) -> Result<()> {
        self.at_mut(site)?.kill_fence()
    }

    /// Starts a host's fence, unless it runs.
    ///
    /// # Errors
    ///
    /// It could not be started.
    pub fn start_fence(&mut self, site: &str) -> Result<()> {
        self.at_mut(site)?.start_fence()
    }

    /// Kills a site's libvirtd with SIGKILL. It stays dead until [`Testnet::start_libvirtd`].
    ///
    /// # Errors
    ///
    /// It could not be killed.
    pub fn kill_libvirtd(&mut self, site: &str) -> Result<()> {
        self.at_mut(site)?.kill_libvirtd()
    }

    /// Starts a site's libvirtd, unless it runs, and waits until it answers.
    ///
    /// # Errors
    ///
    /// It did not answer in time.
    pub fn start_libvirtd(&mut self, site: &str) -> Result<()> {
        self.at_mut(site)?.start_libvirt()
    }

    /// Starts every daemon again that has ended without being killed by one of these calls.
    ///
    /// # Errors
    ///
    /// One of them could not be started.
    pub fn tend(&mut self) -> Result<()> {
        self.sites.iter_mut().try_for_each(Site::tend)
    }

    /// The process ids of a site's virtlogd, libvirtd and node, as far as they run.
    ///
    /// # Errors
    ///
    /// There is no such site.
    pub fn pids(&mut self, site: &str) -> Result<[Option<i32>; 3]> {
        Ok(self.at_mut(site)?.pids())
    }

    /// Drops everything between two sites, in both directions.
    ///
    /// # Errors
    ///
    /// There is no such site, or nftables refused.
    pub fn cut(&self, a: &str, b: &str) -> Result<()> {
        self.internet.cut(&self.at(a)?.name, &self.at(b)?.name)
    }

    /// Lets everything pass between two sites again.
    ///
    /// # Errors
    ///
    /// There is no such site, or nftables refused.
    pub fn heal(&self, a: &str, b: &str) -> Result<()> {
        self.internet.heal(&self.at(a)?.name, &self.at(b)?.name)
    }

    /// The pairs of sites that are cut from each other, each in both directions.
    ///
    /// # Errors
    ///
    /// Nftables did not say.
    pub fn cuts(&self) -> Result<BTreeSet<(String, String)>> {
        self.internet.cut_pairs()
    }

    /// The guests that a site's libvirt has.
    ///
    /// # Errors
    ///
    /// It did not answer.
    pub fn domains(&self, site: &str) -> Result<Vec<Domain>> {
        self.at(site)?.libvirt.domains()
    }

    /// Runs virsh on a site's libvirt.
    ///
    /// # Errors
    ///
    /// It failed; its words are in the error.
    pub fn virsh(&self, site: &str, arguments: &[&str]) -> Result<String> {
        self.at(site)?.libvirt.virsh(arguments)
    }

    /// The file to which a guest's serial console is written. It outlives the guest.
    ///
    /// # Errors
    ///
    /// The site's libvirt has no such guest, or the guest's console is not written down.
    pub fn console(&self, site: &str, domain: &str) -> Result<PathBuf> {
        self.at(site)?.libvirt.console(domain)
    }

    /// What a guest has written to its serial console so far.
    ///
    /// # Errors
    ///
    /// As for [`Testnet::console`].
    pub fn console_log(&self, site: &str, domain: &str) -> Result<String> {
        let file = self.console(site, domain)?;
        let bytes = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn at(&self, name: &str) -> Result<&Site> {
        let site = self.sites.iter().find(|site| site.name == name);
        site.with_context(|| format!("there is no site '{name}'"))
    }

    fn at_mut(&mut self, name: &str) -> Result<&mut Site> {
        let site = self.sites.iter_mut().find(|site| site.name == name);
        site.with_context(|| format!("there is no site '{name}'"))
    }
}

impl Drop for Testnet {
    fn drop(&mut self) {
        if self.directory.exists()
            && let Err(error) = self.end()
        {
            error!("{error:#}");
        }
    }
}

/// Writes the plan down, or finds that it is the one that is there.
fn remember(plan: &Plan, directory: &Path) -> Result<Origin> {
    let file = directory.join("plan.json");
    let text = serde_json::to_string_pretty(plan).context("write the plan")?;
    match fs::read_to_string(&file) {
        Ok(present) => {
            let directory = directory.display();
            ensure!(
                present == text,
                "{directory} has a testnet of another plan: take it down first"
            );
            Ok(Origin::Found)
        }
        Err(_) => {
            fs::write(&file, text).context("write the plan")?;
            Ok(Origin::New)
        }
    }
}
