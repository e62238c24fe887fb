//! Prefixes of policy that have too many lengths for the bucket tables: a trie for each family, in
//! two slots.

use aya::Pod;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{ArrayOfMaps, Map, MapData};

use super::EbpfError;
use super::steps::Steps;
use super::table::is_missing;

/// `BPF_F_NO_PREALLOC`: the kernel allocates entries when they come, as it asks for tries.
const NO_PREALLOC: u32 = 1;

/// Prefixes with their identities.
pub(super) type Prefixes<A> = Vec<(Key<A>, u32)>;

/// The trie of one family with its two slots.
pub(super) struct Tries<A: Pod> {
    name: &'static str,
    outer: ArrayOfMaps<MapData, LpmTrie<MapData, A, u32>>,
}

impl<A: Pod> Tries<A> {
    /// The tries that `map`, called `name`, holds.
    pub(super) fn new(name: &'static str, map: Map) -> Result<Self, EbpfError> {
        let outer = ArrayOfMaps::try_from(map).map_err(EbpfError::map(name))?;
        Ok(Self { name, outer })
    }

    /// Puts a new trie with `prefixes` into `slot`; the kernel returns when no packet uses the one
    /// before. Where there is nothing to put and nothing to replace, nothing happens.
    pub(super) fn fill(
        &mut self,
        slot: u32,
        prefixes: &Prefixes<A>,
        steps: &Steps,
    ) -> Result<(), EbpfError> {
        let error = EbpfError::map(self.name);
        if prefixes.is_empty() && self.open(slot)?.is_none() {
            return Ok(());
        }
        let capacity = u32::try_from(prefixes.len().max(1)).unwrap_or(u32::MAX);
        let mut trie = LpmTrie::create(capacity, NO_PREALLOC).map_err(&error)?;
        for (prefix, identity) in prefixes {
            trie.insert(prefix, *identity, 0).map_err(&error)?;
        }
        steps.take()?;
        self.outer.set(slot, &trie, 0).map_err(&error)
    }

    /// What the trie in `slot` holds.
    pub(super) fn prefixes(&self, slot: u32) -> Result<Prefixes<A>, EbpfError> {
        let Some(trie) = self.open(slot)? else { return Ok(Prefixes::new()) };
        trie.iter().collect::<Result<_, _>>().map_err(EbpfError::map(self.name))
    }

    fn open(&self, slot: u32) -> Result<Option<LpmTrie<MapData, A, u32>>, EbpfError> {
        match self.outer.get(&slot, 0) {
            Ok(trie) => Ok(Some(trie)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(EbpfError::map(self.name)(error)),
        }
    }
}
