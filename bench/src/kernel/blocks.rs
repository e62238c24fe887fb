//! Marks in a program: which of its parts a packet runs.
//!
//! A mark is a store of one byte that says "this block was run". It needs a register for the
//! address; one whose value nobody reads any more is found by following all reads backwards.

use std::collections::BTreeSet;

use super::instruction::{Instruction, Registers, STORE_BYTE, WIDE, wide};

/// A program with marks.
pub struct Marked {
    /// Its instructions.
    pub instructions: Vec<Instruction>,
    /// By instruction of the program without marks, where it is now, its mark included.
    pub positions: Vec<usize>,
}

/// Why a program cannot be marked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmarked {
    /// A jump is too long with marks on its way.
    #[error("the jump at instruction {0} is too long for marks")]
    TooFar(usize),
    /// No register is free in a block that calls the kernel.
    #[error("the block at instruction {0} has no free register")]
    NoRegister(usize),
}

/// Marks every block of `program`; mark number N stores into byte N of the only value of `map`. A
/// block without a free register gets none, unless it calls the kernel.
///
/// # Errors
///
/// [`Unmarked`].
pub fn mark(program: &[Instruction], map: i32) -> Result<Marked, Unmarked> {
    let starts: Vec<usize> = starts(program).into_iter().collect();
    let live = live(program);
    let mut marks = vec![None; program.len()];
    let mut count = 0;
    for (number, start) in starts.iter().enumerate() {
        let end = starts.get(number + 1).copied().unwrap_or(program.len());
        match free(program, &live, *start, end) {
            Some((at, register)) => {
                marks[at] = Some((register, count));
                count += 1;
            }
            None if program[*start..end].iter().any(|instruction| instruction.leaves()) => {
                return Err(Unmarked::NoRegister(*start));
            }
            None => {}
        }
    }
    let mut marked = Marked { instructions: Vec::new(), positions: Vec::new() };
    for (instruction, mark) in program.iter().zip(&marks) {
        marked.positions.push(marked.instructions.len());
        if let Some((register, number)) = *mark {
            marked.instructions.extend(store(register, map, number));
        }
        marked.instructions.push(*instruction);
    }
    lead_on(program, &mut marked)?;
    Ok(marked)
}

/// Sets the jumps and calls of a marked program to where their targets are now.
fn lead_on(program: &[Instruction], marked: &mut Marked) -> Result<(), Unmarked> {
    let end = marked.instructions.len();
    let own = |at: usize| marked.positions.get(at + 1).copied().unwrap_or(end) - 1;
    for (at, instruction) in program.iter().enumerate() {
        // The instruction itself is the last of what stands for it.
        let here = own(at);
        let to = |distance: i64| {
            let target = usize::try_from(at as i64 + 1 + distance).unwrap_or(usize::MAX);
            marked.positions.get(target).map(|position| *position as i64 - here as i64 - 1)
        };
        if let Some(distance) = instruction.jump() {
            let new = to(distance).ok_or(Unmarked::TooFar(at))?;
            if !marked.instructions[here].set_jump(new) {
                return Err(Unmarked::TooFar(at));
            }
        } else if let Some(distance) = instruction.own_function() {
            let new = to(distance).and_then(|new| i32::try_from(new).ok());
            marked.instructions[here].immediate = new.ok_or(Unmarked::TooFar(at))?;
        }
    }
    Ok(())
}

/// `register = address of byte `number`; *register = 1`.
fn store(register: u8, map: i32, number: i32) -> [Instruction; 3] {
    let source = wide::MAP_VALUE;
    [
        Instruction { code: WIDE, destination: register, source, offset: 0, immediate: map },
        Instruction { immediate: number, ..Instruction::default() },
        Instruction {
            code: STORE_BYTE,
            destination: register,
            immediate: 1,
            ..Instruction::default()
        },
    ]
}

/// Where blocks begin: functions, targets of jumps, and what follows a jump.
pub fn starts(program: &[Instruction]) -> BTreeSet<usize> {
    let mut starts = BTreeSet::from([0]);
    for (at, instruction) in each(program) {
        let target = instruction.jump().or(instruction.own_function());
        if let Some(target) =
            target.and_then(|distance| usize::try_from(at as i64 + 1 + distance).ok())
        {
            starts.insert(target);
        }
        if instruction.jump().is_some() || !instruction.goes_on() {
            starts.insert(at + 1);
        }
    }
    starts.remove(&program.len());
    starts
}

