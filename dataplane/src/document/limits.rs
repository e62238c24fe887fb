//! What a reader accepts at most, so that no input can exhaust memory, time or the stack
//! (safety P18). Each limit is checked before the work it bounds is done.

/// Bytes of one file. `kubectl get pods -A -o yaml` of a cluster with 5,000 pods is about 50 MB.
pub const FILE_BYTES: usize = 64 << 20;

/// Bytes of all files of one run together; all texts are held in memory for the diagnostics.
pub const TOTAL_BYTES: usize = 256 << 20;

/// Files of one run. Far more than anybody keeps in the directories given to `-f`.
pub const FILES: usize = 10_000;

/// Documents of one run. The maps hold 65,536 endpoints; policies and namespaces come on top.
pub const DOCUMENTS: usize = 200_000;

/// Sequences and mappings within each other. A pod with all its managed fields needs about 20;
/// reading and dropping a tree recurses this deep, so the limit also guards the stack.
pub const DEPTH: usize = 64;

/// Items of one sequence or mapping, the `items` of a list among them. A policy that needs more
/// rules than this does not fit the maps anyway.
pub const ITEMS: usize = 100_000;

/// Values in one document. A list of 10,000 pods as kubectl prints them has about 3 million, and
/// each costs some 90 bytes while the document is read.
pub const VALUES: usize = 4_000_000;

/// Values of one document that come from anchors and aliases. Manifests written by hand share a
/// few label sets; a "billion laughs" bomb reaches any limit at once.
pub const ALIASED_VALUES: usize = 50_000;

/// Diagnostics kept of one run; the others are counted. Nobody reads more, and drawing them takes
/// longer than finding them.
pub const DIAGNOSTICS: usize = 1_000;

/// Bytes of a line that is drawn in a diagnostic. Minified JSON has its whole document on one line,
/// and drawing it a thousand times would take longer than reading it.
pub const DRAWN_LINE_BYTES: usize = 10_000;

/// Comparisons of rules, peers and workloads that the warnings about tiers may take, which compare
/// pairs. What is left over is not warned about.
pub const COMPARISONS: u64 = 10_000_000;
