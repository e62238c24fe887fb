//! The machine that figures belong to.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// What decides about figures beside the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// The kernel's release.
    pub kernel: String,
    /// What the kernel does against the processor's faults: what makes calls expensive.
    pub mitigations: String,
    /// How many processes wanted to run in the last minute.
    pub load: String,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|line| line.strip_prefix("model name"));
        let processor = model.map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
        let load = read("/proc/loadavg");
        Self {
            processor: processor.to_owned(),
            kernel: read("/proc/sys/kernel/osrelease"),
            mitigations: mitigations(Path::new("/sys/devices/system/cpu/vulnerabilities")),
            load: load.split_whitespace().next().unwrap_or("unknown").to_owned(),
        }
    }

    /// As lines of text.
    #[must_use]
    pub fn lines(&self) -> String {
        let Self { processor, kernel, mitigations, load } = self;
        format!(
            "processor    {processor}\nkernel       {kernel}\nmitigations  {mitigations}\nload         {load}\n"
        )
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// What is done against each fault, in the order of their names; faults that the processor does not
/// have are left out.
fn mitigations(folder: &Path) -> String {
    let Ok(files) = fs::read_dir(folder) else { return "unknown".to_owned() };
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
