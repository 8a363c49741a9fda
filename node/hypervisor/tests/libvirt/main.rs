//! The real hypervisor, with real guests: what the trait promises, libvirt and QEMU keep.
//!
//! Each test has a libvirtd of its own. It needs root, and Debian's libvirt-daemon-system,
//! libvirt-clients, qemu-system-x86, qemu-utils, busybox-static, cpio and
//! linux-image-cloud-amd64; without them it fails.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hypervisor::backend::Start;
use hypervisor::render::{self, Accelerator};
use hypervisor::{Error, Guest, Hypervisor, Power};
use protocol::epoch::Epoch;
use protocol::hull::{Boot, Hull};
use protocol::images::Format;
use protocol::units::Mebibytes;
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, BufReader};

use ground::Ground;
use guest::{FIRST, Machine, OWNER, SECOND, beat};

mod ground;
mod guest;
mod migration;

#[tokio::test]
async fn a_prepared_guest_has_not_run_until_it_is_resumed() -> Result<()> {
    let ground = Ground::start().await?;
    let (machine, control) = (Machine::new(&ground, 1).await?, Machine::new(&ground, 2).await?);
    machine.prepare(FIRST).await?;
    control.boot().await?;
    assert_eq!(machine.beats(), []);
    assert_eq!(machine.power().await?, Some(Power::Paused));
    ground.libvirt.resume(machine.name(), FIRST).await?;
    ground.libvirt.resume(machine.name(), FIRST).await?;
    assert_eq!(machine.beat(1).await?.count, 1);
    assert_eq!(machine.power().await?, Some(Power::Running));
    Ok(())
}

#[tokio::test]
async fn a_second_prepare_starts_nothing() -> Result<()> {
    let ground = Ground::start().await?;
    let machine = Machine::new(&ground, 1).await?;
    let before = machine.boot().await?;
    let pids = ground.guest_pids()?;
    assert_eq!(pids.len(), 1);
    machine.prepare(FIRST).await?;
    assert_eq!(ground.guest_pids()?, pids);
    let guests = ground.libvirt.guests().await?;
    assert_eq!(guests, [Guest { tag: machine.tag(FIRST), power: Power::Running }]);
    assert_eq!(machine.next_beat().await?.boot, before.boot);
    Ok(())
}

#[tokio::test]
async fn the_process_of_a_guest_is_found() -> Result<()> {
    let ground = Ground::start().await?;
    let machine = Machine::new(&ground, 1).await?;
    machine.prepare(FIRST).await?;
    // The ground has process ids of its own, and the guest has one on either side.
    let [outer] = ground.guest_pids()?[..] else { anyhow::bail!("one guest was made") };
    let status = fs::read_to_string(format!("/proc/{outer}/status"))?;
    let ids = status.lines().find(|line| line.starts_with("NSpid:")).context("it has ids")?;
    let inner: i32 = ids.split_whitespace().last().context("it has an id")?.parse()?;
    assert_eq!(ground.libvirt.process(machine.name(), FIRST).await?, Some(inner));
    let other = ground.libvirt.process(machine.name(), SECOND).await;
    ensure!(matches!(other, Err(Error::OtherEpoch { .. })), "{other:?}");
    ground.libvirt.destroy(machine.name(), FIRST).await?;
    let absent = ground.libvirt.process(machine.name(), FIRST).await;
    ensure!(matches!(absent, Err(Error::Absent { .. })), "{absent:?}");
    Ok(())
}

