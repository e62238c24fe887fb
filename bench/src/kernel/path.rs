//! Which way a packet takes through a program, and what lies on it.
//!
//! Goal: to know, not to guess, whether a packet's way has calls of the kernel on it. The verifier
//! replaces many look-ups by instructions of its own, so only the translated program can tell which
//! calls are left; and only running can tell which of them a packet meets.
//!
//! Design. The engine's object is linked as the loader links it, over the maps of the engine that is
//! measured; each block of it gets a mark ([`super::blocks`]), and the kernel verifies and
//! translates it like any other program. After a packet was run, the marks say which blocks it
//! took, and the translated program what is in them.
//!
//! Not done: instructions of blocks that run more than once are counted once.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use aya::maps::{MapFd, MapInfo};
use aya_obj::Object;
use aya_obj::generated::{bpf_attach_type, bpf_func_info, bpf_insn, bpf_prog_type};
use ringfence_common::abi::config::Hook;

use super::blocks::{self, each};
use super::bpf::{self, SharedBytes, Source};
use super::instruction::{Instruction, wide};
use super::run::context;
use super::{Engine, MeasureError};

/// The object, as the backend has it.
static OBJECT: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../dataplane-ebpf/prebuilt/ringfence.bpf.o"
));

/// `BPF_F_XDP_HAS_FRAGS` (include/uapi/linux/bpf.h).
const HAS_FRAGS: u32 = 1 << 5;

/// A program of the engine that tells which way packets take. It shares the engine's maps: what it
/// decides counts and is remembered.
#[expect(missing_debug_implementations, reason = "a program has nothing to show")]
pub struct Marked {
    hook: Hook,
    program: OwnedFd,
    marks: SharedBytes,
    /// By mark: what the blocks behind it have, in the translated program.
    blocks: BTreeMap<usize, Contents>,
}

/// What a part of a translated program has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Instructions, those of calls and jumps among them.
    pub instructions: usize,
    /// Calls of the kernel.
    pub calls: usize,
}

/// A way through a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// What the program returned.
    pub returned: u32,
    /// What was on the way.
    pub contents: Contents,
}

impl Marked {
    /// The program of `engine` for `hook`, with marks.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`] when it cannot be linked, or the kernel refuses it.
    pub fn load(engine: &Engine, hook: Hook) -> Result<Self, MeasureError> {
        let (name, maps) = (engine.name(hook)?, engine.map_infos()?);
        let linked = Linked::new(&name, &maps)?;
        let refused = |what: &str| format!("{what} the program with marks at {hook:?}");
        let marks = SharedBytes::new(linked.instructions.len().next_multiple_of(8))
            .map_err(MeasureError::refused("make room for marks"))?;
        let marked = blocks::mark(&linked.instructions, marks.as_raw())
            .map_err(MeasureError::refused(refused("mark")))?;
        let functions: Vec<bpf_func_info> = linked
            .functions
            .iter()
            .map(|function| bpf_func_info {
                insn_off: marked.positions[function.insn_off as usize] as u32,
                ..*function
            })
            .collect();
        let info = engine.program(hook)?.info()?;
        let types = bpf::types(info.btf_id().unwrap_or_default())
            .map_err(MeasureError::refused(refused("find the types of")))?;
        let (kind, flags, attach_type) = match hook {
            Hook::Xdp => {
                (bpf_prog_type::BPF_PROG_TYPE_XDP, HAS_FRAGS, bpf_attach_type::BPF_XDP as u32)
            }
            Hook::TcIngress | Hook::TcEgress => (bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS, 0, 0),
        };
        let program = bpf::load(&Source {
            kind: kind as u32,
            flags,
            attach_type,
            instructions: &marked.instructions,
            functions: &functions,
            types: types.as_fd(),
        })
        .map_err(MeasureError::refused(refused("load")))?;
        let translated = bpf::translated(program.as_fd())
            .map_err(MeasureError::refused(refused("read back")))?;
        let blocks = contents(&translated, marks.id()?);
        Ok(Self { hook, program, marks, blocks })
    }

