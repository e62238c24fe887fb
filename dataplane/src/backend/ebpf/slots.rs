//! Tables in two slots: filling one, switching, and reading back.

use aya::Pod;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{ArrayOfMaps, HashMap, Map, MapData, MapError};

use super::EbpfError;

/// `BPF_F_NO_PREALLOC`: the kernel allocates entries when they come.
const NO_PREALLOC: u32 = 1;

/// Entries that an inner map has room for at least, so that small changes fit.
const SMALLEST: usize = 256;

/// Keys and values of an inner map.
pub(super) type Entries<M> = Vec<(<M as Inner>::Key, <M as Inner>::Value)>;

/// One kind of inner map: keys to values, one entry at a time.
pub(super) trait Inner: Sized {
    /// Its keys.
    type Key: Copy;
    /// Its values.
    type Value: Copy;

    /// An empty one with room for `capacity` entries.
    fn create(capacity: u32) -> Result<Self, MapError>;
    /// The one in `slot` of `outer`.
    fn open(outer: &ArrayOfMaps<MapData, Self>, slot: u32) -> Result<Option<Self>, MapError>;
    /// Puts it into `slot` of `outer`. The kernel returns when no packet uses the one before.
    fn install(&self, outer: &mut ArrayOfMaps<MapData, Self>, slot: u32) -> Result<(), MapError>;
    /// Adds or changes an entry.
    fn put(&mut self, key: &Self::Key, value: &Self::Value) -> Result<(), MapError>;
    /// All entries, in no order.
    fn entries(&self) -> Result<Entries<Self>, MapError>;
}

macro_rules! inner_of_maps {
    () => {
        fn open(outer: &ArrayOfMaps<MapData, Self>, slot: u32) -> Result<Option<Self>, MapError> {
            match outer.get(&slot, 0) {
                Ok(inner) => Ok(Some(inner)),
                Err(MapError::KeyNotFound) => Ok(None),
                Err(MapError::SyscallError(error))
                    if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
                {
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        }

        fn install(
            &self,
            outer: &mut ArrayOfMaps<MapData, Self>,
            slot: u32,
        ) -> Result<(), MapError> {
            outer.set(slot, self, 0)
        }

        fn entries(&self) -> Result<Entries<Self>, MapError> {
            self.iter().collect()
        }
    };
}

impl<K: Pod, V: Pod> Inner for HashMap<MapData, K, V> {
    type Key = K;
    type Value = V;

    fn create(capacity: u32) -> Result<Self, MapError> {
        HashMap::create(capacity, NO_PREALLOC)
    }

    fn put(&mut self, key: &K, value: &V) -> Result<(), MapError> {
        self.insert(*key, *value, 0)
    }

    inner_of_maps!();
}

impl<K: Pod, V: Pod> Inner for LpmTrie<MapData, K, V> {
    type Key = Key<K>;
    type Value = V;

    fn create(capacity: u32) -> Result<Self, MapError> {
        LpmTrie::create(capacity, NO_PREALLOC)
    }

    fn put(&mut self, key: &Key<K>, value: &V) -> Result<(), MapError> {
        self.insert(key, *value, 0)
    }

    inner_of_maps!();
}

/// A table with two slots.
pub(super) struct Slots<M> {
    name: &'static str,
    outer: ArrayOfMaps<MapData, M>,
}

impl<M: Inner> Slots<M>
where
    ArrayOfMaps<MapData, M>: TryFrom<Map, Error = MapError>,
{
    /// The table that `map`, called `name`, is.
    pub(super) fn new(name: &'static str, map: Map) -> Result<Self, EbpfError> {
        let outer = ArrayOfMaps::try_from(map).map_err(EbpfError::map(name))?;
        Ok(Self { name, outer })
    }
}

impl<M: Inner> Slots<M> {
    /// Puts a new inner map with `entries` into `slot`.
    pub(super) fn fill(
        &mut self,
        slot: u32,
        entries: &[(M::Key, M::Value)],
        limit: u32,
    ) -> Result<(), EbpfError> {
        let error = EbpfError::map(self.name);
        let capacity = entries.len().max(SMALLEST).saturating_mul(2).min(limit as usize);
        let capacity = capacity.max(entries.len()).max(1);
        let mut inner = M::create(u32::try_from(capacity).unwrap_or(u32::MAX)).map_err(&error)?;
        for (key, value) in entries {
            inner.put(key, value).map_err(&error)?;
        }
        inner.install(&mut self.outer, slot).map_err(&error)
    }

    /// The inner map in `slot`, for changes of single entries.
    pub(super) fn open(&self, slot: u32) -> Result<Option<M>, EbpfError> {
        M::open(&self.outer, slot).map_err(EbpfError::map(self.name))
    }

    /// All entries in `slot`.
    pub(super) fn entries(&self, slot: u32) -> Result<Entries<M>, EbpfError> {
        let Some(inner) = self.open(slot)? else { return Ok(Vec::new()) };
        inner.entries().map_err(EbpfError::map(self.name))
    }

    /// Puts the inner map of `slot` there once more, which waits until every packet that might
    /// have met an earlier state of it is through (`maybe_wait_bpf_programs`, kernel/bpf/syscall.c).
    pub(super) fn wait(&mut self, slot: u32) -> Result<(), EbpfError> {
        match self.open(slot)? {
            Some(inner) => inner.install(&mut self.outer, slot).map_err(EbpfError::map(self.name)),
            None => Ok(()),
        }
    }
}
