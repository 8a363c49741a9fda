//! What stands in the deadlines' file, word by word.
//!
//! ```text
//!   word 0          what the file is, and in which version
//!   word 1          the boot of which its moments are
//!   word 2          how many slots have been used at most
//!   words 16 ...    the records, 16 words each:
//!       word 0      generation; its last bit says which of the two copies is in force
//!       words 1-4   one copy: process id, its start, deadline, checksum
//!       words 5-8   the other copy
//! ```

use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::clock::Moment;
use crate::process::Target;

/// The most guests that one fence watches over, and so the most of one host.
pub const SLOTS: usize = 16_384;

/// "RSVFENC" and the version of the layout.
pub(crate) const MAGIC: u64 = u64::from_be_bytes(*b"RSVFENC1");

/// The words of a record: two lines of the cache, so that a look at one touches no other.
pub(crate) const RECORD_WORDS: usize = 16;

/// The words of the file.
pub(crate) const WORDS: usize = RECORD_WORDS * (SLOTS + 1);

/// Where in the file what is said of all records stands.
pub(crate) const AT_MAGIC: usize = 0;
/// See [`AT_MAGIC`].
pub(crate) const AT_BOOT: usize = 1;
/// See [`AT_MAGIC`].
pub(crate) const AT_USED: usize = 2;

const COPY_WORDS: usize = 4;

/// How a deadline that never comes is written.
const NEVER: u64 = u64::MAX;

/// How often a record that is being written is read again at once.
const TRIES: usize = 8;

/// Until when a process may run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Record {
    /// The process.
    pub target: Target,
    /// Until when; none, and it may for ever.
    pub deadline: Option<Moment>,
}

/// What a look at a slot shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Reading {
    pub(crate) generation: u64,
    pub(crate) record: Option<Record>,
}

/// The words of one slot.
pub(crate) fn slot(words: &[AtomicU64], slot: usize) -> &[AtomicU64] {
    let from = RECORD_WORDS * (slot + 1);
    &words[from..from + RECORD_WORDS]
}

/// Whether words are of this version and of this boot.
pub(crate) fn is_of(words: &[AtomicU64], boot: u64) -> bool {
    words[AT_MAGIC].load(Ordering::Acquire) == MAGIC
        && words[AT_BOOT].load(Ordering::Relaxed) == boot
}

/// How many slots are to be looked at.
pub(crate) fn used(words: &[AtomicU64]) -> usize {
    usize::try_from(words[AT_USED].load(Ordering::Acquire)).map_or(SLOTS, |used| used.min(SLOTS))
}

/// Reads one slot. If the copy in force is not whole, which no writer leaves behind, the other one
/// counts.
pub(crate) fn read(words: &[AtomicU64]) -> Reading {
    let mut generation = words[0].load(Ordering::Acquire);
    for _ in 0..TRIES {
        let record = whole(words, generation).or_else(|| whole(words, generation ^ 1)).flatten();
        fence(Ordering::Acquire);
        let after = words[0].load(Ordering::Relaxed);
        if after == generation {
            return Reading { generation, record };
        }
        generation = after;
    }
    // A writer that is quicker than this many reads is alive; the next look sees what it wrote.
    Reading { generation, record: whole(words, generation).flatten() }
}

/// Writes one slot. There is one writer.
pub(crate) fn write(words: &[AtomicU64], record: Option<Record>) {
    let next = words[0].load(Ordering::Relaxed).wrapping_add(1);
    let [pid, start, deadline] = encode(record);
    // Whoever sees a word of this copy sees as well that the other one is in force.
    fence(Ordering::Release);
    let at = place(next);
    for (word, value) in
        words[at..].iter().zip([pid, start, deadline, checksum(pid, start, deadline)])
    {
        word.store(value, Ordering::Relaxed);
    }
    words[0].store(next, Ordering::Release);
}

/// Where the copy of a generation stands.
const fn place(generation: u64) -> usize {
    if generation & 1 == 0 { 1 } else { 1 + COPY_WORDS }
}

fn encode(record: Option<Record>) -> [u64; 3] {
    record.map_or([0, 0, NEVER], |Record { target, deadline }| {
        let deadline = deadline.map_or(NEVER, |at| at.as_nanos().min(NEVER - 1));
        [u64::from(target.pid().unsigned_abs()), target.start(), deadline]
    })
}

