//! This process is killed while a tool works for it: nothing of either stays.

use std::env;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ringfence_testbed::lab::{Contender, Family, Lab, Mismatch, Position};
use ringfence_testbed::require::{self, Tool};

use crate::scene::{case, is_running, replace_tools};

/// Tells this program that it is the one to be killed.
const VICTIM: &str = "RINGFENCE_LAB_VICTIM";

/// How long the tool would take, in seconds; no other program asks for as long.
const SLEEP: &str = "7393";

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn a_tool_does_not_outlive_a_killed_process() {
    let Some(_granted) = require::tools(&Tool::ALL) else { return };
    if env::var_os(VICTIM).is_some() {
        be_killed();
    }
    let test = "killed::a_tool_does_not_outlive_a_killed_process";
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--exact", test])
        .env(VICTIM, "1")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let is_at_work = comes(|| is_running(&["sleep", SLEEP]));
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(is_at_work, "the tool was started");
    assert!(comes(|| !is_running(&["sleep", SLEEP])), "the tool still runs");
}

/// Installs with a tool that does not end.
fn be_killed() -> ! {
    let mut lab = Lab::new().unwrap();
    replace_tools(&lab, Some(("nft", &format!("exec sleep {SLEEP}"))));
    let asked = case(Contender::Nftables, Position::First, Mismatch::Address, Family::V4);
    let installed = lab.install(asked, Duration::from_secs(60));
    panic!("it was to be killed, and not to say {installed:?}");
}

fn comes(is_so: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if is_so() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}
