//! What the kernel does against the processor's faults.

use std::fs;
use std::path::Path;

/// What is done against each fault, in the order of their names; faults that the processor does not
/// have are left out.
pub fn mitigations(folder: &Path) -> String {
    let Ok(files) = fs::read_dir(folder) else { return super::UNKNOWN.to_owned() };
    let mut found: Vec<String> = files
        .filter_map(Result::ok)
        .filter_map(|file| {
            let done = fs::read_to_string(file.path()).ok()?;
            let name = file.file_name().into_string().ok()?;
            let done = done.trim().replace("Mitigation: ", "");
            (done != "Not affected").then(|| format!("{name}: {done}"))
        })
        .collect();
    found.sort();
    if found.is_empty() { "none".to_owned() } else { found.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_that_the_processor_does_not_have_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(mitigations(folder.path()), "none");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("spectre_v2", "Mitigation: Retpolines\n");
        write("meltdown", "Not affected\n");
        write("mds", "Vulnerable\n");
        assert_eq!(mitigations(folder.path()), "mds: Vulnerable; spectre_v2: Retpolines");
        assert_eq!(mitigations(&folder.path().join("absent")), "unknown");
    }
}
