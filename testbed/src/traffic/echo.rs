//! A server that spins, on a core of its own or in the client's turns.

use std::hint::spin_loop;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Cores, Ends, Line, Request, TrafficError};

/// More than requests have; a longer datagram is cut off, and its answer is not taken for one.
const BUFFER_BYTES: usize = 64;

/// A thread on a core of its own that sends every datagram back. It ends when this is dropped.
#[derive(Debug)]
pub struct Echo {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<u64, TrafficError>>>,
}

impl Echo {
    /// Starts to answer at the server's address and port, on `core`.
    ///
    /// # Errors
    ///
    /// [`TrafficError`] when the port is taken or no thread can be started.
    pub fn start(ends: &Ends<'_>, core: usize) -> Result<Self, TrafficError> {
        let socket = ends.server_socket()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("echo".to_owned())
            .spawn(move || {
                Cores::pin(core)?;
                answer_all(&socket, &stopped)
            })
            .map_err(TrafficError::refused("start a thread"))?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Stops it; how many datagrams it has sent back.
    ///
    /// # Errors
    ///
    /// What stopped it before.
    pub fn finish(mut self) -> Result<u64, TrafficError> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(answered)) => answered,
            Some(Err(panicked)) => panic::resume_unwind(panicked),
            None => Ok(0),
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Whoever wants to know how it ended calls `finish`.
            let _ = thread.join();
        }
    }
}

/// A client's line, and perhaps a server that takes a turn each time the client looks for an answer:
/// both ends on one core, so that another core has nothing to do but what is between them.
#[derive(Debug)]
pub struct Served<L> {
    line: L,
    server: Option<UdpSocket>,
}

impl<L: Line> Served<L> {
    /// The line alone: the server is elsewhere.
    #[must_use]
    pub fn elsewhere(line: L) -> Self {
        Self { line, server: None }
    }

    /// The line with a server at the address and port of `ends`.
    ///
    /// # Errors
    ///
    /// [`TrafficError`] when the port is taken.
    pub fn here(line: L, ends: &Ends<'_>) -> Result<Self, TrafficError> {
        Ok(Self { line, server: Some(ends.server_socket()?) })
    }
}

impl<L: Line> Line for Served<L> {
    fn now(&self) -> Duration {
        self.line.now()
    }

    fn send(&mut self, request: Request) -> Result<bool, TrafficError> {
        self.line.send(request)
    }

    fn receive(&mut self) -> Result<Option<Request>, TrafficError> {
        if let Some(server) = &self.server {
            answer_next(server)?;
        }
        self.line.receive()
    }
}

fn answer_all(socket: &UdpSocket, stop: &AtomicBool) -> Result<u64, TrafficError> {
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        if answer_next(socket)? {
            answered += 1;
        } else {
            spin_loop();
        }
    }
    Ok(answered)
}

/// Sends the next datagram back, if one is there; whether one was sent back.
fn answer_next(socket: &UdpSocket) -> Result<bool, TrafficError> {
    let mut buffer = [0; BUFFER_BYTES];
    let (length, client) = match socket.recv_from(&mut buffer) {
        Ok(received) => received,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
        Err(source) => return Err(TrafficError::refused("receive a request")(source)),
    };
    match socket.send_to(&buffer[..length], client) {
        Ok(_) => Ok(true),
        // The way back is full: a lost packet, which the client notices.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(source) => Err(TrafficError::refused("send an answer")(source)),
    }
}
