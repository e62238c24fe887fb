//! What maps take.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aya::maps::{ArrayOfMaps, Map, MapData, MapError, MapType};

use super::{MeasureError, memory};

/// The memory that a map takes, in bytes, as the kernel reckons it, that of maps in it among it.
///
/// # Errors
///
/// [`MeasureError`] when the kernel does not tell.
pub fn memory_with_inner(name: &str, data: MapData) -> Result<u64, MeasureError> {
    let refused = || MeasureError::refused(format!("ask for the memory of `{name}`"));
    let info = data.info().map_err(refused())?;
    let own = memory(data.fd())?;
    if info.map_type().map_err(refused())? != MapType::ArrayOfMaps {
        return Ok(own);
    }
    Ok(own + inner(name, data)?)
}

/// Memory of the maps in an array of maps.
fn inner(name: &str, data: MapData) -> Result<u64, MeasureError> {
    let refused = || MeasureError::refused(format!("open the maps in `{name}`"));
    let map = Map::from_map_data(data).map_err(refused())?;
    let outer: ArrayOfMaps<MapData> = map.try_into().map_err(refused())?;
    let mut bytes = 0;
    for index in 0..outer.len() {
        match outer.get(&index, 0) {
            Ok(inner) => bytes += memory(inner.fd())?,
            Err(MapError::KeyNotFound) => {}
            // Nothing is there.
            Err(MapError::SyscallError(error))
                if error.io_error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(refused()(error)),
        }
    }
    Ok(bytes)
}

/// The memory of all maps that are pinned in a folder, by their names.
///
/// # Errors
///
/// [`MeasureError`] when one cannot be opened.
pub fn memory_of_maps(folder: &Path) -> Result<BTreeMap<String, u64>, MeasureError> {
    let refused = || MeasureError::refused(format!("read `{}`", folder.display()));
    let mut maps = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(refused())? {
        let entry = entry.map_err(refused())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let refused = MeasureError::refused(format!("open the map `{name}`"));
        let data = MapData::from_pin(entry.path()).map_err(refused)?;
        let bytes = memory_with_inner(&name, data)?;
        maps.insert(name, bytes);
    }
    Ok(maps)
}
