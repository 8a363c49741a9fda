//! The one source of chance of a simulated world.
//!
//! Everything that happens by chance is drawn from here in one order, so that a seed is a whole
//! history. It draws from [`Mint`], the generator that sites themselves use: no other one is
//! needed, and its numbers do not change with the version of a library.

use protocol::ids::{Mint, RequestId};
use protocol::time::Timestamp;

/// A seeded stream of draws.
#[derive(Debug)]
pub(crate) struct Chance(Mint);

impl Chance {
    /// The stream of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self(Mint::new(Timestamp::default(), bytes))
    }

    /// A number below `bound`; zero if `bound` is.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// A number from `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// Whether something happens that happens once in `times`.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// An index into something of this length.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        let bound = u64::try_from(length).expect("a length fits 64 bits");
        usize::try_from(self.below(bound)).expect("an index is below a length")
    }

    /// One of several.
    pub(crate) fn pick<T: Clone>(&mut self, among: &[T]) -> Option<T> {
        if among.is_empty() {
            return None;
        }
        let index = self.index(among.len());
        among.get(index).cloned()
    }

    /// What a leader stamps on a command, or a key is made of.
    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for part in bytes.chunks_exact_mut(8) {
            part.copy_from_slice(&self.below(u64::MAX).to_le_bytes());
        }
        bytes
    }

    /// A client's name for a request.
    pub(crate) fn request(&mut self) -> RequestId {
        RequestId::from_uuid(self.0.uuid())
    }

    /// The stream itself, for what draws from a mint.
    pub(crate) const fn mint(&mut self) -> &mut Mint {
        &mut self.0
    }
}
