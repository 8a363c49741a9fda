//! The guest that the testnet's machines run: Debian's kernel for clouds, and busybox.
//!
//! It needs 128 MiB and is up in two seconds of its own time, also under emulation. The same
//! packages give the same bytes, so the image has the same hash at every site.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::run;

/// What the kernel is told: the heartbeat is on the first serial line, alone as far as possible.
pub const COMMAND_LINE: &str = "console=ttyS0 quiet";

/// Modules that the guest cannot do without: its bus, its disk and card, and the power button
/// with the device by which acpid hears of it.
const MODULES: [&str; 5] = ["virtio_pci", "virtio_blk", "virtio_net", "evdev", "button"];

/// The files of the guest that are ours, and which of them can be run.
const FILES: [(&str, &str); 3] = [
    ("init", include_str!("init")),
    ("etc/udhcpc", include_str!("udhcpc")),
    ("etc/acpi/PWRF/00000080", include_str!("power")),
];

/// Empty directories that the guest needs.
const DIRECTORIES: [&str; 7] = ["bin", "dev", "modules", "proc", "run", "sys", "www"];

/// An image that boots from a kernel.
#[derive(Clone, Debug)]
pub struct Image {
    /// The kernel.
    pub kernel: PathBuf,
    /// The initial RAM disk.
    pub initrd: PathBuf,
}

/// Makes the image's two files in `directory`.
pub(crate) fn build(directory: &Path) -> Result<Image> {
    let version = kernel_version()?;
    let root = directory.join("root");
    if root.exists() {
        fs::remove_dir_all(&root).context("remove an old guest")?;
    }
    for name in DIRECTORIES {
        fs::create_dir_all(root.join(name)).context("create the guest's directories")?;
    }
    for (name, text) in FILES {
        put(&root.join(name), text.as_bytes(), 0o755)?;
    }
    let busybox = read(Path::new("/bin/busybox")).context("is busybox-static installed?")?;
    put(&root.join("bin/busybox"), &busybox, 0o755)?;
    modules(&Path::new("/lib/modules").join(&version), &root.join("modules"))?;

    let image = Image { kernel: directory.join("vmlinuz"), initrd: directory.join("initrd") };
    put(&image.kernel, &read(&Path::new("/boot").join(format!("vmlinuz-{version}")))?, 0o644)?;
    // One time for all files and one order of them, so that the same files give the same bytes.
    // It is not compressed: unpacking takes an emulated processor longer than reading.
    let pack = "cd \"$1\" && find . -exec touch -h -d @0 {} + && find . -mindepth 1 | LC_ALL=C sort \
                | cpio --quiet --create --format=newc --owner=0:0 --reproducible >\"$2\"";
    let (from, to) = (root.as_os_str(), image.initrd.as_os_str());
    run("sh", ["-c".as_ref(), pack.as_ref(), "sh".as_ref(), from, to])?;
    fs::set_permissions(&image.initrd, Permissions::from_mode(0o644)).context("open the initrd")?;
    fs::remove_dir_all(&root).context("remove the guest's files")?;
    Ok(image)
}

/// The newest of the installed kernels for clouds.
fn kernel_version() -> Result<String> {
    let mut versions = Vec::new();
    for entry in fs::read_dir("/lib/modules").context("look for kernels")? {
        let name = entry.context("look for kernels")?.file_name().to_string_lossy().into_owned();
        if name.contains("-cloud-") && Path::new("/boot").join(format!("vmlinuz-{name}")).exists() {
            versions.push(name);
        }
    }
    let numbers = |name: &String| -> Vec<u64> {
        name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
    };
    versions.sort_by_key(numbers);
    versions.pop().context("no kernel for clouds: install linux-image-cloud-amd64")
}

/// Copies the modules, each after those it depends on, and writes down that order.
fn modules(from: &Path, to: &Path) -> Result<()> {
    let index = String::from_utf8(read(&from.join("modules.dep"))?).context("read modules.dep")?;
    let mut order: Vec<&str> = Vec::new();
    for wanted in MODULES {
        let file = format!("/{wanted}.ko");
        let line = index.lines().filter_map(|line| line.split_once(':'));
        let found = line.into_iter().find(|(module, _)| module.ends_with(&file));
        let (module, needed) = found.with_context(|| format!("the kernel has no {wanted}"))?;
        // The index names what a module needs with the most basic one last.
        for path in needed.split_whitespace().rev().chain([module]) {
            if !order.contains(&path) {
                order.push(path);
            }
        }
    }
    let mut names = String::new();
    for path in order {
        let name = path.rsplit('/').next().unwrap_or(path);
        put(&to.join(name), &read(&from.join(path))?, 0o644)?;
        names.push_str(name);
        names.push('\n');
    }
    put(&to.join("order"), names.as_bytes(), 0o644)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

fn put(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let written = || -> std::io::Result<()> {
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
        }
        fs::write(path, bytes)?;
        fs::set_permissions(path, Permissions::from_mode(mode))
    };
    written().with_context(|| format!("write {}", path.display()))
}
