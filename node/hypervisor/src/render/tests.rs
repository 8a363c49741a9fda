//! The description is frozen for both ways to boot, and no text breaks out of its place.

use expect_test::expect_file;
use protocol::epoch::Epoch;
use protocol::hull::{Board, Boot, Card, Disk, Hull, Mac, Port, Processor};
use protocol::ids::{MachineId, MachineName, NetworkId, SiteId};
use protocol::images::Format;
use protocol::units::{Mebibytes, Size};
use quick_xml::Reader;
use quick_xml::events::Event;

use super::{Accelerator, Error, domain};
use crate::backend::{Backend, Owner, Plug, Start};
use crate::{Tag, metadata};

const HOME: SiteId = SiteId::from_bytes([0xab; 32]);

fn machine() -> MachineId {
    MachineId::from_uuid(uuid::Uuid::from_bytes([0x11; 16]))
}

fn network() -> NetworkId {
    "01900000-0000-7000-8000-000000000017".parse().expect("an id")
}

fn small() -> (Hull, Backend) {
    let size = Size { vcpus: 1, memory: Mebibytes(128), disk: Mebibytes(64) };
    let boot = Boot::Kernel { command_line: "console=ttyS0 quiet".to_owned() };
    let backend = Backend {
        directory: "/var/lib/reservoir/machines/one".into(),
        owner: Owner { uid: 70_001, gid: 70_002 },
        start: Start::Kernel { kernel: "/images/kernel".into(), initrd: "/images/initrd".into() },
        plugs: vec![plug("br-red", "tap-red")],
    };
    (Hull::new(HOME, machine(), size, boot, &[network()]), backend)
}

fn large() -> (Hull, Backend) {
    let (small, backend) = small();
    let mac = Mac::of(HOME, machine(), 1);
    let volume = Disk { port: Port(8), serial: "volume1".to_owned(), size: Mebibytes(1_024) };
    let card = Card { port: Port(3), mac, network: network(), mtu: 9_000 };
    let hull = Hull {
        board: Board::Q35V7_2,
        processor: Processor::Qemu64,
        vcpus: 2,
        vcpus_max: 4,
        memory: Mebibytes(1_024),
        memory_max: Mebibytes(4_096),
        boot: Boot::Disk,
        disks: vec![small.disks[0].clone(), volume],
        cards: vec![small.cards[0].clone(), card],
        ..small
    };
    let start = Start::Disk { base: "/images/base".into(), format: Format::Raw };
    let plugs = vec![plug("br-red", "tap-red"), plug("br-blue", "tap-blue")];
    (hull, Backend { start, plugs, ..backend })
}

fn plug(bridge: &str, interface: &str) -> Plug {
    Plug { bridge: bridge.to_owned(), interface: interface.to_owned() }
}

fn tag(hull: &Hull) -> Tag {
    let name = MachineName { home: hull.home, machine: hull.machine };
    Tag { name, epoch: Epoch { home: 2, provider: 7 }, hull: hull.id() }
}

fn describe(hull: &Hull, backend: &Backend) -> Result<String, Error> {
    domain(hull, backend, &tag(hull), Accelerator::Emulation)
}

#[test]
fn a_machine_with_a_kernel_is_described_like_this() {
    let (hull, backend) = small();
    expect_file!["kernel.xml"].assert_eq(&describe(&hull, &backend).unwrap());
}

#[test]
fn a_machine_that_starts_from_its_disk_is_described_like_this() {
    let (hull, backend) = large();
    let description = domain(&hull, &backend, &tag(&hull), Accelerator::Hardware).unwrap();
    expect_file!["disk.xml"].assert_eq(&description);
}

#[test]
fn the_tag_is_read_back_from_the_description() {
    let (hull, backend) = large();
    let description = describe(&hull, &backend).unwrap();
    assert_eq!(metadata::read(&description), Some(tag(&hull)));
}

