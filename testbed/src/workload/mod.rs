//! What runs in a place: servers on every port of the testbed, and the clients that ask them.
//!
//! One thread per place, in the place's namespace, with a runtime of its own. Every place listens
//! on every port, over TCP and UDP and with both families, so that a question without an answer
//! is the network's doing and not a server's.

mod ask;
mod record;
mod server;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

pub use ask::{Outcome, Question, ask, ask_once, persist};
pub use record::{Answer, Record, Server};

use crate::netns::NamespaceError;
use crate::topology::{Family, Place, Topology};

/// A transport protocol that the testbed's servers speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum Transport {
    /// Transmission Control Protocol.
    #[serde(rename = "TCP")]
    Tcp,
    /// User Datagram Protocol.
    #[serde(rename = "UDP")]
    Udp,
}

impl Transport {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Udp];

    /// The IP protocol number (IANA).
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// Why what runs in a place could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkloadError {
    /// Its namespace cannot be entered.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A server cannot listen.
    #[error("`{place}` cannot listen on {transport} {address}")]
    Listen {
        /// The place.
        place: String,
        /// The protocol.
        transport: Transport,
        /// Address and port.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The runtime cannot be made.
    #[error("the runtime of `{place}` does not start")]
    Runtime {
        /// The place.
        place: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The thread ended before its servers listened.
    #[error("the thread of `{0}` ended")]
    Ended(String),
}

/// The servers and clients of one place. They end when this is dropped.
#[derive(Debug)]
pub struct Process {
    place: Place,
    number: u32,
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), NamespaceError>>>,
}

/// Starts what runs in every place of `topology`; the numbers are those of
/// [`Topology::places`].
///
/// # Errors
///
/// [`WorkloadError`] of the first place that does not start; the others have ended then.
pub fn start_all(topology: &Topology, ports: &[u16]) -> Result<Vec<Process>, WorkloadError> {
    (0..)
        .zip(topology.places())
        .map(|(number, place)| Process::start(place, number, ports))
        .collect()
}

impl Process {
    /// Starts servers on `ports` in `place`; they answer in the name of `number`.
    ///
    /// # Errors
    ///
    /// [`WorkloadError`]; nothing runs then.
    pub fn start(place: &Place, number: u32, ports: &[u16]) -> Result<Self, WorkloadError> {
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = mpsc::channel();
        let listeners = server::listeners(place, number, ports);
        let name = place.name.clone();
        let thread = place.namespace.spawn(&place.name, move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(source) => {
                    let _ = ready.send(Err(WorkloadError::Runtime { place: name, source }));
                    return;
                }
            };
            runtime.block_on(async move {
                let started = server::listen_all(&name, listeners).await;
                let failed = started.is_err();
                // Nobody waits any more when the receiver is gone; `stopped` says so too.
                let _ = ready.send(started.map(|()| Handle::current()));
                if !failed {
                    let _ = stopped.await;
                }
            });
        })?;
        let runtime = started.recv().map_err(|_| WorkloadError::Ended(place.name.clone()))??;
        let thread = Some(thread);
        Ok(Self { place: place.clone(), number, runtime, stop: Some(stop), thread })
    }

    /// Where it runs.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The server that must answer at `port` here.
    #[must_use]
    pub fn server(&self, transport: Transport, family: Family, port: u16) -> Server {
        Server { number: self.number, transport, family, port }
    }

    /// Starts a task in the place: the sockets it opens are the place's.
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime.spawn(task)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either end may be gone already: the thread has ended then, which is what is wanted.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
