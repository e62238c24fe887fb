//! The filter between interfaces: a bump in the wire, for hosts where eBPF may not be loaded.
//!
//! # Goals
//!
//! 1. What may pass leaves as it came: unfinished checksums, segmentation, VLAN tags, order within
//!    a flow.
//! 2. What may not pass does not, whatever happens to this process: nothing but this process
//!    carries frames from one end to the other, so when it is gone, nothing passes.
//! 3. Nothing stays behind: whatever ends the process, its sockets close, and with them ends what
//!    they asked of the interfaces.
//! 4. Policy is replaced as a whole while frames pass.
//!
//! # Design
//!
//! A [`Wire`] has an inner end, with workloads behind it, and an outer end. Each thread has a
//! packet socket on each end of each wire; the kernel deals frames out to the threads by flow, so
//! that those of a flow stay in their order (goal 1). All threads share one memory, because
//! replies and ICMP errors may reach another thread than what they belong to.
//!
//! What the inner end sends is decided as at tc ingress of a workload's interface. What comes from
//! outside is decided where it arrives (well-formed, not with a workload's address) and where it
//! leaves, as at tc egress of a workload's interface. `tables` says what that makes of the host.
//!
//! Not done here: looking whether the kernel itself forwards between the ends, past this process
//! (the caller does, [`crate::enforce::wires()`]); forwarding what the kernel cannot hand over, for
//! instance segmented SCTP, which is counted; finishing SCTP's checksum where the sender's host left
//! that to its interface: such a packet is counted and does not pass.

mod batch;
mod counters;
mod offload;
mod socket;
mod tables;
mod worker;

use std::collections::BTreeSet;
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use ringfence_common::abi::config::Config;

pub use self::counters::{NotSent, Way, WayCounters};

use self::worker::{Tallies, Worker};
use super::SharedFilter;
use crate::backend::{Mode, Settings, clock};
use crate::compile::Tables;

/// Locks of the memory for each thread: enough that two threads seldom want the same one.
const SHARDS_PER_THREAD: usize = 16;

/// Locks at most: each has its part of the memory, and a part has to hold enough that all together
/// are full before one evicts.
const SHARDS: usize = 64;

/// An interface at one end of a wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
}

/// Two interfaces with the filter between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// The end with the workloads behind it.
    pub inside: Port,
    /// The other end.
    pub outside: Port,
    /// Endpoint numbers of the workloads behind the inner end.
    pub endpoints: BTreeSet<u32>,
}

/// How the filter is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether denials are denied.
    pub mode: Mode,
    /// Everything else that can be chosen.
    pub settings: Settings,
    /// Threads.
    pub threads: NonZeroUsize,
}

/// What became of the frames of one wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireCounters {
    /// The name of the inner end.
    pub inside: String,
    /// The name of the outer end.
    pub outside: String,
    /// By [`Way`], in the order of [`Way::ALL`].
    pub ways: [WayCounters; 2],
}

