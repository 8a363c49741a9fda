//! A guest's memory in a file, and a guest from such a file.
//!
//! libvirt writes the file under a name of its own choosing first, here `.partial`; only when the
//! guest is in it whole, and it is on disk, does it get its name. Whoever repeats a save after a
//! crash finds one of the two, sees by the tag inside whose memory it is, and finishes.

use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use protocol::epoch::Epoch;
use protocol::ids::MachineName;
use virt::domain::Domain;
use virt::sys;

use super::call::Call;
use super::connection::Live;
use super::domains::is_there;
use crate::{Error, Tag, metadata};

pub(super) fn save(call: &Call, name: MachineName, epoch: Epoch, file: &Path) -> Result<(), Error> {
    let _held = call.hold(name)?;
    let partial = partial(file);
    let target = CString::new(partial.as_os_str().as_bytes())
        .map_err(|error| failed(&partial)(error.into()))?;
    let live = call.connect()?;
    let Some(domain) = call.find_in(&live, name, epoch)? else {
        let is_it = |tag: Tag| tag.name == name && tag.epoch == epoch;
        return if tag_in(&live, &partial).is_some_and(is_it) {
            finish(&partial, file)
        } else if tag_in(&live, file).is_some_and(is_it) {
            Ok(())
        } else if live.is_alive() {
            Err(Error::Absent { name })
        } else {
            Err(call.gone())
        };
    };
    call.in_time()?;
    write(&domain, &target).map_err(|source| call.refused(&live, name, source))?;
    finish(&partial, file)
}

pub(super) fn restore(call: &Call, tag: &Tag, description: &str, file: &Path) -> Result<(), Error> {
    let name = tag.name;
    let _held = call.hold(name)?;
    let live = call.connect()?;
    if is_there(call, &live, tag)? {
        return Ok(());
    }
    if tag_in(&live, file).is_none_or(|saved| saved.name != name) {
        return Err(if live.is_alive() {
            Error::NotSaved { name, file: file.to_owned() }
        } else {
            call.gone()
        });
    }
    call.in_time()?;
    let path = file.to_str().ok_or_else(|| Error::NotSaved { name, file: file.to_owned() })?;
    Domain::domain_restore_flags(
        live.connect(),
        path,
        Some(description),
        sys::VIR_DOMAIN_SAVE_PAUSED,
    )
    .map_err(|source| call.refused(&live, name, source))
}

fn partial(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".partial");
    PathBuf::from(name)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}

/// Puts the file on disk and gives it its name.
fn finish(partial: &Path, file: &Path) -> Result<(), Error> {
    File::open(partial).and_then(|saved| saved.sync_all()).map_err(failed(partial))?;
    fs::rename(partial, file).map_err(failed(file))?;
    match file.parent() {
        Some(directory) => File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(failed(directory)),
        None => Ok(()),
    }
}

/// The tag of the guest in a file; nothing if there is no file, or none that is whole.
fn tag_in(live: &Live, file: &Path) -> Option<Tag> {
    let path = file.to_str().filter(|path| !path.contains('\0'))?;
    Domain::save_image_get_xml_desc(live.connect(), path, 0)
        .ok()
        .and_then(|description| metadata::read(&description))
}

/// `virDomainSave`, which the `virt` crate does not wrap.
#[expect(unsafe_code, reason = "the virt crate has no safe call for it")]
fn write(domain: &Domain, target: &CString) -> Result<(), virt::error::Error> {
    // SAFETY: the domain's pointer is valid while `domain` lives, the text ends with a zero byte
    // and lives as long as the call, and libvirt keeps neither.
    let answer = unsafe { sys::virDomainSave(domain.as_ptr(), target.as_ptr()) };
    if answer < 0 { Err(virt::error::Error::last_error()) } else { Ok(()) }
}
