//! The control programs and their tables.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, PerCpuValues, ProgramArray};
use aya::programs::{Program as AnyProgram, SchedClassifier, Xdp};
use aya::util::nr_cpus;
use aya::{Ebpf, EbpfLoader};
use ringfence_common::abi::config::Hook;
use ringfence_controls::{DRAWN, Draws, Routed, draws, policy_data, routed, service};

use super::{MeasureError, Program};

/// The object, built from `bench/controls` and checked in (`cargo xtask ebpf`).
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/controls/prebuilt/controls.bpf.o"
));

/// A control program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Control {
    /// Lets everything pass at XDP.
    EmptyXdp,
    /// Lets everything pass at tc.
    EmptyTc,
    /// Drops everything at XDP.
    DropXdp,
    /// Writes the next key into the frame and calls the target of XDP.
    DrawXdp,
    /// The same at tc.
    DrawTc,
    /// Writes the next key into the frame and sends it out of an interface.
    FloodXdp,
    /// The same with frames that a router has had: it undoes what that has done to them.
    FloodRoutedXdp,
    /// Decides by two hash maps.
    TwoHashesXdp,
    /// The same at tc.
    TwoHashesTc,
    /// Decides by three tries.
    ThreeTriesXdp,
    /// The same at tc.
    ThreeTriesTc,
    /// A loop over keys without look-ups.
    LoopNothing,
    /// A loop of look-ups in a hash map.
    LoopHash,
    /// A loop of look-ups in a trie.
    LoopTrie,
    /// A loop of look-ups in the engine's table.
    LoopBuckets,
}

impl Control {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::EmptyXdp,
        Self::EmptyTc,
        Self::DropXdp,
        Self::DrawXdp,
        Self::DrawTc,
        Self::FloodXdp,
        Self::FloodRoutedXdp,
        Self::TwoHashesXdp,
        Self::TwoHashesTc,
        Self::ThreeTriesXdp,
        Self::ThreeTriesTc,
        Self::LoopNothing,
        Self::LoopHash,
        Self::LoopTrie,
        Self::LoopBuckets,
    ];

    /// The program's name in the object.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EmptyXdp => "empty_xdp",
            Self::EmptyTc => "empty_tc",
            Self::DropXdp => "drop_xdp",
            Self::DrawXdp => "draw_xdp",
            Self::DrawTc => "draw_tc",
            Self::FloodXdp => "flood_xdp",
            Self::FloodRoutedXdp => "flood_routed_xdp",
            Self::TwoHashesXdp => "two_hashes_xdp",
            Self::TwoHashesTc => "two_hashes_tc",
            Self::ThreeTriesXdp => "three_tries_xdp",
            Self::ThreeTriesTc => "three_tries_tc",
            Self::LoopNothing => "loop_nothing",
            Self::LoopHash => "loop_hash",
            Self::LoopTrie => "loop_trie",
            Self::LoopBuckets => "loop_buckets",
        }
    }
}

/// An entry of the controls' tables: an IPv4 address, its identity, and what is said of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The address.
    pub address: Ipv4Addr,
    /// Its identity.
    pub identity: u32,
    /// The protocol of the service.
    pub protocol: u8,
    /// Its port.
    pub port: u16,
    /// One of [`ringfence_controls::verdict`].
    pub verdict: u32,
}

/// The control programs in the kernel, with tables for a number of entries.
#[expect(missing_debug_implementations, reason = "aya's maps have none")]
pub struct Controls {
    ebpf: Ebpf,
    draws: Array<MapData, Draws>,
    routed: Array<MapData, Routed>,
    turn: PerCpuArray<MapData, u64>,
    counters: PerCpuArray<MapData, u64>,
    sum: PerCpuArray<MapData, u64>,
    xdp_target: ProgramArray<MapData>,
    tc_target: ProgramArray<MapData>,
}

