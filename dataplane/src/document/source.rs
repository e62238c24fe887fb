//! Where text comes from: files, directories, stdin; and places in it.

use std::fs;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::codes::Code;
use super::diagnostic::{Diagnostic, Findings};
use super::limits;

/// File name extensions that are read in a directory.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Something to read documents from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file, or a directory whose `*.yaml`, `*.yml` and `*.json` files are read in lexical
    /// order, without those of its subdirectories.
    File(PathBuf),
    /// Standard input; diagnostics call it `<stdin>`.
    Stdin,
    /// Text that is at hand already.
    Text {
        /// What diagnostics call it.
        name: String,
        /// The text.
        text: String,
    },
}

impl Input {
    /// What `-f` means: `-` is stdin, everything else a file or directory.
    #[must_use]
    pub fn from_argument(argument: &Path) -> Self {
        if argument.as_os_str() == "-" { Self::Stdin } else { Self::File(argument.to_owned()) }
    }
}

/// A piece of a source's text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub source: u32,
    pub start: u32,
    pub end: u32,
}

/// A place in the input, for people: lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file's name as it was given, or `<stdin>`.
    pub file: Arc<str>,
    /// The line of the first character.
    pub line: usize,
    /// The column of the first character.
    pub column: usize,
    /// The line of the character after the last.
    pub end_line: usize,
    /// The column of the character after the last.
    pub end_column: usize,
    pub(super) span: Span,
}

/// One file's text.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub name: Arc<str>,
    /// Without the byte order mark it may have begun with.
    pub text: String,
    /// False if the text cannot be parsed; the finding that says so is there already.
    pub readable: bool,
    line_starts: Vec<u32>,
}

/// All texts of one run, in the order they were given.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    files: Vec<Source>,
    bytes: usize,
}

impl Sources {
    /// Reads `inputs`; what cannot be read becomes a finding and hides nothing else.
    pub fn load(inputs: &[Input], findings: &mut Findings) -> Self {
        let mut sources = Self::default();
        for input in inputs {
            match input {
                Input::Text { name, text } => {
                    sources.add_bytes(name, text.clone().into_bytes(), findings);
                }
                Input::Stdin => sources.add_reader("<stdin>", io::stdin().lock(), findings),
                Input::File(path) if path.is_dir() => sources.add_directory(path, findings),
                Input::File(path) => sources.add_file(path, findings),
            }
        }
        sources
    }

