//! One question to one server, and whether an answer came.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::record::{Answer, Record, Server};
use super::{Process, Transport};
use crate::connectivity::Probe;
use crate::port;

/// Whom to ask.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// The asker's address, and its port; port 0 leaves that to the kernel.
    pub from: SocketAddr,
    /// The server's address and port.
    pub to: SocketAddr,
    /// Who must answer.
    pub server: Server,
}

impl Question {
    /// The question that `probe` stands for among `processes`.
    ///
    /// # Panics
    ///
    /// When one of the two has no address of the probe's family.
    #[must_use]
    pub fn new(processes: &[Process], probe: Probe) -> Self {
        let Probe { source, destination, port, transport, family } = probe;
        let destination = &processes[destination];
        let address = |process: &Process| {
            process.place().address(family).expect("both ends of a probe have its family")
        };
        Self {
            from: SocketAddr::new(address(&processes[source]), 0),
            to: SocketAddr::new(address(destination), port),
            server: destination.server(transport, family, port),
        }
    }
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The right server gave the right answer.
    Answered,
    /// No answer, however often it was asked.
    Silent,
    /// The connection was refused or reset.
    Refused,
    /// A router on the way said that the server cannot be reached.
    Unreachable,
    /// An answer came, but to another question or from another server.
    Garbled,
    /// The asker itself could not ask: the error number (errno) of its own host.
    Failed(i32),
}

impl Outcome {
    /// Whether the network lets the flow through; `None` where the outcome cannot tell.
    #[must_use]
    pub fn allowed(self) -> Option<bool> {
        match self {
            Self::Answered => Some(true),
            Self::Silent | Self::Refused | Self::Unreachable => Some(false),
            Self::Garbled | Self::Failed(_) => None,
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answered => f.write_str("answered"),
            Self::Silent => f.write_str("no answer"),
            Self::Refused => f.write_str("refused"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Garbled => f.write_str("wrong answer"),
            Self::Failed(errno) => write!(f, "not asked: {}", Errno::from_raw(*errno).desc()),
        }
    }
}

/// Asks with `patience`, as [`persist`] does.
///
/// Each wait should be below one second: then the kernel never repeats a SYN itself.
pub async fn ask(question: Question, patience: &[Duration]) -> Outcome {
    persist(|| ask_once(question), patience).await
}

/// Asks, and waits for the answer for ever.
///
/// # Errors
///
/// Those of the asker's sockets.
pub async fn ask_once(question: Question) -> io::Result<Outcome> {
    match question.server.transport {
        Transport::Tcp => over_tcp(question).await,
        Transport::Udp => over_udp(question).await,
    }
}

/// Asks `once` for each duration of `patience`, anew each time, and waits that long for the
/// answer. An answer ends it; anything else is asked again, so that a lost or late answer is not
/// taken for a denial.
pub async fn persist<A>(once: impl Fn() -> A, patience: &[Duration]) -> Outcome
where
    A: Future<Output = io::Result<Outcome>>,
{
    let mut last = Outcome::Silent;
    for wait in patience {
        let deadline = Instant::now() + *wait;
        last = match timeout_at(deadline, once()).await {
            Err(_) => Outcome::Silent,
            Ok(Ok(outcome @ (Outcome::Answered | Outcome::Garbled))) => return outcome,
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => classify(&error),
        };
        sleep_until(deadline).await;
    }
    last
}

async fn over_tcp(question: Question) -> io::Result<Outcome> {
    let socket = match question.to {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A port of the asker's own choice may be that of a connection that has just ended.
    socket.set_reuseaddr(true)?;
    socket.bind(question.from)?;
    let mut stream = socket.connect(question.to).await?;
    let record = Record::first();
    stream.write_all(&record.to_bytes()).await?;
    let mut answer = [0; Answer::LENGTH];
    stream.read_exact(&mut answer).await?;
    Ok(judge(&answer, record, question.server))
}

async fn over_udp(question: Question) -> io::Result<Outcome> {
    let socket = port::udp(question.from)?;
    socket.set_nonblocking(true)?;
    let socket = UdpSocket::from_std(socket)?;
    socket.connect(question.to).await?;
    let record = Record::first();
    socket.send(&record.to_bytes()).await?;
    let mut answer = [0; 2 * Answer::LENGTH];
    let length = socket.recv(&mut answer).await?;
    Ok(judge(&answer[..length], record, question.server))
}

fn judge(answer: &[u8], record: Record, server: Server) -> Outcome {
    if Answer::is(answer, record, server) { Outcome::Answered } else { Outcome::Garbled }
}

/// What an error of a socket says about the network; errors of the asker's own host are kept.
fn classify(error: &io::Error) -> Outcome {
    let errno = error.raw_os_error().unwrap_or(0);
    match Errno::from_raw(errno) {
        Errno::ECONNREFUSED | Errno::ECONNRESET | Errno::EPIPE => Outcome::Refused,
        Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::EACCES => Outcome::Unreachable,
        Errno::ETIMEDOUT => Outcome::Silent,
        _ if error.kind() == io::ErrorKind::UnexpectedEof => Outcome::Refused,
        _ => Outcome::Failed(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_asker_is_never_a_denial() {
        for (errno, allowed) in [
            (Errno::ECONNREFUSED, Some(false)),
            (Errno::EHOSTUNREACH, Some(false)),
            (Errno::EMFILE, None),
            (Errno::EADDRNOTAVAIL, None),
            (Errno::EPERM, None),
        ] {
            let outcome = classify(&io::Error::from_raw_os_error(errno as i32));
            assert_eq!(outcome.allowed(), allowed, "{errno}: {outcome}");
        }
    }
}