impl Controls {
    /// Loads the programs, with empty tables that hold `entries`.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    pub fn load(entries: u32) -> Result<Self, MeasureError> {
        Self::load_over(entries, &[])
    }

    /// As [`Controls::load`], over maps that are pinned: their names and where they are.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    pub fn load_over(entries: u32, pinned: &[(&str, PathBuf)]) -> Result<Self, MeasureError> {
        let mut loader = EbpfLoader::new();
        for (name, path) in pinned {
            loader.map_pin_path(name, path.as_path());
        }
        for name in ["IDENTITY_HASH", "VERDICT_HASH", "IDENTITY_TRIE", "POLICY_TRIE"] {
            loader.map_max_entries(name, entries);
        }
        let mut ebpf =
            loader.load(OBJECT).map_err(MeasureError::refused("load the control programs"))?;
        for (name, program) in ebpf.programs_mut() {
            let loaded = match program {
                AnyProgram::Xdp(program) => program.load(),
                AnyProgram::SchedClassifier(program) => program.load(),
                _ => continue,
            };
            loaded.map_err(MeasureError::refused(format!("load control program `{name}`")))?;
        }
        Ok(Self {
            draws: take(&mut ebpf, "DRAWS")?,
            routed: take(&mut ebpf, "ROUTED")?,
            turn: take(&mut ebpf, "TURN")?,
            counters: take(&mut ebpf, "COUNTERS")?,
            sum: take(&mut ebpf, "SUM")?,
            xdp_target: take(&mut ebpf, "XDP_TARGET")?,
            tc_target: take(&mut ebpf, "TC_TARGET")?,
            ebpf,
        })
    }

    /// A control program.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`] when the object does not have it.
    pub fn program(&self, control: Control) -> Result<Program<'_>, MeasureError> {
        match self.ebpf.program(control.name()) {
            Some(AnyProgram::Xdp(program)) => Ok(Program::Xdp(program)),
            Some(AnyProgram::SchedClassifier(program)) => Ok(Program::Tc(program)),
            _ => Err(absent(control)),
        }
    }

    /// The names of all programs of the object.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.ebpf.programs().map(|(name, _)| name.to_owned()).collect()
    }

    /// A control program for XDP, to attach it.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`] when the object does not have it.
    pub fn xdp_mut(&mut self, control: Control) -> Result<&mut Xdp, MeasureError> {
        match self.ebpf.program_mut(control.name()) {
            Some(AnyProgram::Xdp(program)) => Ok(program),
            _ => Err(absent(control)),
        }
    }

    /// A control program for tc, to attach it.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`] when the object does not have it.
    pub fn tc_mut(&mut self, control: Control) -> Result<&mut SchedClassifier, MeasureError> {
        match self.ebpf.program_mut(control.name()) {
            Some(AnyProgram::SchedClassifier(program)) => Ok(program),
            _ => Err(absent(control)),
        }
    }

    /// The program that draws keys at `hook`.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`] when the object does not have it.
    pub fn drawing(&self, hook: Hook) -> Result<Program<'_>, MeasureError> {
        self.program(match hook {
            Hook::Xdp => Control::DrawXdp,
            Hook::TcIngress | Hook::TcEgress => Control::DrawTc,
        })
    }

    /// Makes `program` what the program that draws keys calls.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    pub fn aim(&mut self, program: Program<'_>) -> Result<(), MeasureError> {
        let target = match program {
            Program::Xdp(_) => &mut self.xdp_target,
            Program::Tc(_) => &mut self.tc_target,
        };
        put(target, program)
    }

    /// Makes one of the controls what the program that draws keys calls.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    pub fn aim_at(&mut self, control: Control) -> Result<(), MeasureError> {
        match self.ebpf.program(control.name()) {
            Some(AnyProgram::Xdp(program)) => put(&mut self.xdp_target, Program::Xdp(program)),
            Some(AnyProgram::SchedClassifier(program)) => {
                put(&mut self.tc_target, Program::Tc(program))
            }
            _ => Err(absent(control)),
        }
    }

    /// Prepares the keys that are written at `offset` of the frame, from the first on.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    ///
    /// # Panics
    ///
    /// When there are not [`DRAWN`] keys or the offset is beyond [`draws::LAST_OFFSET`].
    pub fn prepare(&mut self, offset: u32, keys: &[u32]) -> Result<(), MeasureError> {
        self.prepare_flood(offset, keys, 0)
    }

    /// As [`Controls::prepare`], for the program that sends frames out of interface `index` of the
    /// network namespace in which it is run.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    ///
    /// # Panics
    ///
    /// As there.
    pub fn prepare_flood(
        &mut self,
        offset: u32,
        keys: &[u32],
        index: u32,
    ) -> Result<(), MeasureError> {
        assert!(keys.len() == DRAWN && offset <= draws::LAST_OFFSET, "what is drawn is prepared");
        let mut drawn: Draws = [0; draws::KEYS + DRAWN];
        drawn[draws::OFFSET] = offset;
        drawn[draws::INTERFACE] = index;
        drawn[draws::KEYS..].copy_from_slice(keys);
        let refused = MeasureError::refused("prepare keys");
        self.draws.set(0, drawn, 0).map_err(refused)?;
        let cpus = nr_cpus().map_err(|(_, error)| error);
        let zero = cpus.and_then(|cpus| PerCpuValues::try_from(vec![0; cpus]));
        let zero = zero.map_err(MeasureError::refused("count CPUs"))?;
        self.turn.set(0, zero, 0).map_err(MeasureError::refused("begin with the first key"))
    }

    /// As [`Controls::prepare_flood`], for [`Control::FloodRoutedXdp`] and frames like this one.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    ///
    /// # Panics
    ///
    /// As there; when it is not a frame of IPv4 or IPv6 without a VLAN.
    pub fn prepare_routed_flood(
        &mut self,
        offset: u32,
        keys: &[u32],
        index: u32,
        frame: &[u8],
    ) -> Result<(), MeasureError> {
        let hops_offset = match frame.get(12..14) {
            // Time to live, protocol and checksum; payload's length, next header and hop limit.
            Some([0x08, 0x00]) => 14 + 8,
            Some([0x86, 0xdd]) => 14 + 4,
            _ => panic!("a router routes IPv4 and IPv6"),
        };
        let word = |at: usize| {
            let bytes = frame[at..at + 4].try_into().expect("a word has four bytes");
            u32::from_ne_bytes(bytes)
        };
        let mut routed = [0; routed::HOPS_LEFT + 1];
        for number in 0..3 {
            routed[routed::ADDRESSES + number] = word(4 * number);
        }
        routed[routed::OFFSET] = hops_offset as u32;
        routed[routed::HOPS_LEFT] = word(hops_offset);
        let refused = MeasureError::refused("prepare what routers change");
        self.routed.set(0, routed, 0).map_err(refused)?;
        self.prepare_flood(offset, keys, index)
    }

    /// How many keys have been taken so far.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    pub fn turns(&self) -> Result<u64, MeasureError> {
        total("TURN", &self.turn, 0)
    }

    /// How many packets the deciding controls have given `verdict` so far.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    pub fn decided(&self, verdict: u32) -> Result<u64, MeasureError> {
        total("COUNTERS", &self.counters, verdict)
    }

    /// The sum of what the loops have found so far.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`].
    pub fn sum(&self) -> Result<u64, MeasureError> {
        total("SUM", &self.sum, 0)
    }

    /// Fills all tables.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Refused`], for instance when there is no room.
    pub fn fill(&mut self, rules: impl Iterator<Item = Rule>) -> Result<(), MeasureError> {
        let mut identity_hash: HashMap<_, [u32; 2], u32> = take(&mut self.ebpf, "IDENTITY_HASH")?;
        let mut verdict_hash: HashMap<_, [u32; 4], u32> = take(&mut self.ebpf, "VERDICT_HASH")?;
        let mut identity_trie: LpmTrie<_, [u8; 4], u32> = take(&mut self.ebpf, "IDENTITY_TRIE")?;
        let mut policy_trie: LpmTrie<_, [u8; 8], u32> = take(&mut self.ebpf, "POLICY_TRIE")?;
        let refused = || MeasureError::refused("fill the controls' tables");
        for Rule { address, identity, protocol, port, verdict } in rules {
            let octets = address.octets();
            let key = [u32::from_ne_bytes(octets), 0];
            identity_hash.insert(key, identity, 0).map_err(refused())?;
            let key = [identity, service(protocol, port), 0, 0];
            verdict_hash.insert(key, verdict, 0).map_err(refused())?;
            identity_trie.insert(&Key::new(32, octets), identity, 0).map_err(refused())?;
            let key = Key::new(64, policy_data(identity, protocol, port));
            policy_trie.insert(&key, verdict, 0).map_err(refused())?;
        }
        Ok(())
    }
}