    /// The way of one frame that is seen at interface `ifindex`.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    pub fn way(&self, frame: &[u8], ifindex: u32) -> Result<Way, MeasureError> {
        let refused = || MeasureError::refused("follow a packet's way");
        self.marks.clear().map_err(refused())?;
        let context = context(self.hook, frame.len() as u32, ifindex);
        let returned = bpf::run(self.program.as_fd(), frame, &context).map_err(refused())?;
        let marks = self.marks.read().map_err(refused())?;
        let mut way = Way { returned, ..Way::default() };
        for (mark, contents) in &self.blocks {
            if marks.get(*mark) == Some(&1) {
                way.contents.instructions += contents.instructions;
                way.contents.calls += contents.calls;
            }
        }
        Ok(way)
    }
}

/// A program with all its functions, over the maps that are there.
struct Linked {
    instructions: Vec<Instruction>,
    /// The types of the functions by their places.
    functions: Vec<bpf_func_info>,
    /// What the instructions name.
    _maps: Vec<MapFd>,
}

impl Linked {
    fn new(program: &str, maps: &BTreeMap<String, MapInfo>) -> Result<Self, MeasureError> {
        let refused = || MeasureError::refused(format!("link `{program}`"));
        let mut object = Object::parse(OBJECT).map_err(MeasureError::refused("read the object"))?;
        let sections = object.functions.keys().map(|(section, _)| *section).collect();
        let declared = object.maps.clone();
        let mut open = Vec::new();
        for (name, map) in &declared {
            // The kernel keeps fifteen characters of a name. What no program uses is not there.
            if let Some(info) = maps.get(&name[..name.len().min(15)]) {
                let fd = info.fd().map_err(MeasureError::refused("open a map"))?;
                open.push((name.as_str(), fd, map));
            }
        }
        let known = open.iter().map(|(name, fd, map)| (*name, fd.as_fd().as_raw_fd(), *map));
        object.relocate_maps(known, &sections).map_err(refused())?;
        object.relocate_calls(&sections).map_err(refused())?;
        let missing = || MeasureError::wrong("the object", format!("it has no `{program}`"));
        let program = object.programs.get(program).ok_or_else(missing)?;
        let function = object.functions.get(&program.function_key()).ok_or_else(missing)?;
        Ok(Self {
            instructions: function.instructions.iter().map(instruction).collect(),
            functions: function.func_info.func_info.clone(),
            _maps: open.into_iter().map(|(_, fd, _)| fd).collect(),
        })
    }
}

fn instruction(raw: &bpf_insn) -> Instruction {
    Instruction {
        code: raw.code,
        destination: raw.dst_reg(),
        source: raw.src_reg(),
        offset: raw.off,
        immediate: raw.imm,
    }
}

/// By mark, what lies between it and the next one. A block begins at its mark or a little before it;
/// calls of the kernel always come after. `map` is the number of the map of the marks.
fn contents(translated: &[Instruction], map: u32) -> BTreeMap<usize, Contents> {
    let mut blocks: BTreeMap<usize, Contents> = BTreeMap::new();
    let mut mark = None;
    let mut is_store = false;
    for (at, instruction) in each(translated) {
        let is_mark = instruction.is_wide()
            && instruction.source == wide::MAP_VALUE
            && instruction.immediate == map as i32;
        if is_mark {
            mark = translated.get(at + 1).map(|half| half.immediate as usize);
        }
        // A mark is an address and a store.
        let is_own = std::mem::replace(&mut is_store, is_mark) || is_mark;
        let Some(mark) = mark.filter(|_| !is_own) else { continue };
        let contents = blocks.entry(mark).or_default();
        contents.instructions += 1;
        contents.calls += usize::from(instruction.leaves());
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::instruction::{CALL, EXIT, STORE_BYTE, WIDE};

    #[test]
    fn a_block_has_what_lies_between_its_mark_and_the_next() {
        let of = |code, source, immediate| Instruction {
            code,
            source,
            immediate,
            ..Instruction::default()
        };
        let mark = |number| [of(WIDE, wide::MAP_VALUE, 7), of(0, 0, number), of(STORE_BYTE, 0, 1)];
        let mut program = vec![of(0xb7, 0, 0)];
        program.extend(mark(0));
        // Another map's value is no mark.
        program.extend([of(WIDE, wide::MAP_VALUE, 8), of(0, 0, 1), of(CALL, 0, 4_711)]);
        program.extend(mark(3));
        program.push(of(EXIT, 0, 0));
        let expected = BTreeMap::from([
            (0, Contents { instructions: 2, calls: 1 }),
            (3, Contents { instructions: 1, calls: 0 }),
        ]);
        assert_eq!(contents(&program, 7), expected);
    }
}
