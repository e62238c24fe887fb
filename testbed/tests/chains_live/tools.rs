//! Other tools than the host's in their place.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

use crate::host::Host;

/// Where Debian has the tools.
const PLACE: &str = "/usr/sbin";
/// What their names begin with.
const NAMES: [&str; 5] = ["xtables", "iptables", "ip6tables", "ipset", "nft"];

/// The folder in theirs that has all of the host's.
const REAL: &str = "real";

/// What a host is to have in the place of its tools.
pub struct Tools(TempDir);

impl Tools {
    /// The host's tools without `program`.
    pub fn without(program: &str) -> Self {
        let tools = Self(tempfile::tempdir().unwrap());
        let folder = tools.0.path();
        let real = folder.join(REAL);
        fs::create_dir(&real).unwrap();
        for tool in fs::read_dir(PLACE).unwrap() {
            let (path, name) = tool.map(|tool| (tool.path(), tool.file_name())).unwrap();
            if !NAMES.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                continue;
            }
            for folder in [folder, &real] {
                match fs::read_link(&path) {
                    Ok(target) => symlink(target, folder.join(&name)).unwrap(),
                    Err(_) => drop(fs::copy(&path, folder.join(&name)).unwrap()),
                }
            }
        }
        fs::remove_file(folder.join(program)).unwrap();
        tools
    }

    /// The host's tools, but for `program` a shell's line; `line` is told where the program is.
    pub fn with(program: &str, line: impl Fn(&str) -> String) -> Self {
        let tools = Self::without(program);
        let folder = tools.0.path();
        let line = line(&folder.join(REAL).join(program).to_string_lossy());
        let path = folder.join(program);
        fs::write(&path, format!("#!/bin/sh\n{line}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        tools
    }

    /// Runs `work` while they are in their place on `host`.
    pub fn on<T>(&self, host: &Host, work: impl FnOnce() -> T) -> T {
        let (folder, flags) = (Some(self.0.path()), MsFlags::MS_BIND);
        host.run(|| mount(folder, PLACE, None::<&str>, flags, None::<&str>)).unwrap();
        let result = work();
        host.run(|| umount2(PLACE, MntFlags::MNT_DETACH)).unwrap();
        result
    }
}