#[tokio::test]
async fn another_epoch_is_refused_and_changes_nothing() -> Result<()> {
    let ground = Ground::start().await?;
    let machine = Machine::new(&ground, 1).await?;
    machine.prepare(SECOND).await?;
    let (libvirt, name, file) = (&ground.libvirt, machine.name(), machine.state_file());
    for epoch in [FIRST, Epoch { home: 9, provider: 0 }] {
        let tag = machine.tag(epoch);
        let answers = [
            libvirt.prepare(&machine.hull, &machine.backend, &tag).await,
            libvirt.resume(name, epoch).await,
            libvirt.pause(name, epoch).await,
            libvirt.shutdown(name, epoch).await,
            libvirt.destroy(name, epoch).await,
            libvirt.save(name, epoch, &file).await,
            libvirt.restore(&machine.hull, &machine.backend, &tag, &file).await,
        ];
        for answer in answers {
            let Err(Error::OtherEpoch { asked, present, .. }) = answer else {
                anyhow::bail!("not refused: {answer:?}");
            };
            assert_eq!((asked, present), (epoch, SECOND));
        }
    }
    let guests = libvirt.guests().await?;
    assert_eq!(guests, [Guest { tag: machine.tag(SECOND), power: Power::Paused }]);
    Ok(())
}

#[tokio::test]
async fn a_paused_guest_stands_still_and_goes_on_in_the_same_boot() -> Result<()> {
    let ground = Ground::start().await?;
    let (machine, control) = (Machine::new(&ground, 1).await?, Machine::new(&ground, 2).await?);
    control.boot().await?;
    machine.boot().await?;
    for _ in 0..2 {
        ground.libvirt.pause(machine.name(), FIRST).await?;
    }
    assert_eq!(machine.power().await?, Some(Power::Paused));
    // What it had said before is in the log by the time another guest has said two more lines.
    control.next_beat().await?;
    let before = machine.beats();
    control.next_beat().await?;
    control.next_beat().await?;
    assert_eq!(machine.beats(), before);
    ground.libvirt.resume(machine.name(), FIRST).await?;
    let (last, next) = (before.last().context("it had booted")?, machine.next_beat().await?);
    assert_eq!((next.boot.as_str(), next.count), (last.boot.as_str(), last.count + 1));
    Ok(())
}

#[tokio::test]
async fn a_saved_guest_goes_on_in_its_next_epoch() -> Result<()> {
    let ground = Ground::start().await?;
    let machine = Machine::new(&ground, 1).await?;
    machine.boot().await?;
    let (libvirt, name, file) = (&ground.libvirt, machine.name(), machine.state_file());
    libvirt.save(name, FIRST, &file).await?;
    libvirt.save(name, FIRST, &file).await.context("a save that is repeated")?;
    assert_eq!(libvirt.guests().await?, []);
    let before = machine.beats();

    let other = Machine::new(&ground, 2).await?;
    let tag = other.tag(FIRST);
    let answer = libvirt.restore(&other.hull, &other.backend, &tag, &file).await;
    ensure!(matches!(answer, Err(Error::NotSaved { .. })), "another's memory: {answer:?}");

    let tag = machine.tag(SECOND);
    for _ in 0..2 {
        libvirt.restore(&machine.hull, &machine.backend, &tag, &file).await?;
    }
    assert_eq!(libvirt.guests().await?, [Guest { tag, power: Power::Paused }]);
    libvirt.resume(name, SECOND).await?;
    let (last, next) = (before.last().context("it had booted")?, machine.next_beat().await?);
    assert_eq!(next.boot, last.boot);
    ensure!(next.count == last.count + 1, "{} came after {}", next.count, last.count);
    Ok(())
}

