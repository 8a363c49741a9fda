//! XDR (RFC 4506), as much of it as libvirt's remote protocol uses for a migration.
//!
//! What is read comes from this host's own libvirtd, which is believed; all the same nothing in it
//! panics, and nothing is taken that is longer than what was said to be the most.

/// What is written is put together of whole words of four bytes.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn unsigned(mut self, number: u32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(super) fn signed(mut self, number: i32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(super) fn hyper(mut self, number: u64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    /// Bytes of which both sides know how many they are: a multiple of four.
    pub(super) fn fixed<const N: usize>(mut self, bytes: [u8; N]) -> Self {
        const { assert!(N.is_multiple_of(4), "what is not has to be padded") };
        self.0.extend(bytes);
        self
    }

    /// # Panics
    ///
    /// There are more bytes than XDR can count; nothing here is as long.
    pub(super) fn opaque(mut self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).expect("messages are shorter than 4 GiB");
        self = self.unsigned(length);
        self.0.extend(bytes);
        self.0.extend(&[0; 3][..padding(bytes.len())]);
        self
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.opaque(text.as_bytes())
    }

    pub(super) fn optional_text(self, text: Option<&str>) -> Self {
        match text {
            None => self.unsigned(0),
            Some(text) => self.unsigned(1).text(text),
        }
    }
}

const fn padding(length: usize) -> usize {
    (4 - length % 4) % 4
}

/// What was read is not what should be there.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// It ends in the middle.
    #[error("it ends where more should be")]
    Short,
    /// Something follows that nobody knows.
    #[error("{0} bytes follow its end")]
    Long(usize),
    /// Something is longer than it may be.
    #[error("something in it has {length} bytes, and {most} are the most")]
    TooLong {
        /// How long it says that it is.
        length: u32,
        /// The most.
        most: u32,
    },
    /// A text is not UTF-8.
    #[error("a text in it is not UTF-8")]
    NotText,
    /// Whether something follows is said by neither 0 nor 1.
    #[error("a word that says whether something follows is {0}")]
    NotATruth(u32),
    /// The space between two parts is not empty.
    #[error("the bytes that fill up a word are not zero")]
    Padding,
}

/// Reads one part after the other.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// That nothing follows.
    pub(super) const fn end(&self) -> Result<(), Malformed> {
        match self.0.len() {
            0 => Ok(()),
            more => Err(Malformed::Long(more)),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn unsigned(&mut self) -> Result<u32, Malformed> {
        self.fixed().map(u32::from_be_bytes)
    }

    pub(super) fn signed(&mut self) -> Result<i32, Malformed> {
        self.fixed().map(i32::from_be_bytes)
    }

    pub(super) fn opaque(&mut self, most: u32) -> Result<&'a [u8], Malformed> {
        let length = self.unsigned()?;
        if length > most {
            return Err(Malformed::TooLong { length, most });
        }
        let length = usize::try_from(length).map_err(|_| Malformed::Short)?;
        let bytes = self.take(length)?;
        let filled = self.take(padding(length))?;
        if filled.iter().any(|byte| *byte != 0) {
            return Err(Malformed::Padding);
        }
        Ok(bytes)
    }

    pub(super) fn text(&mut self, most: u32) -> Result<String, Malformed> {
        let bytes = self.opaque(most)?;
        let text = str::from_utf8(bytes).map_err(|_| Malformed::NotText)?;
        Ok(text.to_owned())
    }

    /// Whether something follows.
    pub(super) fn truth(&mut self) -> Result<bool, Malformed> {
        match self.unsigned()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Malformed::NotATruth(other)),
        }
    }

    pub(super) fn optional_text(&mut self, most: u32) -> Result<Option<String>, Malformed> {
        if self.truth()? { self.text(most).map(Some) } else { Ok(None) }
    }
}
