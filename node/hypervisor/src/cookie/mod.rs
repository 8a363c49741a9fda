//! libvirt's migration cookies: read from this host's own libvirt, and written for it.
//!
//! A cookie is XML that one libvirt makes for the next. It is read into words that each site knows
//! ([`Cookie`]), which cross; the other side writes it anew for its own libvirt. What libvirt says
//! that has no such word is a fault here and now, at the site whose libvirt it is, and not a riddle
//! at the other.

mod read;
#[cfg(test)]
mod tests;
mod write;

use protocol::migration::cookie::{Cookie, Fitting, NotAName};

use crate::remote::COOKIE_MAX;

/// Why a cookie of this host's own libvirt cannot be said to another.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is longer than any of a guest of ours.
    #[error("a cookie of {0} bytes: {COOKIE_MAX} are the most")]
    TooLong(usize),
    /// It is not UTF-8.
    #[error("a cookie that is not text")]
    NotText(#[from] std::str::Utf8Error),
    /// It is no cookie, or says what nobody here knows.
    #[error("a cookie of a libvirt that is not known: report its version")]
    Unknown(#[from] quick_xml::DeError),
    /// It is about another guest.
    #[error("a cookie of guest '{0}'")]
    OtherGuest(String),
    /// It demands of the other side what no guest of ours needs.
    #[error("a cookie that demands '{0}', which no guest here needs")]
    Demand(String),
    /// It speaks of a disk that the guest has not, or leaves one out.
    #[error("a cookie with the disk '{0}' where another one should be")]
    Disk(String),
    /// It has a processor of another kind than ours are.
    #[error("a cookie with a processor of mode '{mode}' that matches '{how}'")]
    Processor {
        /// libvirt's mode.
        mode: String,
        /// libvirt's match.
        how: String,
    },
    /// It has a name in it that is none.
    #[error("a cookie with a name that is none")]
    Name(#[from] NotAName),
    /// It has a word in it that is not known.
    #[error("a cookie with '{0}', which is not known")]
    Word(String),
}

/// Which guest a cookie is about, as libvirt names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct About {
    /// The domain's name.
    pub name: String,
    /// Its UUID.
    pub uuid: uuid::Uuid,
}

/// What this host's own libvirt says in a cookie.
///
/// # Errors
///
/// It says what has no word in [`Cookie`], or is about another guest.
pub fn read(bytes: &[u8], about: &About) -> Result<Cookie, Error> {
    read::read(bytes, about)
}

/// A cookie for this host's own libvirt, which ends with a zero as libvirt wants it.
#[must_use]
pub fn write(cookie: &Fitting, about: &About) -> Vec<u8> {
    let mut text = write::write(cookie.cookie(), about);
    text.push(0);
    text
}