/// Why the filter cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// This process may not open packet sockets.
    #[error(
        "reading frames of `{interface}` needs root, or the capability CAP_NET_RAW: run it with \
         `sudo`, or give it to the service that runs it"
    )]
    NotPermitted {
        /// The interface.
        interface: String,
    },
    /// A packet socket cannot be had.
    #[error("no packet socket can be opened on interface `{interface}`")]
    Open {
        /// The interface.
        interface: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The interface does not do what it is asked for.
    #[error("frames of interface `{interface}` cannot be dealt out to several threads")]
    Interface {
        /// The interface.
        interface: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The interface was taken away.
    #[error("interface `{interface}` is gone; nothing passes any more")]
    Gone {
        /// Its name.
        interface: String,
    },
    /// No thread can be started.
    #[error("no thread can be started")]
    Thread(#[source] io::Error),
    /// A thread has ended without an error of its own: a mistake of this program.
    #[error("a thread of the filter has died; nothing that it carried passes any more")]
    Died,
    /// Waiting for frames, or reading the clock.
    #[error("the kernel refuses to wait for frames")]
    Wait(#[source] io::Error),
    /// The wires of a new policy are not those that run.
    #[error("the new policy is for other interfaces than those that the filter runs between")]
    OtherWires,
}

impl LiveError {
    fn open(port: &Port, source: io::Error) -> Self {
        let interface = port.name.clone();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::NotPermitted { interface },
            _ => Self::Open { interface, source },
        }
    }
}

/// A filter that runs. Dropping it stops it.
pub struct Running {
    wires: Arc<[Wire]>,
    filter: Arc<SharedFilter>,
    options: Options,
    config: Config,
    tallies: Vec<Tallies>,
    threads: Vec<JoinHandle<()>>,
    /// Closing it stops the threads.
    stop: Option<UnixStream>,
    failure: Arc<Mutex<Option<LiveError>>>,
}

/// Starts filtering between the ends of `wires`, in the network namespace of the calling thread.
/// When this returns, every frame that arrives is decided by `tables`.
///
/// # Errors
///
/// [`LiveError`]; nothing runs then.
pub fn start(wires: Vec<Wire>, tables: &Tables, options: Options) -> Result<Running, LiveError> {
    let now = clock::now().map_err(|source| LiveError::Wait(source.into()))?;
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let installed_at = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
    let config = options.settings.config(options.mode, 1, now, installed_at);
    let threads = options.threads.get();
    let sets = tables::tables(&wires, tables, config);
    let filter = Arc::new(SharedFilter::new(&sets, (threads * SHARDS_PER_THREAD).min(SHARDS)));
    let (stop, stopped) = UnixStream::pair().map_err(LiveError::Thread)?;
    let mut running = Running {
        wires: wires.into(),
        filter,
        options,
        config,
        tallies: Vec::new(),
        threads: Vec::new(),
        stop: Some(stop),
        failure: Arc::default(),
    };
    for worker in running.workers(&stopped)? {
        running.start_thread(worker)?;
    }
    Ok(running)
}

impl Running {
    /// One worker for each thread, with its sockets.
    fn workers(&mut self, stopped: &UnixStream) -> Result<Vec<Worker>, LiveError> {
        let count = self.options.threads.get();
        let mut workers = Vec::with_capacity(count);
        for _ in 0..count {
            workers.push(Worker {
                wires: Arc::clone(&self.wires),
                sockets: Vec::with_capacity(self.wires.len()),
                filter: Arc::clone(&self.filter),
                tallies: Arc::new(Mutex::new(
                    self.wires.iter().map(|_| Default::default()).collect(),
                )),
                stop: stopped.try_clone().map_err(LiveError::Thread)?,
            });
        }
        for wire in self.wires.iter() {
            let inside = socket::open(&wire.inside, count)?;
            let outside = socket::open(&wire.outside, count)?;
            for (worker, ends) in workers.iter_mut().zip(inside.into_iter().zip(outside)) {
                worker.sockets.push(ends.into());
            }
        }
        self.tallies = workers.iter().map(|worker| Arc::clone(&worker.tallies)).collect();
        Ok(workers)
    }

    fn start_thread(&mut self, worker: Worker) -> Result<(), LiveError> {
        let failure = Arc::clone(&self.failure);
        let thread = thread::Builder::new().name("filter".into()).spawn(move || {
            if let Err(error) = worker.run() {
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        });
        self.threads.push(thread.map_err(LiveError::Thread)?);
        Ok(())
    }

    /// Replaces policy: the tables, and the workloads behind the wires. Flows stay; each frame is
    /// decided by the old tables or by the new ones. What `wires` says of interfaces has to be
    /// what [`start`] was told. Gives the number of the new generation.
    ///
    /// # Errors
    ///
    /// [`LiveError::OtherWires`]; the old policy counts on then.
    pub fn replace(&mut self, wires: &[Wire], tables: &Tables) -> Result<u32, LiveError> {
        let ports = |wires: &[Wire]| -> Vec<(Port, Port)> {
            wires.iter().map(|wire| (wire.inside.clone(), wire.outside.clone())).collect()
        };
        if ports(wires) != ports(&self.wires) {
            return Err(LiveError::OtherWires);
        }
        self.config.generation = self.config.generation.wrapping_add(1).max(1);
        self.filter.install(&tables::tables(wires, tables, self.config));
        Ok(self.config.generation)
    }

    /// What became of the frames so far. What the kernel has lost is counted when the filter
    /// stops.
    #[must_use]
    pub fn counters(&self) -> Vec<WireCounters> {
        let mut counters: Vec<WireCounters> = self.wires.iter().map(WireCounters::of).collect();
        for tallies in &self.tallies {
            let tallies = tallies.lock().unwrap_or_else(PoisonError::into_inner);
            for (ways, sum) in tallies.iter().zip(&mut counters) {
                for (tally, sum) in ways.iter().zip(&mut sum.ways) {
                    tally.add_to(sum);
                }
            }
        }
        counters
    }

    /// Flows remembered.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.filter.flows()
    }

    /// Whether every thread runs. Where one does not, [`Running::stop`] says why.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Stops: no frame passes any more when this returns, and the interfaces are as before. Gives
    /// what became of the frames, and why a thread had stopped before if one had.
    ///
    /// # Errors
    ///
    /// The second of the two, beside the counters, which are whole all the same.
    pub fn stop(mut self) -> (Vec<WireCounters>, Result<(), LiveError>) {
        self.end();
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        (self.counters(), failure.map_or(Ok(()), Err))
    }

    fn end(&mut self) {
        drop(self.stop.take());
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                // The panic has been printed; a filter without one of its threads is no filter.
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert(LiveError::Died);
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

impl WireCounters {
    fn of(wire: &Wire) -> Self {
        Self {
            inside: wire.inside.name.clone(),
            outside: wire.outside.name.clone(),
            ways: Default::default(),
        }
    }
}
