//! Revisions as trees of git, and a folder that holds one of them.
//!
//! The repository is only read: what is written (the index of a folder, the objects of a working
//! tree that nobody has committed) lies below `target/gate`, and no worktree is registered that
//! somebody would have to remove.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::child;

/// The repository, and where the gate keeps what is its own.
#[derive(Debug)]
pub struct Repository {
    checkout: PathBuf,
    git: PathBuf,
    objects: PathBuf,
    own: PathBuf,
}

/// A tree of git by its number: a revision's files, whoever committed them and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree(pub String);

impl Repository {
    /// Of a checkout; what the gate writes lies below `own`.
    pub fn open(checkout: &Path, own: &Path) -> Result<Self> {
        let ask = |arguments: &[&str]| -> Result<PathBuf> {
            let mut git = child::clean("git");
            git.current_dir(checkout).args(["-c", "safe.directory=*"]).args(arguments);
            Ok(checkout.join(child::output(&mut git)?.trim_end()))
        };
        let new = Self {
            checkout: checkout.to_owned(),
            git: ask(&["rev-parse", "--absolute-git-dir"])?,
            objects: ask(&["rev-parse", "--git-path", "objects"])?,
            own: own.to_owned(),
        };
        let objects = new.own.join("objects");
        std::fs::create_dir_all(&objects)
            .with_context(|| format!("cannot make `{}`", objects.display()))?;
        Ok(new)
    }

    /// The tree of a revision; nothing if there is no such revision.
    pub fn revision(&self, name: &str) -> Option<Tree> {
        let mut git = self.git(&self.checkout, "none");
        git.args(["rev-parse", "--verify", "--quiet", "--end-of-options"]);
        git.arg(format!("{name}^{{tree}}"));
        child::output(&mut git).ok().map(|tree| Tree(tree.trim_end().to_owned()))
    }

    /// The tree of the checkout as it is now, with files that are not ignored but not added either.
    pub fn working(&self) -> Result<Tree> {
        self.of_folder(&self.checkout, "working")
    }

    /// The tree of what is in `folder`. Each folder has an index of its own.
    pub fn of_folder(&self, folder: &Path, index: &str) -> Result<Tree> {
        child::run(self.git(folder, index).args(["add", "--all"]))?;
        let tree = child::output(self.git(folder, index).arg("write-tree"))?;
        Ok(Tree(tree.trim_end().to_owned()))
    }

    /// Whether a tree has a file.
    pub fn has(&self, tree: &Tree, path: &str) -> Result<bool> {
        let mut git = self.git(&self.checkout, "none");
        git.args(["ls-tree", "--name-only", &tree.0, "--", path]);
        Ok(!child::output(&mut git)?.trim().is_empty())
    }

    /// Makes `folder` hold `tree`. Files that are the same already are left alone, so that cargo
    /// builds little anew.
    pub fn put(&self, tree: &Tree, folder: &Path, index: &str) -> Result<()> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make `{}`", folder.display()))?;
        // Its answer is whether a file differs, which the next command mends.
        _ = self.git(folder, index).args(["update-index", "-q", "--refresh"]).status();
        let mut git = self.git(folder, index);
        child::run(git.args(["read-tree", "--reset", "-u", &tree.0]))
    }

    fn git(&self, folder: &Path, index: &str) -> Command {
        let mut git = child::clean("git");
        git.current_dir(folder)
            .env("GIT_DIR", &self.git)
            .env("GIT_WORK_TREE", folder)
            .env("GIT_INDEX_FILE", self.own.join(format!("{index}.index")))
            .env("GIT_OBJECT_DIRECTORY", self.own.join("objects"))
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &self.objects)
            .args(["-c", "safe.directory=*", "-c", "core.autocrlf=false"]);
        git
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn git(folder: &Path, arguments: &[&str]) {
        let mut git = child::clean("git");
        git.current_dir(folder).args(["-c", "user.name=a", "-c", "user.email=a@b"]);
        child::output(git.args(arguments)).unwrap();
    }

    #[test]
    fn a_working_tree_is_read_and_put_elsewhere_without_a_trace_in_the_repository() {
        let scratch = tempfile::tempdir().unwrap();
        let checkout = scratch.path().join("checkout");
        fs::create_dir(&checkout).unwrap();
        git(&checkout, &["init", "--quiet"]);
        fs::write(checkout.join(".gitignore"), "/target\n").unwrap();
        fs::write(checkout.join("same"), "1").unwrap();
        fs::write(checkout.join("gone"), "2").unwrap();
        git(&checkout, &["add", "--all"]);
        git(&checkout, &["commit", "--quiet", "--message", "first"]);
        let own = checkout.join("target/gate");
        let repository = Repository::open(&checkout, &own).unwrap();
        let head = repository.revision("HEAD").unwrap();
        assert_eq!(repository.working().unwrap(), head);
        assert_eq!(repository.revision("no-such-revision"), None);

        fs::remove_file(checkout.join("gone")).unwrap();
        fs::write(checkout.join("new"), "3").unwrap();
        let working = repository.working().unwrap();
        assert_ne!(working, head);
        assert!(repository.has(&working, "new").unwrap());
        assert!(!repository.has(&head, "new").unwrap());

        let folder = own.join("tree");
        repository.put(&head, &folder, "tree").unwrap();
        assert_eq!(fs::read_to_string(folder.join("gone")).unwrap(), "2");
        let written = |name: &str| fs::metadata(folder.join(name)).unwrap().modified().unwrap();
        let before = written("same");
        fs::write(folder.join(".gitignore"), "spoiled").unwrap();
        repository.put(&working, &folder, "tree").unwrap();
        assert!(!folder.join("gone").exists() && folder.join("new").exists());
        assert_eq!(fs::read_to_string(folder.join(".gitignore")).unwrap(), "/target\n");
        assert_eq!(written("same"), before, "a file that is the same was written again");

        let mut status = child::clean("git");
        status.current_dir(&checkout).args(["status", "--porcelain"]);
        assert_eq!(child::output(&mut status).unwrap(), " D gone\n?? new\n");
        assert!(!checkout.join(".git/worktrees").exists());
    }
}
