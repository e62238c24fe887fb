//! What this process has allocated.
#![expect(unsafe_code, reason = "a call of the C library")]

/// Bytes that this process has allocated and not given back, as its allocator counts them.
#[must_use]
pub fn allocated() -> u64 {
    // SAFETY: the call takes nothing, gives numbers by value, and may be made by any thread.
    let info = unsafe { libc::mallinfo2() };
    // In its arenas, and in pages of their own.
    (info.uordblks + info.hblkhd) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_is_counted_until_it_is_given_back() {
        // Far more than what other tests take meanwhile; nothing of it is touched.
        const BYTES: usize = 4 << 30;
        let before = allocated();
        let large = Vec::<u8>::with_capacity(BYTES);
        let meanwhile = allocated();
        drop(large);
        assert!(meanwhile > before + BYTES as u64 / 2, "{before} {meanwhile}");
        assert!(allocated() < meanwhile - BYTES as u64 / 2);
    }
}
