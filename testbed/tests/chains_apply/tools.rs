//! Tools that do something else than usual.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use ringfence_dataplane::backend::tool::Tools;

/// A folder with all tools that are installed, some of them replaced by a script.
pub struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    /// The installed tools.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for entry in fs::read_dir("/usr/sbin").unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name.contains("tables") || name == "ipset" {
                symlink(entry.path(), folder.path().join(name)).unwrap();
            }
        }
        Self { folder }
    }

    /// Without `tool`.
    pub fn without(self, tool: &str) -> Self {
        fs::remove_file(self.folder.path().join(tool)).unwrap();
        self
    }

    /// With a script in the place of `tool`. In it `$real` is the tool, and `$here` the folder.
    pub fn with(self, tool: &str, script: &str) -> Self {
        let path = self.folder.path().join(tool);
        fs::remove_file(&path).unwrap();
        let here = self.path().display();
        let text = format!("#!/bin/sh\nreal=/usr/sbin/{tool}\nhere={here}\n{script}\n");
        // Written by another process: a file that this one has open for writing could not be run
        // while a child of another test has inherited it.
        let mut shell = Command::new("sh");
        shell.args(["-c", "printf %s \"$2\" > \"$1\" && chmod 755 \"$1\"", "sh"]);
        assert!(shell.arg(path).arg(text).status().unwrap().success(), "{tool} is not written");
        self
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn tools(&self) -> Tools {
        Tools::in_folders([self.path().to_owned()])
    }
}

/// A script for a tool that reads, and refuses to change anything.
pub const READ_ONLY: &str = r#"echo "not to be changed" >&2; exit 1"#;
