//! What a client sends on and receives from.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use super::{Request, TrafficError};

/// A client's way to send and to receive, with the clock by which it does. Neither waits.
pub trait Line {
    /// The time since the start.
    fn now(&self) -> Duration;

    /// Sends a request; whether it went out.
    ///
    /// # Errors
    ///
    /// [`TrafficError`] when no request can be sent.
    fn send(&mut self, request: Request) -> Result<bool, TrafficError>;

    /// The next answer, if one is there.
    ///
    /// # Errors
    ///
    /// [`TrafficError`] when nothing can be received, or what came is no answer.
    fn receive(&mut self) -> Result<Option<Request>, TrafficError>;
}

/// One socket: its requests are one flow.
#[derive(Debug)]
pub struct Flow {
    socket: UdpSocket,
    begin: Instant,
}

impl Flow {
    /// Requests on a connected socket that does not block. The clock starts now.
    #[must_use]
    pub fn new(socket: UdpSocket) -> Self {
        Self { socket, begin: Instant::now() }
    }
}

impl Line for Flow {
    fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    fn send(&mut self, request: Request) -> Result<bool, TrafficError> {
        send(&self.socket, request)
    }

    fn receive(&mut self) -> Result<Option<Request>, TrafficError> {
        receive(&self.socket)
    }
}

/// Sends on a socket that does not block.
pub(super) fn send(socket: &UdpSocket, request: Request) -> Result<bool, TrafficError> {
    match socket.send(&request.to_bytes()) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(source) => Err(TrafficError::refused("send a request")(source)),
    }
}

/// Receives from a socket that does not block.
pub(super) fn receive(socket: &UdpSocket) -> Result<Option<Request>, TrafficError> {
    let mut buffer = [0; 2 * Request::LENGTH];
    match socket.recv(&mut buffer) {
        Ok(length) => match Request::from_bytes(&buffer[..length]) {
            Some(answer) => Ok(Some(answer)),
            None => {
                Err(TrafficError::Unexpected(format!("an answer of {length} bytes is no answer")))
            }
        },
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(source) => Err(TrafficError::refused("receive an answer")(source)),
    }
}
