//! Text for nft as `chain_eval` reads and walks it, against nft and the kernel themselves.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod reading;
mod walking;

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Gives a text to nft in the namespace of the calling thread; what it says if it refuses.
fn nft(text: &str) -> Result<(), String> {
    let mut nft = Command::new("nft");
    let nft = nft.args(["-f", "-"]).env("LC_ALL", "C");
    let nft = nft.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = nft.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}
