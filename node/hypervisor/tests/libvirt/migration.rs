//! A guest moves from one libvirtd to another, each half driven by itself.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hypervisor::cookie::{self, About};
use hypervisor::remote::{Client, Domain, Flags, Parameter};
use hypervisor::render::{self, Accelerator};
use hypervisor::{Hypervisor, Power};
use protocol::codec;
use protocol::epoch::Epoch;
use protocol::hull::libvirt_uuid;
use protocol::migration::cookie::{Cookie, LIMIT as COOKIE_LIMIT};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::ground::Ground;
use crate::guest::{FIRST, Machine, OWNER};

/// The epoch in which the guest runs where it has moved to.
const MOVED: Epoch = Epoch { home: 2, provider: 0 };

/// How long it may take to copy a small guest under emulation.
const LIMIT: Duration = Duration::from_secs(60);

/// How a guest moves that goes on meanwhile.
const FLAGS: Flags = Flags::LIVE.and(Flags::OVERLAYS);

/// What the memory and the disks go through at one host.
struct Sockets(PathBuf);

impl Sockets {
    fn at(ground: &Ground) -> Result<Self> {
        let directory = ground.path().join("move");
        std::fs::create_dir_all(&directory)?;
        chown(&directory, Some(OWNER.uid), Some(OWNER.gid))?;
        Ok(Self(directory))
    }

    fn memory(&self) -> PathBuf {
        self.0.join("memory")
    }

    fn disks(&self) -> PathBuf {
        self.0.join("disks")
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![Parameter::memory(&self.memory()), Parameter::disks(&self.disks())]
    }
}

/// Carries what connects to one socket to another, for as long as it is kept.
fn relay(from: &Path, to: &Path) -> Result<JoinSet<()>> {
    let listener = UnixListener::bind(from)?;
    chown(from, Some(OWNER.uid), Some(OWNER.gid))?;
    let to = to.to_owned();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut streams = JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let to = to.clone();
            streams.spawn(async move {
                let Ok(mut far) = UnixStream::connect(to).await else { return };
                drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
            });
        }
    });
    Ok(tasks)
}

/// A machine that runs at one host and has its disk at another.
struct Move<'a> {
    source: Machine<'a>,
    destination: Machine<'a>,
    here: Sockets,
    there: Sockets,
    _relays: [JoinSet<()>; 2],
}

impl<'a> Move<'a> {
    async fn new(from: &'a Ground, to: &'a Ground) -> Result<Self> {
        let (source, destination) = (Machine::new(from, 1).await?, Machine::new(to, 1).await?);
        let (here, there) = (Sockets::at(from)?, Sockets::at(to)?);
        let relays =
            [relay(&here.memory(), &there.memory())?, relay(&here.disks(), &there.disks())?];
        Ok(Self { source, destination, here, there, _relays: relays })
    }

    async fn client(ground: &Ground) -> Result<Client> {
        Ok(Client::open(&ground.path().join("run/libvirt-sock")).await?)
    }

    fn description(&self) -> Result<String> {
        let machine = &self.destination;
        let (hull, backend, tag) = (&machine.hull, &machine.backend, machine.tag(MOVED));
        Ok(render::domain(hull, backend, &tag, Accelerator::Emulation)?)
    }

    /// A cookie of the one libvirt as it reaches the other: read, carried in words, written anew.
    fn carried(&self, said: &[u8]) -> Result<Vec<u8>> {
        let (name, hull) = (self.source.name(), &self.source.hull);
        let uuid = libvirt_uuid(name.home, name.machine);
        let about = About { name: render::domain_name(name), uuid };
        let bytes = codec::encode(&cookie::read(said, &about)?);
        let heard: Cookie = codec::decode(&bytes, COOKIE_LIMIT)?;
        Ok(cookie::write(&heard.fitting(hull)?, &about))
    }

    /// Both halves up to the end of Perform; what Finish needs.
    async fn perform(&self) -> Result<(Client, Client, Domain, Vec<u8>)> {
        let mut source = Self::client(self.source.ground).await?;
        let mut destination = Self::client(self.destination.ground).await?;
        let name = self.source.name();
        let domain = source.lookup(libvirt_uuid(name.home, name.machine)).await?;
        let begun =
            source.begin(&domain, &self.here.parameters(), FLAGS.and(Flags::PROTECTED)).await?;
        let cookie = self.carried(&begun.cookie)?;
        let mut parameters = self.there.parameters();
        parameters.push(Parameter::description(self.description()?));
        let cookie = destination.prepare(&parameters, &cookie, FLAGS).await?;
        let cookie = self.carried(&cookie)?;
        let flags = FLAGS.and(Flags::PROTECTED);
        let cookie =
            source.perform(&domain, &self.here.parameters(), &cookie, flags, LIMIT).await?;
        let cookie = self.carried(&cookie)?;
        Ok((source, destination, domain, cookie))
    }

    fn finishing(&self, domain: &Domain) -> Vec<Parameter> {
        let mut parameters = self.there.parameters();
        parameters.push(Parameter::name(domain.name.clone()));
        parameters
    }
}

#[tokio::test]
async fn a_guest_moves_between_two_hosts_whose_libvirtds_never_meet() -> Result<()> {
    let (from, to) = (Ground::start().await?, Ground::start().await?);
    let moved = Move::new(&from, &to).await?;
    let before = moved.source.boot().await?;
    let (mut source, mut destination, domain, cookie) = moved.perform().await?;
    let there = destination.finish(&moved.finishing(&domain), &cookie, FLAGS).await?;
    ensure!(there.uuid == domain.uuid, "another guest runs there");
    let flags = FLAGS.and(Flags::PROTECTED);
    source.confirm(&domain, &moved.here.parameters(), flags, false).await?;
    ensure!(moved.source.power().await?.is_none(), "it is at the source still");
    ensure!(moved.destination.power().await? == Some(Power::Running), "it does not run");
    let guests = moved.destination.ground.libvirt.guests().await?;
    let guest = guests.first().context("no guest")?;
    ensure!(guest.tag.epoch == MOVED, "it has another epoch");
    let after = moved.destination.next_beat().await?;
    ensure!(after.boot == before.boot && after.count > before.count, "{before:?} {after:?}");
    Ok(())
}

#[tokio::test]
async fn a_source_whose_connection_is_lost_after_perform_stands_still() -> Result<()> {
    let (from, to) = (Ground::start().await?, Ground::start().await?);
    let moved = Move::new(&from, &to).await?;
    let before = moved.source.boot().await?;
    drop(moved.perform().await?);
    moved.destination.gone().await?;
    ensure!(moved.source.power().await? == Some(Power::Paused), "it went on by itself");
    moved.source.ground.libvirt.resume(moved.source.name(), FIRST).await?;
    ensure!(moved.source.next_beat().await?.boot == before.boot, "it was started anew");
    Ok(())
}

#[tokio::test]
async fn a_move_that_is_off_leaves_the_guest_where_it_was() -> Result<()> {
    let (from, to) = (Ground::start().await?, Ground::start().await?);
    let moved = Move::new(&from, &to).await?;
    let before = moved.source.boot().await?;
    let (mut source, mut destination, domain, cookie) = moved.perform().await?;
    destination.give_up(&moved.finishing(&domain), &cookie, FLAGS).await?;
    moved.destination.gone().await?;
    let flags = FLAGS.and(Flags::PROTECTED);
    source.confirm(&domain, &moved.here.parameters(), flags, true).await?;
    ensure!(moved.source.power().await? == Some(Power::Running), "it does not go on");
    ensure!(moved.source.next_beat().await?.boot == before.boot, "it was started anew");
    Ok(())
}
