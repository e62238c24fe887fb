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
        const BYTES: u64 = 64 << 20;
        let before = allocated();
        let large = vec![1_u8; BYTES as usize];
        let meanwhile = allocated();
        drop(large);
        // Other tests run beside this one, and take little.
        assert!(meanwhile > before + BYTES / 2, "{before} {meanwhile}");
        assert!(allocated() < meanwhile - BYTES / 2);
    }
}
