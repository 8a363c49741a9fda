//! Messages of libvirt's remote protocol: a header of 28 bytes, and what follows it.

use super::Procedure;
use super::xdr::{Malformed, Reader, Writer};

/// The bytes of a header: how long the message is, and six words more.
pub(super) const HEADER: usize = 28;

/// The most bytes of a message that is read: far above any description and cookie of ours, and
/// below libvirt's own 32 MiB, so that a libvirtd that went astray costs little.
pub(super) const MESSAGE_MAX: u32 = 4 << 20;

/// libvirt's remote program, and its version (`remote_protocol.x`).
const PROGRAM: u32 = 0x2000_8086;
const VERSION: u32 = 1;

/// What kind a message is (`virnetprotocol.x`).
const CALL: i32 = 0;
const REPLY: i32 = 1;

/// How a call went.
const OK: u32 = 0;

/// The longest text of an error.
const ERROR_MAX: u32 = 64 << 10;

/// What a header says of what follows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum About {
    /// The answer to a call, whose serial number it is: whether it did what it was asked.
    Reply { serial: u32, is_ok: bool },
    /// Something that nobody has asked for: an event, or another program's.
    Unasked,
}

/// A call, whole.
pub(super) fn call(procedure: Procedure, serial: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).expect("calls are shorter than 4 GiB");
    let header = Writer::default().unsigned(length).unsigned(PROGRAM).unsigned(VERSION);
    let header = header.signed(procedure.number()).signed(CALL).unsigned(serial).unsigned(OK);
    [header.finish(), body.to_vec()].concat()
}

/// How many bytes follow a header, and what they are about.
pub(super) fn header(bytes: [u8; HEADER]) -> Result<(usize, About), Malformed> {
    let mut reader = Reader::new(&bytes);
    let length = reader.unsigned()?;
    let most = MESSAGE_MAX;
    if length > most {
        return Err(Malformed::TooLong { length, most });
    }
    let length = usize::try_from(length).map_err(|_| Malformed::Short)?;
    let body = length.checked_sub(HEADER).ok_or(Malformed::Short)?;
    let (program, _version) = (reader.unsigned()?, reader.unsigned()?);
    let (_procedure, kind) = (reader.signed()?, reader.signed()?);
    let (serial, status) = (reader.unsigned()?, reader.unsigned()?);
    let is_reply = program == PROGRAM && kind == REPLY;
    let about =
        if is_reply { About::Reply { serial, is_ok: status == OK } } else { About::Unasked };
    Ok((body, about))
}

/// What libvirt says of a call that it did not do: a number, and words for people.
pub(super) fn refusal(body: &[u8]) -> Result<(i32, String), Malformed> {
    let mut reader = Reader::new(body);
    let (code, _domain) = (reader.signed()?, reader.signed()?);
    // Which objects it is about follows, and is not needed.
    let words = reader.optional_text(ERROR_MAX)?;
    Ok((code, words.unwrap_or_default()))
}
