//! A kernel that does not take our programs: seccomp answers in its place.
#![expect(unsafe_code, reason = "the standard library has no seccomp")]

use std::io;

use ringfence_testbed::require;

use crate::host::{Host, Run, ingress};

/// `bpf(2)`'s command that loads a program.
const BPF_PROG_LOAD: u32 = 5;

/// Lets every `bpf(BPF_PROG_LOAD)` of the calling thread and its children fail with `errno`.
fn refuse_programs(errno: i32) {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let unless = |k: u32, skip: u8| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: 0,
        jf: skip,
        k,
    };
    let load = |offset: u32| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset);
    let call = u32::try_from(libc::SYS_bpf).expect("numbers of system calls are small");
    // `struct seccomp_data`: the call's number at 0, its first argument at 16.
    let mut filter = [
        load(0),
        unless(call, 3),
        load(16),
        unless(BPF_PROG_LOAD, 1),
        statement(libc::BPF_RET, libc::SECCOMP_RET_ERRNO | errno.unsigned_abs()),
        statement(libc::BPF_RET, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 6, filter: filter.as_mut_ptr() };
    // SAFETY: the calls read their arguments and `program` with its filter, which live until they
    // have returned.
    let result = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

fn apply_refused(errno: i32) -> Run {
    let host = Host::start();
    let documents = host.documents("policies.yaml", &[ingress("db", "api", 5432)]);
    let run = host.run(|| {
        refuse_programs(errno);
        // The command is started by this thread's child, which inherits the filter.
        host.apply(&documents)
    });
    assert_eq!(host.contents(), None, "nothing is installed");
    let pins = host.run(|| std::path::Path::new("/sys/fs/bpf/ringfence").exists());
    assert!(!pins, "nothing is left");
    // And once the kernel has changed its mind, it works.
    let run_again = host.apply(&documents);
    assert_eq!(run_again.code, Some(0), "{run_again:?}");
    run
}

#[test]
fn a_refused_program_is_named_and_nothing_stays() {
    let Some(_granted) = require::kernel() else { return };
    let run = apply_refused(libc::EINVAL);
    run.assert_refused(1, &["the kernel refuses program `ringfence_", "Linux 6.6"]);
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
}

#[test]
fn a_kernel_that_does_not_permit_programs_is_told_from_that() {
    let Some(_granted) = require::kernel() else { return };
    let run = apply_refused(libc::EPERM);
    run.assert_refused(1, &["does not permit", "CAP_SYS_ADMIN"]);
}
