//! The list of faults.
//!
//! ```text
//! fault: a-name
//! file: the/source.rs
//! breaks: what is wrong then, in words
//! -    the lines as they are
//! +    the lines as the fault has them
//! ```
//!
//! A blank line ends a fault; lines that begin with `#` are comments. The lines as they are have to
//! occur exactly once in the source.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// One small mistake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// What it is called.
    pub name: String,
    /// The source, below the workspace's root.
    pub file: String,
    /// What is wrong then.
    pub breaks: String,
    before: String,
    after: String,
}

/// All faults of `testbed/faults`, by file and in the order of the files' lines.
pub fn read(root: &Path) -> Result<Vec<Fault>> {
    let folder = root.join("testbed/faults");
    let entries = fs::read_dir(&folder).with_context(|| format!("no folder {folder:?}"))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    let mut faults = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file:?}"))?;
        faults.extend(parse(&text).with_context(|| format!("in {file:?}"))?);
    }
    Ok(faults)
}

fn parse(text: &str) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    let mut fault = Fault::default();
    for (number, line) in text.lines().chain([""]).enumerate() {
        match line.split_once(' ') {
            _ if line.starts_with('#') => {}
            _ if line.is_empty() => {
                if fault != Fault::default() {
                    let whole = std::mem::take(&mut fault);
                    whole
                        .check()
                        .with_context(|| format!("the fault before line {}", number + 1))?;
                    faults.push(whole);
                }
            }
            _ if line.starts_with('-') => add(&mut fault.before, line),
            _ if line.starts_with('+') => add(&mut fault.after, line),
            Some(("fault:", name)) => fault.name = name.to_owned(),
            Some(("file:", file)) => fault.file = file.to_owned(),
            Some(("breaks:", what)) => fault.breaks = what.to_owned(),
            _ => bail!("line {} is none of `fault:`, `file:`, `breaks:`, `-`, `+`", number + 1),
        }
    }
    Ok(faults)
}

fn add(text: &mut String, line: &str) {
    text.push_str(&line[1..]);
    text.push('\n');
}

impl Fault {
    fn check(&self) -> Result<()> {
        for (what, text) in [
            ("fault:", &self.name),
            ("file:", &self.file),
            ("breaks:", &self.breaks),
            ("-", &self.before),
        ] {
            if text.is_empty() {
                bail!("it has no `{what}`");
            }
        }
        if self.before == self.after {
            bail!("`{}` changes nothing", self.name);
        }
        Ok(())
    }

    /// Whether the fault can be made in the sources below `root`.
    pub fn check_against(&self, root: &Path) -> Result<()> {
        let text = fs::read_to_string(root.join(&self.file))
            .with_context(|| format!("`{}`: cannot read {}", self.name, self.file))?;
        self.make(&text).map(|_| ())
    }

    /// The source `text` with the fault in it.
    pub fn make(&self, text: &str) -> Result<String> {
        let Self { name, file, before, .. } = self;
        // Whole lines: one that ends alike is another one.
        let starts = text.match_indices('\n').map(|(end, _)| end + 1);
        let found: Vec<usize> = [0]
            .into_iter()
            .chain(starts)
            .filter(|start| text[*start..].starts_with(before))
            .collect();
        match found[..] {
            [start] => Ok([&text[..start], &self.after, &text[start + before.len()..]].concat()),
            [] => bail!("`{name}`: these lines are not in {file} any more:\n{before}"),
            _ => bail!("`{name}`: these lines are {} times in {file}:\n{before}", found.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# words\n\nfault: one\nfile: a.rs\nbreaks: it\n-  b\n-  c\n+  d\n";

    #[test]
    fn a_fault_replaces_its_lines_where_they_are_once() {
        let faults = parse(LIST).unwrap();
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].make("a\n  b\n  c\ne\n").unwrap(), "a\n  d\ne\n");
        assert_eq!(faults[0].make("  b\n  c\n").unwrap(), "  d\n");
        let twice = faults[0].make("  b\n  c\n  b\n  c\n").unwrap_err().to_string();
        assert!(twice.contains("2 times in a.rs"), "{twice}");
        let gone = faults[0].make("x  b\n  c\n").unwrap_err().to_string();
        assert!(gone.contains("not in a.rs any more"), "{gone}");
    }

    #[test]
    fn a_list_that_is_not_one_is_refused() {
        for (text, why) in [
            ("fault: one\n", "no `file:`"),
            ("nonsense\n", "line 1 is none of"),
            ("fault: one\nfile: a\nbreaks: b\n-c\n+c\n", "changes nothing"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(why), "{error}");
        }
    }
}
