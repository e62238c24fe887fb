//! A server that spins.

use std::hint::spin_loop;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::{Cores, Ends, TrafficError};

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
        self.end()
    }

    fn end(&mut self) -> Result<u64, TrafficError> {
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
        if !thread::panicking() {
            // Whoever wants to know calls `finish`.
            let _ = self.end();
        }
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn answer_all(socket: &UdpSocket, stop: &AtomicBool) -> Result<u64, TrafficError> {
    let mut buffer = [0; BUFFER_BYTES];
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        let (length, client) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                spin_loop();
                continue;
            }
            Err(source) => return Err(TrafficError::refused("receive a request")(source)),
        };
        match socket.send_to(&buffer[..length], client) {
            Ok(_) => answered += 1,
            // The way back is full: a lost packet, which the client notices.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(source) => return Err(TrafficError::refused("send an answer")(source)),
        }
    }
    Ok(answered)
}
