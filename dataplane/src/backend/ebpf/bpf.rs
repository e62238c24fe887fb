//! What aya does not have of `bpf(2)`: many entries of a map at once.
//!
//! The kernel waits for a grace period of RCU after each update of a map of maps, but only once
//! after a batch.
#![expect(unsafe_code, reason = "a system call")]

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::maps::{Map, MapData, MapError};
use aya::sys::SyscallError;
use aya_obj::generated::{bpf_attr__bindgen_ty_3, bpf_cmd};

/// Puts maps into places of the array of maps `outer`, and returns when no packet uses what was
/// there before.
///
/// # Errors
///
/// What the kernel says; some of the maps may be in their places then.
pub(super) fn put_maps(outer: &Map, entries: &[(u32, &MapData)]) -> Result<(), MapError> {
    let Map::ArrayOfMaps(data) = outer else {
        return Err(MapError::InvalidMapType { map_type: 0 });
    };
    if entries.is_empty() {
        return Ok(());
    }
    let keys: Vec<u32> = entries.iter().map(|(place, _)| *place).collect();
    let values: Vec<i32> = entries.iter().map(|(_, map)| map.fd().as_fd().as_raw_fd()).collect();
    // The rest of `union bpf_attr`, which the kernel wants to be zero, is left out.
    let mut attributes = bpf_attr__bindgen_ty_3 {
        in_batch: 0,
        out_batch: 0,
        keys: keys.as_ptr() as u64,
        values: values.as_ptr() as u64,
        count: u32::try_from(entries.len()).unwrap_or(u32::MAX),
        map_fd: data.fd().as_fd().as_raw_fd().cast_unsigned(),
        elem_flags: 0,
        flags: 0,
    };
    let size = size_of_val(&attributes);
    let command = bpf_cmd::BPF_MAP_UPDATE_BATCH as libc::c_long;
    // SAFETY: the kernel reads `count` keys and `count` values, each of four bytes as those of an
    // array of maps are, from vectors that live until it returns; it writes how many it has done
    // into `attributes`, which are as long as we say and ours alone.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut attributes, size) };
    if result == 0 {
        return Ok(());
    }
    let io_error = io::Error::last_os_error();
    Err(SyscallError { call: "bpf_map_update_batch", io_error }.into())
}
