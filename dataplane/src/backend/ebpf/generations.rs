//! The two generations' numbers, modes and layouts, in this process's memory.
//!
//! A generation that counts changes word by word: its number is stored last, so whoever sees that
//! sees everything that was stored before, and words that stay as they are are not stored at all. The
//! process may end between two words; so the mark of unfinished changes, which is in another word than
//! the number, is set before the first of them and taken away when the number is there
//! ([`super::Maps::put_config`]).

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use aya::maps::{Array, Map, MapData};
use ringfence_common::abi::ABI_VERSION;
use ringfence_common::abi::config::Config;
use ringfence_common::abi::table::{Generation, Layout};

use super::EbpfError;
use super::table::mapping::Mapping;

const NAME: &str = "GENERATIONS";

/// A bit of [`Config::flags`] that the programs do not look at: entries are being changed. If that
/// is interrupted, the next process finds this instead of a state that may look finished, and
/// installs everything anew, under a new number, so that flows are decided again.
pub(super) const UNFINISHED: u32 = 1 << 31;

/// Words of a generation, and of its configuration, which comes first.
const WORDS: usize = size_of::<Generation>() / size_of::<u64>();
const CONFIG_WORDS: usize = size_of::<Config>() / size_of::<u64>();

/// Both generations.
pub(super) struct Generations {
    words: Mapping<AtomicU64>,
}

impl Generations {
    /// Those that `map` holds.
    ///
    /// # Errors
    ///
    /// [`EbpfError::OtherVersion`] for a map of another version; [`EbpfError::Map`] when it cannot be
    /// mapped; [`EbpfError::Object`] for one of another kind.
    pub(super) fn new(map: Map) -> Result<Self, EbpfError> {
        let Map::Array(data) = &map else {
            return Err(EbpfError::Object(format!("map `{NAME}` is of another kind")));
        };
        let source = match Mapping::new(data, 2 * WORDS) {
            Ok(words) => return Ok(Self { words }),
            Err(source) => source,
        };
        // Before version 4 it could not be mapped.
        let array: Array<MapData, Generation> = map.try_into().map_err(EbpfError::map(NAME))?;
        let abi = |slot: u32| -> Result<u32, EbpfError> {
            Ok(array.get(&slot, 0).map_err(EbpfError::map(NAME))?.config.abi)
        };
        // A slot that nothing was installed in has no version.
        match abi(0)?.max(abi(1)?) {
            0 | ABI_VERSION => Err(EbpfError::map(NAME)(source.into())),
            found => Err(EbpfError::OtherVersion { found, expected: ABI_VERSION }),
        }
    }

    /// The configuration in `slot`.
    pub(super) fn config(&self, slot: u32) -> Config {
        zerocopy::transmute!(self.load::<CONFIG_WORDS>(slot))
    }

    /// The generation in `slot`.
    pub(super) fn get(&self, slot: u32) -> Generation {
        zerocopy::transmute!(self.load::<WORDS>(slot))
    }

    /// Makes `config` the configuration in `slot`.
    pub(super) fn put_config(&self, slot: u32, config: Config) {
        let words: [u64; CONFIG_WORDS] = zerocopy::transmute!(config);
        self.store(slot, &words);
    }

    /// Makes `layout` that of `slot`, at which no packet looks.
    pub(super) fn put_layout(&self, slot: u32, layout: Layout) {
        let words: [u64; WORDS] =
            zerocopy::transmute!(Generation { config: self.config(slot), layout });
        self.store(slot, &words);
    }

    fn load<const COUNT: usize>(&self, slot: u32) -> [u64; COUNT] {
        let from = &self.words.words()[start(slot)..];
        std::array::from_fn(|word| from[word].load(Acquire))
    }

    /// Stores the words of a slot, the number of the generation last.
    fn store(&self, slot: u32, words: &[u64]) {
        let to = &self.words.words()[start(slot)..];
        for (word, value) in to.iter().zip(words).rev() {
            if word.load(Relaxed) != *value {
                word.store(*value, Release);
            }
        }
    }
}

const fn start(slot: u32) -> usize {
    (slot & 1) as usize * WORDS
}