/// By instruction, the registers that may be read before they are written, seen from before it.
fn live(program: &[Instruction]) -> Vec<Registers> {
    let mut live: Vec<Registers> = vec![0; program.len() + 1];
    loop {
        let mut is_changed = false;
        for (at, instruction) in each(program).collect::<Vec<_>>().into_iter().rev() {
            let next = at + if instruction.is_wide() { 2 } else { 1 };
            let mut after = 0;
            if instruction.goes_on() {
                after |= live.get(next).copied().unwrap_or(0);
            }
            if let Some(distance) = instruction.jump() {
                let target = usize::try_from(at as i64 + 1 + distance).unwrap_or(usize::MAX);
                after |= live.get(target).copied().unwrap_or(Registers::MAX);
            }
            let before = instruction.reads() | after & !instruction.writes();
            is_changed |= before != live[at];
            live[at] = before;
        }
        if !is_changed {
            return live;
        }
    }
}

/// The first place in a block where a register is free, and which.
fn free(
    program: &[Instruction],
    live: &[Registers],
    start: usize,
    end: usize,
) -> Option<(usize, u8)> {
    each(&program[start..end]).find_map(|(at, _)| {
        // The last of the eleven registers is the stack's, which nobody may write.
        let register = (0..10).find(|register| live[start + at] & 1 << register == 0)?;
        Some((start + at, register))
    })
}

/// Instructions with their places, without the second halves of wide ones.
pub fn each(program: &[Instruction]) -> impl Iterator<Item = (usize, Instruction)> + '_ {
    let mut is_half = false;
    program.iter().enumerate().filter_map(move |(at, instruction)| {
        let is_skipped = is_half;
        is_half = !is_skipped && instruction.is_wide();
        (!is_skipped).then_some((at, *instruction))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::instruction::{CALL, EXIT};

    const fn of(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
        Instruction { code, destination, source, offset, immediate }
    }

    /// `r0 = 0; if r1 == 0 goto exit; r0 = 1; exit`
    const BRANCH: [Instruction; 4] =
        [of(0xb7, 0, 0, 0, 0), of(0x15, 1, 0, 1, 0), of(0xb7, 0, 0, 0, 1), of(EXIT, 0, 0, 0, 0)];

    #[test]
    fn a_jump_leads_to_its_target_s_mark() {
        let marked = mark(&BRANCH, 9).unwrap();
        assert_eq!(marked.positions, [0, 4, 5, 9]);
        let jump = marked.instructions[4];
        assert_eq!((jump.code, 5 + jump.jump().unwrap()), (0x15, 9));
        // Where the function ends its result is live, so another register carries the mark.
        let [address, byte, store] = marked.instructions[9..12].try_into().unwrap();
        assert_eq!(address, of(WIDE, 1, wide::MAP_VALUE, 0, 9));
        assert_eq!((byte.immediate, store), (2, of(STORE_BYTE, 1, 0, 0, 1)));
    }

    #[test]
    fn registers_that_are_read_later_are_not_free() {
        let live = live(&BRANCH);
        assert_eq!(live[..4], [0b10, 0b11, 0, 1]);
    }

    #[test]
    fn a_call_of_an_own_function_leads_to_it() {
        // `call f; exit; f: r0 = 1; exit`
        let program = [
            of(CALL, 0, 1, 0, 1),
            of(EXIT, 0, 0, 0, 0),
            of(0xb7, 0, 0, 0, 1),
            of(EXIT, 0, 0, 0, 0),
        ];
        let marked = mark(&program, 9).unwrap();
        let call = marked.positions[1] - 1;
        let target = call as i64 + 1 + marked.instructions[call].own_function().unwrap();
        assert_eq!(target, marked.positions[2] as i64);
        assert_eq!(starts(&program), BTreeSet::from([0, 2]));
    }

    #[test]
    fn the_second_half_of_a_wide_instruction_is_none() {
        let program = [of(WIDE, 1, 0, 0, 5), of(0x95, 0, 0, 0, 0), of(EXIT, 0, 0, 0, 0)];
        assert_eq!(each(&program).map(|(at, _)| at).collect::<Vec<_>>(), [0, 2]);
    }
}
