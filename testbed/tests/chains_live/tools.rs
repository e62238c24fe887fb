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

/// What a host is to have in the place of its tools.
pub struct Tools(TempDir);

impl Tools {
    /// Nothing.
    pub fn none() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The host's tools, but for `program` a shell's line; `line` is told where the program is.
    pub fn with(program: &str, line: impl Fn(&str) -> String) -> Self {
        let tools = Self::none();
        let folder = tools.0.path();
        let real = folder.join("real");
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
        let path = folder.join(program);
        fs::remove_file(&path).unwrap();
        let line = line(&real.join(program).to_string_lossy());
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
