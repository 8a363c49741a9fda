//! The Internet checksum (RFC 1071), over many bytes at a time.

/// A ones' complement sum that is not folded yet. It is kept in the byte order of the machine,
/// which changes nothing about the result (RFC 1071, section 2 B).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum(u64);

impl Sum {
    /// Adds `bytes`, which begin at an even place of what is summed. An odd last byte is followed
    /// by a zero.
    ///
    /// Eight bytes count as two words of 32 bits. The sum has room for 2^32 of them, and no packet
    /// is longer than 2^16 bytes.
    pub(super) fn add(mut self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<4>();
        self.0 += words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum::<u64>();
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        self.0 += u64::from(u32::from_ne_bytes(last));
        self
    }

    /// Adds a number as the two bytes that it has on the wire.
    pub(super) fn add_word(mut self, word: u16) -> Self {
        self.0 += u64::from(u16::from_ne_bytes(word.to_be_bytes()));
        self
    }

    /// Adds a sum that has been folded.
    pub(super) fn add_folded(mut self, folded: [u8; 2]) -> Self {
        self.0 += u64::from(u16::from_ne_bytes(folded));
        self
    }

    /// The sum in two bytes, as they stand on the wire. This is what a header holds whose checksum
    /// is left to be completed later.
    pub(super) fn fold(self) -> [u8; 2] {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(sum).expect("a sum that has been folded has 16 bits").to_ne_bytes()
    }

    /// The checksum, as it stands on the wire.
    pub(super) fn finish(self) -> [u8; 2] {
        self.fold().map(|byte| !byte)
    }
}
