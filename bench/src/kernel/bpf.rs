//! The few calls of `bpf(2)` that the loader does not have: the only unsafe code here.
#![expect(unsafe_code, reason = "system calls that neither aya nor nix has")]

use std::ffi::c_long;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use aya::maps::MapFd;
use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_func_info, bpf_map_type, bpf_prog_info};

use super::MeasureError;
use super::instruction::Instruction;

/// What a program is loaded from.
pub struct Source<'a> {
    /// `BPF_PROG_TYPE_*`.
    pub kind: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// What it may be attached to.
    pub attach_type: u32,
    /// The program with all its functions.
    pub instructions: &'a [Instruction],
    /// Which type each function has.
    pub functions: &'a [bpf_func_info],
    /// The types.
    pub types: BorrowedFd<'a>,
}

/// Loads a program.
pub fn load(source: &Source<'_>) -> io::Result<OwnedFd> {
    let bytes: Vec<u8> =
        source.instructions.iter().flat_map(|instruction| instruction.to_bytes()).collect();
    // SAFETY: all bytes zero is what the kernel takes for "not given" in each field.
    let mut attr: bpf_attr = unsafe { zeroed() };
    // SAFETY: writing a field of the union; the rest stays zero.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = source.kind;
    load.insns = bytes.as_ptr() as u64;
    load.insn_cnt = source.instructions.len() as u32;
    load.license = c"Dual MIT/GPL".as_ptr() as u64;
    load.prog_flags = source.flags;
    load.expected_attach_type = source.attach_type;
    load.prog_btf_fd = source.types.as_raw_fd() as u32;
    load.func_info = source.functions.as_ptr() as u64;
    load.func_info_rec_size = size_of::<bpf_func_info>() as u32;
    load.func_info_cnt = source.functions.len() as u32;
    call(bpf_cmd::BPF_PROG_LOAD, &mut attr).map(owned)
}

/// Runs a program once on `frame`; what it returned.
pub fn run(program: BorrowedFd<'_>, frame: &[u8], context: &[u8]) -> io::Result<u32> {
    // SAFETY: as in `load`.
    let mut attr: bpf_attr = unsafe { zeroed() };
    {
        // SAFETY: as in `load`.
        let test = unsafe { &mut attr.test };
        test.prog_fd = program.as_raw_fd() as u32;
        test.data_in = frame.as_ptr() as u64;
        test.data_size_in = frame.len() as u32;
        test.ctx_in = context.as_ptr() as u64;
        test.ctx_size_in = context.len() as u32;
        test.repeat = 1;
    }
    call(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr)?;
    // SAFETY: the kernel has filled this field of the union in.
    Ok(unsafe { attr.test.retval })
}

/// A program as the verifier has made it: with look-ups in the place of calls.
pub fn translated(program: BorrowedFd<'_>) -> io::Result<Vec<Instruction>> {
    let length = info(program, &mut [])?.xlated_prog_len;
    let mut bytes = vec![0; length as usize];
    info(program, &mut bytes)?;
    Ok(bytes.chunks_exact(8).filter_map(Instruction::from_bytes).collect())
}

fn info(program: BorrowedFd<'_>, instructions: &mut [u8]) -> io::Result<bpf_prog_info> {
    // SAFETY: all bytes zero is a value of the type.
    let mut info: bpf_prog_info = unsafe { zeroed() };
    info.xlated_prog_insns = instructions.as_mut_ptr() as u64;
    info.xlated_prog_len = instructions.len() as u32;
    // SAFETY: as in `load`.
    let mut attr: bpf_attr = unsafe { zeroed() };
    attr.info.bpf_fd = program.as_raw_fd() as u32;
    attr.info.info = &raw mut info as u64;
    attr.info.info_len = size_of::<bpf_prog_info>() as u32;
    call(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info)
}

/// The descriptor of types by their number.
pub fn types(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: as in `load`.
    let mut attr: bpf_attr = unsafe { zeroed() };
    attr.__bindgen_anon_6.__bindgen_anon_1.btf_id = id;
    call(bpf_cmd::BPF_BTF_GET_FD_BY_ID, &mut attr).map(owned)
}

/// Bytes that programs and this process share: an array with one value.
pub struct SharedBytes {
    fd: OwnedFd,
    size: usize,
}

impl SharedBytes {
    /// So many zeroes.
    pub fn new(size: usize) -> io::Result<Self> {
        // SAFETY: as in `load`.
        let mut attr: bpf_attr = unsafe { zeroed() };
        {
            // SAFETY: as in `load`.
            let create = unsafe { &mut attr.__bindgen_anon_1 };
            create.map_type = bpf_map_type::BPF_MAP_TYPE_ARRAY as u32;
            create.key_size = size_of::<u32>() as u32;
            create.value_size = size as u32;
            create.max_entries = 1;
        }
        let fd = owned(call(bpf_cmd::BPF_MAP_CREATE, &mut attr)?);
        Ok(Self { fd, size })
    }

    /// The map's descriptor, as programs name it.
    pub fn as_raw(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    /// The map's number.
    pub fn id(&self) -> Result<u32, MeasureError> {
        let id = told(self.fd.as_fd(), "map_id")?;
        u32::try_from(id).map_err(MeasureError::refused("read a map's number"))
    }

    /// What they hold.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.size];
        self.element(bpf_cmd::BPF_MAP_LOOKUP_ELEM, bytes.as_mut_ptr())?;
        Ok(bytes)
    }

    /// Makes all of them zero.
    pub fn clear(&self) -> io::Result<()> {
        let mut bytes = vec![0; self.size];
        self.element(bpf_cmd::BPF_MAP_UPDATE_ELEM, bytes.as_mut_ptr())
    }

    /// `value` points to as many bytes as the map's value has.
    fn element(&self, command: bpf_cmd, value: *mut u8) -> io::Result<()> {
        let key = 0u32;
        // SAFETY: as in `load`.
        let mut attr: bpf_attr = unsafe { zeroed() };
        attr.__bindgen_anon_2.map_fd = self.fd.as_raw_fd() as u32;
        attr.__bindgen_anon_2.key = &raw const key as u64;
        attr.__bindgen_anon_2.__bindgen_anon_1.value = value as u64;
        call(command, &mut attr).map(|_| ())
    }
}

/// The memory that a map takes, in bytes, as the kernel reckons it; that of maps in it not among it.
///
/// # Errors
///
/// [`MeasureError`] when the kernel does not tell.
pub fn memory(map: &MapFd) -> Result<u64, MeasureError> {
    told(map.as_fd(), "memlock")
}

/// A number that the kernel tells of a descriptor, in `/proc/self/fdinfo`.
fn told(fd: BorrowedFd<'_>, name: &str) -> Result<u64, MeasureError> {
    let path = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
    let text = std::fs::read_to_string(&path).map_err(MeasureError::refused("read fdinfo"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = value.and_then(|value| value.trim().parse().ok());
    number.ok_or_else(|| MeasureError::wrong(path, format!("it has no `{name}`")))
}

fn call(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<c_long> {
    // SAFETY: the kernel reads and writes `attr`, whose size it is told, and what its fields point
    // to: buffers of the callers that outlive the call, with the lengths that stand beside them.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command as u32, &raw mut *attr, size_of::<bpf_attr>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn owned(fd: c_long) -> OwnedFd {
    // SAFETY: the kernel has just made the descriptor for us, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}
