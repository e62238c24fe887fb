//! Instructions of BPF (RFC 9669): what they read and write, and where they lead.

/// One instruction; the widest takes the place of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instruction {
    /// Class and operation.
    pub code: u8,
    /// The register that is written, mostly.
    pub destination: u8,
    /// The register that is read, or what kind of number `immediate` is.
    pub source: u8,
    /// Of a jump, or of an address.
    pub offset: i16,
    /// A number.
    pub immediate: i32,
}

/// Registers as bits.
pub type Registers = u16;

/// The registers that a call may change, and those that its arguments may be in.
const OF_CALLS: Registers = 0b11_1111;
const ARGUMENTS: Registers = 0b11_1110;

/// Classes.
mod class {
    pub const LD: u8 = 0;
    pub const LDX: u8 = 1;
    pub const ST: u8 = 2;
    pub const STX: u8 = 3;
    pub const ALU: u8 = 4;
    pub const JMP: u8 = 5;
    pub const JMP32: u8 = 6;
    pub const ALU64: u8 = 7;
}

/// `ld_imm64`, which is two instructions wide.
pub const WIDE: u8 = 0x18;
/// Stores a byte that the instruction holds.
pub const STORE_BYTE: u8 = 0x72;
/// Calls a helper, a function of the kernel, or one of the program's own.
pub const CALL: u8 = 0x85;
/// Ends the function.
pub const EXIT: u8 = 0x95;
/// Jumps always; [`JUMP_LONG`] with a wide offset.
const JUMP: u8 = 0x05;
const JUMP_LONG: u8 = 0x06;
/// Jumps a bounded number of times.
const MAY_JUMP: u8 = 0xe5;

/// What [`Instruction::source`] of a [`WIDE`] says of its number.
pub mod wide {
    /// The address of a value of a map.
    pub const MAP_VALUE: u8 = 2;
    /// The address of a function of the program.
    pub const FUNCTION: u8 = 4;
}

/// What [`Instruction::source`] of a [`CALL`] says of its number.
pub mod call {
    /// A function of the program.
    pub const OWN: u8 = 1;
    /// A function of the kernel.
    pub const KERNEL: u8 = 2;
}

/// The helper that runs another program in this one's place: a jump.
const TAIL_CALL: i32 = 12;