    /// Every source with its number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Source)> {
        (0..).zip(&self.files)
    }

    /// The source that `span` lies in.
    pub fn get(&self, span: Span) -> &Source {
        &self.files[span.source as usize]
    }

    /// Lines and columns of `span`.
    pub fn place(&self, span: Span) -> Place {
        let source = self.get(span);
        let (line, column) = source.position(span.start);
        let (end_line, end_column) = source.position(span.end);
        Place { file: source.name.clone(), line, column, end_line, end_column, span }
    }

    fn add_directory(&mut self, path: &Path, findings: &mut Findings) {
        let mut files = match manifests(path) {
            Ok(files) => files,
            Err(error) => return unreadable(&path.display().to_string(), &error, findings),
        };
        files.sort();
        if files.is_empty() {
            let message = format!("directory `{}` has no manifests", path.display());
            findings
                .add(Diagnostic::error(Code::NothingToRead, message))
                .help("only `*.yaml`, `*.yml` and `*.json` directly in it are read");
        }
        for file in files {
            self.add_file(&file, findings);
        }
    }

    fn add_file(&mut self, path: &Path, findings: &mut Findings) {
        let name = path.display().to_string();
        match fs::File::open(path) {
            Ok(file) => self.add_reader(&name, file, findings),
            Err(error) => unreadable(&name, &error, findings),
        }
    }

    fn add_reader(&mut self, name: &str, reader: impl Read, findings: &mut Findings) {
        let mut bytes = Vec::new();
        match reader.take(limits::FILE_BYTES as u64 + 1).read_to_end(&mut bytes) {
            Ok(_) => self.add_bytes(name, bytes, findings),
            Err(error) => unreadable(name, &error, findings),
        }
    }

    fn add_bytes(&mut self, name: &str, bytes: Vec<u8>, findings: &mut Findings) {
        let limit = if bytes.len() > limits::FILE_BYTES {
            Some(format!("`{name}` is larger than {} MiB", limits::FILE_BYTES >> 20))
        } else if self.bytes + bytes.len() > limits::TOTAL_BYTES {
            Some(format!(
                "with `{name}` the input is larger than {} MiB",
                limits::TOTAL_BYTES >> 20
            ))
        } else if self.files.len() == limits::FILES {
            Some(format!("`{name}` is one file too many: the limit is {}", limits::FILES))
        } else {
            None
        };
        if let Some(message) = limit {
            findings
                .add(Diagnostic::error(Code::TooLarge, message))
                .help("split the input, or leave out what policies do not need");
            return;
        }
        self.bytes += bytes.len();
        self.add_text(name, bytes, findings);
    }

    fn add_text(&mut self, name: &str, bytes: Vec<u8>, findings: &mut Findings) {
        let (text, bad_byte) = match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(at))
            }
        };
        let (text, bom) = match text.strip_prefix('\u{feff}') {
            Some(stripped) => (stripped.to_owned(), '\u{feff}'.len_utf8()),
            None => (text, 0),
        };
        let number = self.files.len() as u32;
        let source = Source::new(name, text, bad_byte.is_none());
        let nul = source.text.find('\0');
        self.files.push(source);
        if let Some(at) = bad_byte {
            let start = (at - bom.min(at)) as u32;
            let end = start + char::REPLACEMENT_CHARACTER.len_utf8() as u32;
            let place = self.place(Span { source: number, start, end });
            findings
                .add(Diagnostic::error(Code::NotUtf8, format!("`{name}` is not UTF-8 text")))
                .at(place, "this byte belongs to no character")
                .help("convert the file, for example with `iconv -t UTF-8`");
        } else if let Some(at) = nul {
            self.files[number as usize].readable = false;
            let place = self.place(Span { source: number, start: at as u32, end: at as u32 + 1 });
            findings
                .add(Diagnostic::error(Code::NulCharacter, format!("`{name}` has a NUL character")))
                .at(place, "text does not have this")
                .help("remove it; the file may be cut off or may not be text");
        }
    }
}

impl Source {
    fn new(name: &str, text: String, readable: bool) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at as u32 + 1);
        let line_starts = std::iter::once(0).chain(after_breaks).collect();
        Self { name: name.into(), text, readable, line_starts }
    }

    /// Line and column, both from 1, of the character at byte `offset`.
    fn position(&self, offset: u32) -> (usize, usize) {
        let line = self.line_starts.partition_point(|&start| start <= offset);
        let start = self.line_starts[line - 1];
        let before = self.text.get(start as usize..offset as usize).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    /// Lines `first..=last`, counted from 1, and where they begin, in bytes.
    pub fn lines(&self, first: usize, last: usize) -> (usize, &str) {
        let range = self.line_range(first).start..self.line_range(last).end;
        (range.start, &self.text[range])
    }

    /// The bytes of line `line`, counted from 1, with its line break.
    fn line_range(&self, line: usize) -> Range<usize> {
        let start_of = |line: usize| match self.line_starts.get(line) {
            Some(&start) => start as usize,
            None => self.text.len(),
        };
        start_of(line - 1)..start_of(line)
    }

    /// How many lines there are.
    pub fn line_count(&self) -> usize {
        self.line_starts.len()
    }
}

/// The files of a directory that are read.
fn manifests(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let known = path
            .extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|extension| EXTENSIONS.contains(&extension));
        // A dangling link is kept, so that opening it reports it.
        if known && !path.is_dir() {
            files.push(path);
        }
    }
    Ok(files)
}

fn unreadable(name: &str, error: &io::Error, findings: &mut Findings) {
    findings
        .add(Diagnostic::error(Code::Unreadable, format!("cannot read `{name}`: {error}")))
        .help("give an existing file or directory that you may read, or `-` for stdin");
}
