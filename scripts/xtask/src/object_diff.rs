//! Where two object files differ, said in sections and programs.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

use crate::child;

/// A file's size and its SHA-256.
pub fn describe(path: &Path) -> Result<String> {
    let size = read(path)?.len();
    let line = child::output(child::clean("sha256sum").arg(path))?;
    let hash = line.split_whitespace().next().unwrap_or_default();
    Ok(format!("{size} bytes, sha256 {hash}"))
}

/// Where `second` first differs from `first`; `None` when they are alike byte for byte.
pub fn first_difference(first: &Path, second: &Path) -> Result<Option<String>> {
    let (first_bytes, second_bytes) = (read(first)?, read(second)?);
    if first_bytes == second_bytes {
        return Ok(None);
    }
    let parse = |path: &Path, bytes| {
        Sections::of(bytes).with_context(|| format!("`{}` is no object file", path.display()))
    };
    let (first, second) = (parse(first, &first_bytes)?, parse(second, &second_bytes)?);
    Ok(Some(first.difference(&second).unwrap_or_else(|| {
        let at = first_bytes.iter().zip(&second_bytes).take_while(|(a, b)| a == b).count();
        format!("the file's byte {at}, outside all sections")
    })))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))
}

/// An object file's sections in the file's order.
struct Sections<'data>(Vec<Section<'data>>);

struct Section<'data> {
    name: String,
    data: &'data [u8],
    /// The programs and functions in it, with where they start.
    functions: Vec<(u64, String)>,
}

impl<'data> Sections<'data> {
    fn of(bytes: &'data [u8]) -> Result<Self> {
        let file = object::File::parse(bytes)?;
        let sections = file.sections().map(|section| {
            let mut functions: Vec<_> = file
                .symbols()
                .filter(|symbol| symbol.kind() == SymbolKind::Text)
                .filter(|symbol| symbol.section_index() == Some(section.index()))
                .filter_map(|symbol| Some((symbol.address(), symbol.name().ok()?.to_owned())))
                .collect();
            functions.sort();
            Ok(Section { name: section.name()?.to_owned(), data: section.data()?, functions })
        });
        Ok(Self(sections.collect::<Result<_>>()?))
    }

    fn difference(&self, other: &Self) -> Option<String> {
        for section in &self.0 {
            let Some(counterpart) = other.0.iter().find(|other| other.name == section.name) else {
                return Some(format!("section `{}` is only in the first", section.name));
            };
            if let Some(difference) = section.difference(counterpart) {
                return Some(difference);
            }
        }
        let missing = other.0.iter().find(|other| self.0.iter().all(|own| own.name != other.name));
        missing.map(|section| format!("section `{}` is only in the second", section.name))
    }
}

impl Section<'_> {
    fn difference(&self, other: &Self) -> Option<String> {
        if self.data == other.data {
            return None;
        }
        let at = self.data.iter().zip(other.data).take_while(|(a, b)| a == b).count();
        let mut text = format!("section `{}`, byte {at}", self.name);
        let function = self.functions.iter().rev().find(|(start, _)| *start <= at as u64);
        if let Some((start, name)) = function {
            // Every instruction of BPF has eight bytes; the widest takes the room of two.
            let _ = write!(text, " (`{name}`, instruction {})", (at as u64 - start) / 8);
        }
        let _ = write!(text, "; sizes {} and {}", self.data.len(), other.data.len());
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMITTED: &str =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../dataplane-ebpf/prebuilt/ringfence.bpf.o");

    /// The difference between the committed object and a copy of it changed by `change`.
    fn difference_after(change: impl FnOnce(&mut Vec<u8>)) -> Option<String> {
        let committed = Path::new(COMMITTED);
        let mut bytes = read(committed).unwrap();
        change(&mut bytes);
        let folder = tempfile::tempdir().unwrap();
        let changed = folder.path().join("changed.o");
        std::fs::write(&changed, bytes).unwrap();
        first_difference(committed, &changed).unwrap()
    }

    #[test]
    fn an_object_does_not_differ_from_itself() {
        assert_eq!(difference_after(|_| {}), None);
    }

    #[test]
    fn a_changed_instruction_is_named_with_its_program() {
        let bytes = read(Path::new(COMMITTED)).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let program = file
            .symbols()
            .filter(|symbol| symbol.is_global() && symbol.kind() == SymbolKind::Text)
            .find(|symbol| symbol.size() >= 32)
            .expect("the object has programs of more than four instructions");
        let section = file.section_by_index(program.section_index().unwrap()).unwrap();
        let (start, _) = section.file_range().unwrap();
        let at = program.address() + 3 * 8 + 1;

        let difference = difference_after(|bytes| bytes[(start + at) as usize] ^= 0x10);

        let size = section.size();
        assert_eq!(
            difference,
            Some(format!(
                "section `{}`, byte {at} (`{}`, instruction 3); sizes {size} and {size}",
                section.name().unwrap(),
                program.name().unwrap(),
            ))
        );
    }

    #[test]
    fn a_change_outside_all_sections_is_named_by_its_place() {
        // The ELF header's flags, which mean nothing on this machine.
        let difference = difference_after(|bytes| bytes[0x30] ^= 1);
        assert_eq!(difference.as_deref(), Some("the file's byte 48, outside all sections"));
    }
}
