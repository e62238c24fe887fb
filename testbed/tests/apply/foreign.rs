//! Programs of somebody else: two instructions, and a link of their own.
#![expect(unsafe_code, reason = "the system call is made by hand, so that nothing here is ours")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libc::{c_long, c_void};

const BPF_PROG_LOAD: c_long = 5;
const BPF_LINK_CREATE: c_long = 28;

/// Where a program runs (`enum bpf_attach_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum At {
    Xdp = 37,
    TcxIngress = 46,
    TcxEgress = 47,
}

/// The part of `union bpf_attr` that `BPF_PROG_LOAD` reads here.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

/// The part of `union bpf_attr` that `BPF_LINK_CREATE` reads here.
#[repr(C)]
#[derive(Default)]
struct Link {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
    relative: [u64; 2],
}

/// A program called `name` on an interface, which returns `code` for every packet; it ends with
/// this.
pub fn attach(name: &str, interface: u32, at: At, code: i32) -> [OwnedFd; 2] {
    let kind = if at == At::Xdp { 6 } else { 3 };
    // r0 = code; exit
    let program = [0xb7 | u64::from(code as u32) << 32, 0x95];
    let license = c"GPL";
    let mut load = Load {
        kind,
        instructions: 2,
        code: program.as_ptr() as u64,
        license: license.as_ptr() as u64,
        ..Load::default()
    };
    load.name[..name.len()].copy_from_slice(name.as_bytes());
    let program = call(BPF_PROG_LOAD, &load);
    let link = Link {
        program: program.as_raw_fd().unsigned_abs(),
        interface,
        attach_type: at as u32,
        ..Link::default()
    };
    let link = call(BPF_LINK_CREATE, &link);
    [program, link]
}

fn call<T>(command: c_long, attributes: &T) -> OwnedFd {
    let (pointer, size) = ((&raw const *attributes).cast::<c_void>(), size_of::<T>());
    // SAFETY: `attributes` is a leading part of `union bpf_attr` of that many bytes, and what it
    // points to lives as long as the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, pointer, size) };
    assert!(result >= 0, "bpf({command}): {}", io::Error::last_os_error());
    // SAFETY: the call has returned a new descriptor, which nobody else has.
    unsafe { OwnedFd::from_raw_fd(i32::try_from(result).unwrap()) }
}
