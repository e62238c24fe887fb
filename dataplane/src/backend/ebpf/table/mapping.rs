//! Arrays of the kernel in this process's memory.
//!
//! Goals: (a) a change of an entry costs a store, not a call of the kernel; (b) packets on other
//! CPUs see each word whole; (c) they see a key only after its value.
//!
//! Design. A map with `BPF_F_MMAPABLE` is one piece of memory. It is read and written as atomic
//! words (b), with release order where what was written before has to be seen first (c). The same
//! memory may be mapped by other processes and is read by programs, which is what atomics are for.
#![expect(unsafe_code, reason = "memory that is shared with the kernel")]

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, AtomicU64};

use aya::maps::MapData;

/// A word of shared memory.
///
/// # Safety
///
/// Every pattern of bits is a value, and values of the type may be written through a shared
/// reference by several threads.
pub(in super::super) unsafe trait Word: Sized {}

// SAFETY: an atomic integer is that.
unsafe impl Word for AtomicU32 {}
// SAFETY: an atomic integer is that.
unsafe impl Word for AtomicU64 {}

/// The values of an array, one after the other.
#[derive(Debug)]
pub(in super::super) struct Mapping<W> {
    start: NonNull<W>,
    words: usize,
}

// SAFETY: the memory belongs to no thread, and words can be shared between threads.
unsafe impl<W: Word> Send for Mapping<W> {}
// SAFETY: as above.
unsafe impl<W: Word> Sync for Mapping<W> {}

impl<W: Word> Mapping<W> {
    /// Maps the `words` words of `map`, an array with `BPF_F_MMAPABLE`.
    ///
    /// # Errors
    ///
    /// What `mmap` says; it refuses maps without the flag and lengths beyond the array's.
    pub(in super::super) fn new(map: &MapData, words: usize) -> io::Result<Self> {
        let fd = map.fd().as_fd().as_raw_fd();
        let (bytes, access) = (words * size_of::<W>(), libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe { libc::mmap(null_mut(), bytes, access, libc::MAP_SHARED, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { start, words })
    }

    /// The words.
    pub(in super::super) fn words(&self) -> &[W] {
        // SAFETY: the mapping is that long, starts at a page and so is aligned, and lives as long
        // as `self`. The kernel keeps the memory for as long as it is mapped, and `mmap` has
        // refused what the array does not have. Every pattern of bits is a word, and all who write
        // do so while others may read (`Word`).
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl<W> Drop for Mapping<W> {
    fn drop(&mut self) {
        let bytes = self.words * size_of::<W>();
        // SAFETY: exactly what `new` has mapped; no reference into it outlives `self`.
        // It cannot fail for a mapping that is there.
        unsafe { libc::munmap(self.start.as_ptr().cast(), bytes) };
    }
}
