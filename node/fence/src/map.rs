//! Words of memory that two processes share.

use std::fs::File;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A file mapped as words. It is as long as the words, and nobody shortens it.
#[derive(Debug)]
pub(crate) struct Map {
    start: NonNull<AtomicU64>,
    words: usize,
}

impl Map {
    /// Maps a file that has at least so many words, to be written only if that is said.
    #[expect(unsafe_code, reason = "there is no safe mapping")]
    pub(crate) fn new(file: &File, words: usize, writable: bool) -> std::io::Result<Self> {
        let length = words * size_of::<AtomicU64>();
        let fits = u64::try_from(length)
            .is_ok_and(|length| file.metadata().is_ok_and(|metadata| metadata.len() >= length));
        if !fits {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
        }
        let mut protection = ProtFlags::READ;
        protection.set(ProtFlags::WRITE, writable);
        // SAFETY: a new mapping at a place that the kernel chooses touches no other memory.
        let start =
            unsafe { mmap(std::ptr::null_mut(), length, protection, MapFlags::SHARED, file, 0)? };
        let start = NonNull::new(start.cast()).ok_or(std::io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, words })
    }

    /// The words. Those of a mapping that is not writable are only ever loaded.
    #[expect(unsafe_code, reason = "there is no safe mapping")]
    pub(crate) const fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is as long as this, aligned to a page, lives as long as `self`, and
        // is only ever touched by atomic operations, here and in the other process.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Map {
    #[expect(unsafe_code, reason = "there is no safe mapping")]
    fn drop(&mut self) {
        let length = self.words * size_of::<AtomicU64>();
        // SAFETY: it is the mapping made in `new`, and no reference to it outlives `self`.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), length) };
        unmapped.expect("what was mapped can be unmapped");
    }
}

// SAFETY: all access is by atomic operations.
#[expect(unsafe_code, reason = "the pointer is to atomic words")]
unsafe impl Send for Map {}
// SAFETY: all access is by atomic operations.
#[expect(unsafe_code, reason = "the pointer is to atomic words")]
unsafe impl Sync for Map {}