/// Names of all elements in order, and the text of the kernel's command line.
fn shape(description: &str) -> (Vec<String>, String) {
    let mut reader = Reader::from_str(description);
    let (mut names, mut command_line) = (Vec::new(), String::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Start(element) | Event::Empty(element) => {
                names.push(element.name().as_ref().to_owned());
            }
            Event::Text(text) if names.last().is_some_and(|name| name == "cmdline") => {
                command_line.push_str(&text.xml10_content());
            }
            Event::GeneralRef(entity) if names.last().is_some_and(|name| name == "cmdline") => {
                command_line.push_str(match entity.xml10_content().as_ref() {
                    "lt" => "<",
                    "gt" => ">",
                    "amp" => "&",
                    "quot" => "\"",
                    "apos" => "'",
                    other => panic!("an entity that nobody wrote: {other}"),
                });
            }
            Event::Eof => return (names, command_line),
            _ => {}
        }
    }
}

#[test]
fn hostile_text_stays_in_its_place() {
    let (hull, backend) = small();
    let (expected, _) = shape(&describe(&hull, &backend).unwrap());
    let hostile = [
        "</cmdline></os><devices><emulator>/bin/sh</emulator></devices><os><cmdline>",
        "a=\"b\" c='d' & &lt; &amp; &#0; ]]> <![CDATA[ <!-- -->",
        "\"/><disk type='block'/>",
    ];
    for text in hostile {
        let boot = Boot::Kernel { command_line: text.to_owned() };
        let hull = Hull { boot, ..hull.clone() };
        let backend = Backend {
            directory: format!("/var/{}", text.replace('/', "_"))
                .chars()
                .take(90)
                .collect::<String>()
                .into(),
            start: Start::Kernel {
                kernel: format!("/{text}").into(),
                initrd: format!("/{text}").into(),
            },
            ..backend.clone()
        };
        let (names, command_line) = shape(&describe(&hull, &backend).unwrap());
        assert_eq!(names, expected, "{text}");
        let trimmed = command_line.trim().trim_end_matches(|c: char| c.is_whitespace());
        assert!(trimmed.starts_with(text), "{text} became {trimmed}");
    }
}

#[test]
fn what_cannot_be_described_is_refused() {
    let (hull, backend) = small();
    let newline = Boot::Kernel { command_line: "a\nb".to_owned() };
    assert_eq!(describe(&Hull { boot: newline, ..hull.clone() }, &backend), Err(Error::Unsound));
    let disk = Boot::Disk;
    assert_eq!(describe(&Hull { boot: disk, ..hull.clone() }, &backend), Err(Error::Start));
    let plugged = |plugs: &[Plug]| Backend { plugs: plugs.to_vec(), ..backend.clone() };
    assert_eq!(describe(&hull, &plugged(&[])), Err(Error::Plugs { cards: 1, plugs: 0 }));
    for name in ["", "a b", "..", "sixteen-letters-", "a/b", "a'"] {
        for plug in [plug(name, "tap"), plug("bridge", name)] {
            assert_eq!(describe(&hull, &plugged(&[plug])), Err(Error::Interface(name.to_owned())));
        }
    }
    for path in ["relative".to_owned(), "/a\nb".to_owned(), format!("/{}", "a".repeat(100))] {
        let backend = Backend { directory: path.clone().into(), ..backend.clone() };
        assert!(matches!(describe(&hull, &backend), Err(Error::Path(_))), "{path}");
    }
    let other = Hull { version: 2, ..hull.clone() };
    let answer = domain(&hull, &backend, &tag(&other), Accelerator::Emulation);
    assert_eq!(answer, Err(Error::Tag));
}

#[test]
fn only_the_processors_own_flags_promise_hardware_help() {
    let rows = [
        ("flags\t\t: fpu vme svm sse\n", Accelerator::Hardware),
        ("model name\t: x\nflags\t\t: fpu vmx\n", Accelerator::Hardware),
        ("model name\t: vmx svm\nflags\t\t: fpu svm_lock xvmx\n", Accelerator::Emulation),
        ("", Accelerator::Emulation),
    ];
    for (cpuinfo, accelerator) in rows {
        assert_eq!(Accelerator::detect(cpuinfo), accelerator, "{cpuinfo}");
    }
}