/// What the copy of a generation says, a record or that there is none; nothing if it is not whole.
fn whole(words: &[AtomicU64], generation: u64) -> Option<Option<Record>> {
    let at = place(generation);
    let [pid, start, deadline, sum] =
        std::array::from_fn(|word| words[at + word].load(Ordering::Relaxed));
    if sum != checksum(pid, start, deadline) {
        return None;
    }
    let target = i32::try_from(pid).ok().and_then(|pid| Target::new(pid, start));
    let deadline = (deadline != NEVER).then(|| Moment::from_nanos(deadline));
    Some(target.map(|target| Record { target, deadline }))
}

/// Tells a copy that was written whole from any other words: FNV-1a over words. Zeros have another
/// sum than zero.
fn checksum(pid: u64, start: u64, deadline: u64) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    [pid, start, deadline].iter().fold(BASIS, |sum, word| {
        let mixed = (sum ^ word).wrapping_mul(PRIME);
        mixed ^ (mixed >> 29)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blank() -> Vec<AtomicU64> {
        (0..RECORD_WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    fn record(pid: i32, deadline: Option<u64>) -> Record {
        let target = Target::new(pid, 77).unwrap();
        Record { target, deadline: deadline.map(Moment::from_nanos) }
    }

    #[test]
    fn a_slot_that_was_never_written_is_empty() {
        assert_eq!(read(&blank()), Reading { generation: 0, record: None });
    }

    #[test]
    fn what_was_written_last_is_read() {
        let words = blank();
        for round in 1..6 {
            let wanted = record(round, Some(u64::from(round.unsigned_abs()) * 1_000));
            write(&words, Some(wanted));
            assert_eq!(read(&words).record, Some(wanted));
        }
        write(&words, Some(record(6, None)));
        assert_eq!(read(&words).record, Some(record(6, None)));
        write(&words, None);
        assert_eq!(read(&words).record, None);
    }

    /// The writer is killed behind each of its stores in turn.
    #[test]
    fn a_writer_that_is_killed_has_changed_nothing() {
        let (before, after) = (record(5, Some(10)), record(5, Some(99)));
        for killed_behind in 0..COPY_WORDS {
            let words = blank();
            write(&words, Some(record(4, None)));
            write(&words, Some(before));
            let whole = blank();
            write(&whole, Some(record(4, None)));
            write(&whole, Some(before));
            write(&whole, Some(after));
            let at = place(3);
            for word in at..at + killed_behind {
                words[word].store(whole[word].load(Ordering::Relaxed), Ordering::Relaxed);
            }
            assert_eq!(read(&words).record, Some(before), "killed behind {killed_behind} stores");
            // Whoever writes next is not misled either.
            write(&words, Some(after));
            assert_eq!(read(&words).record, Some(after));
        }
    }

    #[test]
    fn a_copy_that_is_not_whole_counts_as_the_one_before() {
        let words = blank();
        write(&words, Some(record(5, Some(10))));
        write(&words, Some(record(5, Some(20))));
        words[place(2) + 2].store(1 << 60, Ordering::Relaxed);
        assert_eq!(read(&words).record, Some(record(5, Some(10))));
    }

    proptest! {
        #[test]
        fn any_words_are_a_record_or_none(
            values in prop::collection::vec(any::<u64>(), RECORD_WORDS),
        ) {
            let words: Vec<AtomicU64> = values.into_iter().map(AtomicU64::new).collect();
            prop_assert_eq!(read(&words).record, None, "a checksum of 64 bits was guessed");
        }

        #[test]
        fn a_changed_word_is_never_obeyed(
            pid in 1..i32::MAX,
            deadline in any::<u64>(),
            word in 1..4_usize,
            value in any::<u64>(),
        ) {
            let words = blank();
            let wanted = record(pid, Some(deadline).filter(|it| *it != NEVER));
            write(&words, Some(wanted));
            // The first write goes to the second copy; the first one is blank.
            let place = place(1) + word - 1;
            let same = words[place].swap(value, Ordering::Relaxed) == value;
            let expected = same.then_some(wanted);
            prop_assert_eq!(read(&words).record, expected);
        }
    }
}