impl Instruction {
    /// From the eight bytes that the kernel has.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let [code, registers, a, b, c, d, e, f] = *bytes.first_chunk()?;
        Some(Self {
            code,
            destination: registers & 15,
            source: registers >> 4,
            offset: i16::from_le_bytes([a, b]),
            immediate: i32::from_le_bytes([c, d, e, f]),
        })
    }

    /// As the kernel has it.
    pub fn to_bytes(self) -> [u8; 8] {
        let ([a, b], [c, d, e, f]) = (self.offset.to_le_bytes(), self.immediate.to_le_bytes());
        [self.code, self.destination | self.source << 4, a, b, c, d, e, f]
    }

    /// Whether it is the first half of a wide one.
    pub fn is_wide(self) -> bool {
        self.code == WIDE
    }

    /// Whether it leaves the program for a function of the kernel.
    pub fn leaves(self) -> bool {
        let is_call = self.code == CALL && self.source != call::OWN;
        is_call && (self.source == call::KERNEL || self.immediate != TAIL_CALL)
    }

    /// Where it may lead other than to the next one, seen from the next one.
    pub fn jump(self) -> Option<i64> {
        match (self.code & 7, self.code) {
            (_, JUMP_LONG) => Some(i64::from(self.immediate)),
            (_, CALL | EXIT) => None,
            (class::JMP | class::JMP32, _) => Some(i64::from(self.offset)),
            _ => None,
        }
    }

    /// Changes where [`Instruction::jump`] leads; whether it can go so far.
    pub fn set_jump(&mut self, jump: i64) -> bool {
        if self.code == JUMP_LONG {
            return i32::try_from(jump).map(|jump| self.immediate = jump).is_ok();
        }
        i16::try_from(jump).map(|jump| self.offset = jump).is_ok()
    }

    /// Whether the next one may be run after it.
    pub fn goes_on(self) -> bool {
        !matches!(self.code, JUMP | JUMP_LONG | EXIT)
    }

    /// The function of the program that it names, seen from the next one.
    pub fn own_function(self) -> Option<i64> {
        let calls = self.code == CALL && self.source == call::OWN;
        let names = self.is_wide() && self.source == wide::FUNCTION;
        (calls || names).then_some(i64::from(self.immediate))
    }

    /// The registers it may read: more than it does where that is easier to say.
    pub fn reads(self) -> Registers {
        let (destination, source) = (1 << self.destination, 1 << self.source);
        let by_register = if self.code & 8 != 0 { source } else { 0 };
        match (self.code & 7, self.code) {
            (class::LDX, _) => source,
            (class::ST, _) => destination,
            // Of the atomic ones, compare-and-exchange reads the first register, too.
            (class::STX, _) => destination | source | 1,
            (class::ALU | class::ALU64, code) if code >> 4 == 0xb => by_register,
            (class::ALU | class::ALU64, _) => destination | by_register,
            (_, CALL) => ARGUMENTS,
            (_, EXIT) => 1,
            (_, JUMP | JUMP_LONG | MAY_JUMP) => 0,
            (class::JMP | class::JMP32, _) => destination | by_register,
            (class::LD, WIDE) => 0,
            // Loads of packets of old, which have registers of their own.
            _ => Registers::MAX,
        }
    }

    /// The registers that it surely makes new.
    pub fn writes(self) -> Registers {
        match (self.code & 7, self.code) {
            (class::LDX | class::ALU | class::ALU64, _) | (class::LD, WIDE) => {
                1 << self.destination
            }
            (_, CALL) => OF_CALLS,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn of(code: u8, destination: u8, source: u8) -> Instruction {
        Instruction { code, destination, source, offset: 0, immediate: 0 }
    }

    #[test]
    fn bytes_are_read_as_they_are_written() {
        let bytes = [0x61, 0x12, 0xfc, 0xff, 0x01, 0x00, 0x00, 0x80];
        let read = Instruction::from_bytes(&bytes).unwrap();
        let (destination, source) = (2, 1);
        let expected =
            Instruction { code: 0x61, destination, source, offset: -4, immediate: i32::MIN + 1 };
        assert_eq!(read, expected);
        assert_eq!(read.to_bytes(), bytes);
        assert_eq!(Instruction::from_bytes(&bytes[..7]), None);
    }

    #[test]
    fn what_instructions_read_and_write() {
        let cases: [(&str, Instruction, Registers, Registers); 10] = [
            ("r2 = r1", of(0xbf, 2, 1), 0b10, 0b100),
            ("r2 = 7", of(0xb7, 2, 0), 0, 0b100),
            ("r2 += r1", of(0x0f, 2, 1), 0b110, 0b100),
            ("r2 = *(r1)", of(0x61, 2, 1), 0b10, 0b100),
            ("*(r2) = r3", of(0x7b, 2, 3), 0b1101, 0),
            ("*(r2) = 7", of(0x7a, 2, 0), 0b100, 0),
            ("if r2 > r3", of(0x2d, 2, 3), 0b1100, 0),
            ("r2 = 7 ll", of(WIDE, 2, 0), 0, 0b100),
            ("call", of(CALL, 0, 0), 0b11_1110, 0b11_1111),
            ("exit", of(EXIT, 0, 0), 1, 0),
        ];
        for (name, instruction, reads, writes) in cases {
            assert_eq!((instruction.reads(), instruction.writes()), (reads, writes), "{name}");
        }
    }

    #[test]
    fn where_instructions_lead() {
        let jump = Instruction { offset: 5, ..of(JUMP, 0, 0) };
        assert_eq!((jump.jump(), jump.goes_on()), (Some(5), false));
        let branch = Instruction { offset: -5, ..of(0x15, 1, 0) };
        assert_eq!((branch.jump(), branch.goes_on()), (Some(-5), true));
        assert_eq!((of(CALL, 0, 0).jump(), of(CALL, 0, 0).goes_on()), (None, true));
        assert_eq!((of(EXIT, 0, 0).jump(), of(EXIT, 0, 0).goes_on()), (None, false));
        let mut far = of(JUMP, 0, 0);
        assert!(!far.set_jump(40_000));
        let mut far = of(JUMP_LONG, 0, 0);
        assert!(far.set_jump(40_000) && far.jump() == Some(40_000));
    }

    #[test]
    fn a_tail_call_leads_to_another_program_and_a_helper_out_of_it() {
        let helper = |immediate| Instruction { immediate, ..of(CALL, 0, 0) };
        assert!(helper(1).leaves() && !helper(TAIL_CALL).leaves());
        assert!(!of(CALL, 0, call::OWN).leaves() && of(CALL, 0, call::KERNEL).leaves());
    }
}
