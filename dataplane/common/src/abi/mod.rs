//! Bytes shared with the kernel, and nothing else.
//!
//! Integers and byte arrays only, `#[repr(C)]`, no hidden padding (`zerocopy::IntoBytes` refuses
//! it when compiling) and a size assertion beside each type. Reserved bytes are named and zero.
//! Integers are in host order, except where a name ends in `_be`.

pub mod cache;
pub mod config;
pub mod event;
pub mod flow;
pub mod identity;
pub mod limits;
pub mod policy;
pub mod table;

/// The number of this layout. It sits in every generation's [`config::Config`]; the loader
/// refuses pinned maps with another number, and the programs deny everything under one.
pub const ABI_VERSION: u32 = 4;

/// Declares that a type may be a map key or value, after proving it has no padding.
macro_rules! shared_with_kernel {
    ($($name:ident: $size:literal),+ $(,)?) => {$(
        const _: () = assert!(core::mem::size_of::<$name>() == $size);

        #[cfg(feature = "user")]
        #[expect(unsafe_code, reason = "aya's marker for plain bytes")]
        // SAFETY: the type derives `IntoBytes`, `FromBytes` and `Immutable`, so it has no padding
        // and every bit pattern is a value; it is `Copy` and `'static`.
        unsafe impl aya::Pod for $name {}
    )+};
}
pub(crate) use shared_with_kernel;