#[tokio::test]
async fn a_guest_that_listens_switches_itself_off() -> Result<()> {
    let ground = Ground::start().await?;
    let machine = Machine::new(&ground, 1).await?;
    machine.boot().await?;
    ground.libvirt.shutdown(machine.name(), FIRST).await?;
    machine.gone().await?;
    let said = fs::read_to_string(machine.backend.console_log())?;
    ensure!(said.contains("Power down"), "the guest did not do it itself: {said}");
    for _ in 0..2 {
        ground.libvirt.destroy(machine.name(), FIRST).await?;
    }
    let answer = ground.libvirt.resume(machine.name(), FIRST).await;
    ensure!(matches!(answer, Err(Error::Absent { .. })), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn qemu_runs_as_the_guests_owner_with_no_right_beyond() -> Result<()> {
    let ground = Ground::start().await?;
    let machine = Machine::new(&ground, 1).await?;
    machine.prepare(FIRST).await?;
    let pid = ground.guest_pids()?.pop().context("no process")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(|value| value.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
    };
    let (uid, gid) = (OWNER.uid, OWNER.gid);
    let none = "0000000000000000";
    assert_eq!(field("Uid"), Some(format!("{uid} {uid} {uid} {uid}")));
    assert_eq!(field("Gid"), Some(format!("{gid} {gid} {gid} {gid}")));
    assert_eq!(field("Groups"), Some(gid.to_string()));
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(field(set).as_deref(), Some(none), "{set}");
    }
    assert_eq!(field("NoNewPrivs").as_deref(), Some("1"));
    assert_eq!(field("Seccomp").as_deref(), Some("2"));

    let directory = fs::metadata(&machine.backend.directory)?;
    assert_eq!((directory.uid(), directory.gid(), directory.mode() & 0o777), (0, gid, 0o710));
    let disk = fs::metadata(machine.backend.disk(&machine.hull.disks[0]))?;
    assert_eq!((disk.uid(), disk.gid(), disk.mode() & 0o777), (uid, gid, 0o600));
    Ok(())
}

#[tokio::test]
async fn a_libvirtd_that_comes_back_finds_its_guests() -> Result<()> {
    let mut ground = Ground::start().await?;
    let boot = Machine::new(&ground, 1).await?.boot().await?.boot;
    ground.kill_libvirtd()?;
    let machine = Machine::new(&ground, 1).await?;
    for answer in [
        ground.libvirt.probe().await.map(|_| ()),
        ground.libvirt.guests().await.map(|_| ()),
        ground.libvirt.pause(machine.name(), FIRST).await,
    ] {
        ensure!(matches!(answer, Err(Error::Unreachable { .. })), "{answer:?}");
    }
    machine.next_beat().await.context("the guest lives without libvirtd")?;
    drop(machine);
    ground.restart_libvirtd()?;
    ground.answers().await?;
    let machine = Machine::new(&ground, 1).await?;
    let guests = ground.libvirt.guests().await?;
    assert_eq!(guests, [Guest { tag: machine.tag(FIRST), power: Power::Running }]);
    ground.libvirt.pause(machine.name(), FIRST).await?;
    ground.libvirt.resume(machine.name(), FIRST).await?;
    assert_eq!(machine.next_beat().await?.boot, boot);
    Ok(())
}

#[tokio::test]
async fn a_libvirtd_that_hangs_holds_nobody_up() -> Result<()> {
    let ground = Ground::start().await?;
    ground.signal_libvirtd(Signal::STOP)?;
    let asked = Instant::now();
    let answer = ground.libvirt.probe().await;
    ensure!(matches!(answer, Err(Error::Late { .. })), "{answer:?}");
    ensure!(asked.elapsed() < Duration::from_secs(15), "it took {:?}", asked.elapsed());
    ground.signal_libvirtd(Signal::CONT)?;
    ground.answers().await
}

#[tokio::test]
async fn what_others_run_is_not_listed_and_not_touched() -> Result<()> {
    let ground = Ground::start().await?;
    let machine = Machine::new(&ground, 1).await?;
    let description = render::domain(
        &machine.hull,
        &machine.backend,
        &machine.tag(FIRST),
        Accelerator::Emulation,
    )?;
    let foreign = description.replace("https://reservoir.invalid/machine/1", "urn:other");
    let file = ground.path().join("foreign.xml");
    fs::write(&file, foreign)?;
    ground.virsh(&["create", "--paused", &file.to_string_lossy()])?;
    assert_eq!(ground.libvirt.guests().await?, []);
    for answer in [
        machine.ground.libvirt.destroy(machine.name(), FIRST).await,
        machine.ground.libvirt.resume(machine.name(), FIRST).await,
        machine.ground.libvirt.prepare(&machine.hull, &machine.backend, &machine.tag(FIRST)).await,
    ] {
        ensure!(matches!(answer, Err(Error::Foreign { .. })), "{answer:?}");
    }
    ensure!(ground.virsh(&["domstate", &render::domain_name(machine.name())])?.contains("paused"));
    Ok(())
}

#[tokio::test]
async fn libvirt_takes_a_machine_that_starts_from_its_disk_and_can_grow() -> Result<()> {
    let ground = Ground::start().await?;
    let mut machine = Machine::new(&ground, 1).await?;
    let base = ground.path().join("base");
    fs::write(&base, vec![0; 1 << 20])?;
    machine.backend.directory = ground.path().join("machines/grows");
    machine.backend.start = Start::Disk { base: base.clone(), format: Format::Raw };
    machine.hull =
        Hull { boot: Boot::Disk, vcpus_max: 2, memory_max: Mebibytes(256), ..machine.hull.clone() };
    for _ in 0..2 {
        ground.libvirt.disk_create(&machine.hull, &machine.backend).await?;
    }
    machine.prepare(FIRST).await?;
    ground.libvirt.resume(machine.name(), FIRST).await?;
    assert_eq!(machine.power().await?, Some(Power::Running));
    let tap = machine.backend.plugs[0].interface.clone();
    let cards = ground.virsh(&["domiflist", &render::domain_name(machine.name())])?;
    ensure!(cards.contains(&tap), "{tap} is not among {cards}");
    ground.libvirt.destroy(machine.name(), FIRST).await?;

    let disk = machine.backend.disk(&machine.hull.disks[0]);
    let output = Command::new("qemu-img").args(["info", "--output=json"]).arg(&disk).output()?;
    let info = String::from_utf8(output.stdout)?;
    for expected in [
        format!("\"virtual-size\": {}", machine.hull.disks[0].size.bytes()),
        format!("\"backing-filename\": \"{}\"", base.display()),
        "\"backing-filename-format\": \"raw\"".to_owned(),
    ] {
        ensure!(info.contains(&expected), "{expected} is not in {info}");
    }
    for _ in 0..2 {
        ground.libvirt.wipe(&machine.backend.directory).await?;
    }
    ensure!(!machine.backend.directory.exists());
    Ok(())
}

#[tokio::test]
async fn the_console_is_heard_live_and_in_the_log() -> Result<()> {
    let ground = Ground::start().await?;
    let machine = Machine::new(&ground, 1).await?;
    machine.prepare(FIRST).await?;
    let console = ground.libvirt.console(&machine.backend).await?;
    ground.libvirt.resume(machine.name(), FIRST).await?;
    let mut lines = BufReader::new(console).lines();
    let heard = tokio::time::timeout(Duration::from_secs(60), async {
        while let Some(line) = lines.next_line().await? {
            if let Some(beat) = beat(&format!("{line}\n")) {
                return Ok(beat);
            }
        }
        anyhow::bail!("the console ended")
    })
    .await??;
    machine.beat(1).await?;
    assert_eq!(machine.beats().first(), Some(&heard));
    let log = fs::metadata(machine.backend.console_log())?;
    assert_eq!(log.permissions().mode() & 0o077, 0, "nobody else reads what a guest says");
    Ok(())
}

#[tokio::test]
async fn a_host_says_what_it_has() -> Result<()> {
    let ground = Ground::start().await?;
    let capacity = ground.libvirt.probe().await?;
    ensure!(capacity.vcpus >= 1 && capacity.memory.0 >= 256 && capacity.disk_free.0 >= 1);
    ensure!(capacity.version.starts_with("QEMU "), "{}", capacity.version);
    Ok(())
}