fn put(target: &mut ProgramArray<MapData>, program: Program<'_>) -> Result<(), MeasureError> {
    let fd = match program {
        Program::Xdp(program) => program.fd(),
        Program::Tc(program) => program.fd(),
    };
    let fd = fd.map_err(MeasureError::refused("ask for a program's descriptor"))?;
    target.set(0, fd, 0).map_err(MeasureError::refused("aim at a program"))
}

fn take<M: TryFrom<Map, Error = aya::maps::MapError>>(
    ebpf: &mut Ebpf,
    name: &str,
) -> Result<M, MeasureError> {
    let absent = || MeasureError::Refused {
        what: format!("open map `{name}` of the controls"),
        why: "the object has none, or it was opened before".to_owned(),
    };
    let map = ebpf.take_map(name).ok_or_else(absent)?;
    M::try_from(map).map_err(MeasureError::refused(format!("open map `{name}` of the controls")))
}

fn total(name: &str, map: &PerCpuArray<MapData, u64>, index: u32) -> Result<u64, MeasureError> {
    let values = map.get(&index, 0);
    Ok(values.map_err(MeasureError::refused(format!("read map `{name}`")))?.iter().sum())
}

fn absent(control: Control) -> MeasureError {
    MeasureError::Refused {
        what: format!("run control program `{}`", control.name()),
        why: "the object has none of that name".to_owned(),
    }
}
