//! Programs in the kernel, run for measuring.
//!
//! Goals: (a) what is measured is the object that users load; (b) a figure stands for the work that
//! it is said to stand for; (c) figures that are compared come from the same minutes.
//!
//! Design. [`Engine`] loads the engine's object as the backend does and installs tables through it;
//! [`Controls`] loads the programs of `bench/controls`. Both are run by `BPF_PROG_TEST_RUN` on the
//! frames of [`crate::workload`], the clock being the kernel's (a). After each measurement return
//! value and counters are looked at: as many packets as were run have to have been decided, for
//! the reason that was to be measured (b). [`crate::rounds`] runs what is compared in turns, forwards and
//! backwards, and compares within each round (c).
//!
//! Not done: the cost of what surrounds the programs (driver, stack), which is measured with real
//! frames (`crate::goals`).

mod blocks;
mod bpf;
mod controls;
mod engine;
mod error;
mod instruction;
mod memory;
mod path;
mod run;
mod seat;
mod station;
mod toggled;

pub use self::bpf::memory;
pub use self::controls::{Control, Controls, Rule};
pub use self::engine::Engine;
pub use self::error::MeasureError;
pub use self::memory::{memory_of_maps, memory_with_inner};
pub use self::path::{Contents, Marked, Way};
pub use self::run::{Measured, Program, returns};
pub use self::seat::{Seat, stay_on_one_cpu};
pub use self::station::{Keys, Packets, Station, Subject, rules};
pub use self::toggled::{Toggle, Toggled, toggles};
