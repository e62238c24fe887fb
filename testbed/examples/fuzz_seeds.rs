//! `cargo run --package ringfence-testbed --example fuzz_seeds -- FOLDER`: writes the inputs that
//! fuzzing begins with to `FOLDER/TARGET/NAME`.

use std::path::PathBuf;
use std::{env, fs, io};

use ringfence_testbed::fuzz::seeds;

fn main() -> io::Result<()> {
    let folder = env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| io::Error::other("say in which folder"))?;
    let seeds = seeds();
    for seed in &seeds {
        let target = folder.join(seed.target);
        fs::create_dir_all(&target)?;
        fs::write(target.join(&seed.name), &seed.bytes)?;
    }
    println!("{} seeds are in {}", seeds.len(), folder.display());
    Ok(())
}
