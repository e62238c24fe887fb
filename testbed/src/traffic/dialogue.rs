//! Dialogues: TCP connections that are opened, carry one byte each way, and are closed, one after
//! the other.
//!
//! The client closes with a reset (`SO_LINGER` of zero). An orderly end would keep each of its ports
//! waiting for a minute, and after 28,000 connections there would be none left. For whoever tracks
//! connections it means that each entry is over at once and may be taken again, instead of waiting
//! for an end that was acknowledged; the next connection has another port all the same.
//!
//! Both sides spin, on different cores: a sleeping thread's wake-up takes longer than everything
//! else. Whoever else wants a core gets it at each turn.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::tcp::{PATIENCE, dial, listen};
use super::{Cores, Ends, TrafficError};

/// What was opened and closed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dialogues {
    /// Connections on which the answer came.
    pub done: u64,
    /// How long it took.
    pub time: Duration,
}

impl Dialogues {
    /// Opens connections from the client to the server for `time`, or until there were `at_most`.
    ///
    /// # Errors
    ///
    /// [`TrafficError`] when both are to be on one core, or when a connection is refused, breaks, is
    /// answered wrongly or not within three seconds.
    pub fn run(
        ends: &Ends<'_>,
        cores: Cores,
        time: Duration,
        at_most: u64,
    ) -> Result<Self, TrafficError> {
        if cores.client == cores.server {
            return Err(TrafficError::TooFewCores { needed: 2, allowed: 1 });
        }
        let listener = listen(ends)?;
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let answering = scope.spawn(|| {
                Cores::pin(cores.server)?;
                answer_all(&listener, &is_over)
            });
            let asked = ends.client.run(|| {
                Cores::pin(cores.client)?;
                ask_all(ends, time, at_most)
            });
            is_over.store(true, Ordering::Relaxed);
            let answered =
                answering.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let (asked, answered) = (asked??, answered?);
            if answered != asked.done {
                let why = format!("{answered} connections were answered, of {}", asked.done);
                return Err(TrafficError::Unexpected(why));
            }
            Ok(asked)
        })
    }

    /// Connections a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.done as f64 / self.time.as_secs_f64()
    }
}

fn ask_all(ends: &Ends<'_>, time: Duration, at_most: u64) -> Result<Dialogues, TrafficError> {
    let begin = Instant::now();
    let mut done = 0;
    while done < at_most && begin.elapsed() < time {
        let word = done as u8;
        let answer = ask(ends, word).map_err(TrafficError::refused(format!(
            "open connection {} to {} from {}",
            done + 1,
            ends.to,
            ends.from
        )))?;
        if answer != !word {
            let why = format!("the server answered {answer} to {word}");
            return Err(TrafficError::Unexpected(why));
        }
        done += 1;
    }
    Ok(Dialogues { done, time: begin.elapsed() })
}

/// One connection; what was answered to `word`.
fn ask(ends: &Ends<'_>, word: u8) -> io::Result<u8> {
    let mut stream = dial(ends)?;
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    stream.set_nonblocking(true)?;
    stream.write_all(&[word])?;
    let mut answer = [0];
    match spin(|| stream.read(&mut answer), || false)? {
        Some(1) => Ok(answer[0]),
        _ => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// Answers until it is over; how many connections.
fn answer_all(listener: &TcpListener, is_over: &AtomicBool) -> Result<u64, TrafficError> {
    let mut answered = 0;
    loop {
        // Between two connections the client may take as long as it likes.
        let next = loop {
            let next = spin(|| listener.accept(), || is_over.load(Ordering::Relaxed));
            if !matches!(&next, Err(error) if error.kind() == ErrorKind::TimedOut) {
                break next;
            }
        };
        let next = next.map_err(TrafficError::refused("accept a connection"))?;
        let Some((stream, _)) = next else { return Ok(answered) };
        answer(stream).map_err(TrafficError::refused("answer on a connection"))?;
        answered += 1;
    }
}

/// Answers one connection and waits for its end.
fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let mut word = [0];
    if spin(|| stream.read(&mut word), || false)? != Some(1) {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    stream.write_all(&[!word[0]])?;
    match spin(|| stream.read(&mut word), || false) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other("the client did not end it by a reset")),
    }
}

/// Tries again and again until something comes, or `is_over`, or patience is.
fn spin<T>(
    mut try_it: impl FnMut() -> io::Result<T>,
    is_over: impl Fn() -> bool,
) -> io::Result<Option<T>> {
    let begin = Instant::now();
    loop {
        match try_it() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            result => return result.map(Some),
        }
        if is_over() {
            return Ok(None);
        }
        if begin.elapsed() > PATIENCE {
            return Err(ErrorKind::TimedOut.into());
        }
        // A filter in user space needs a core too.
        thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::require;
    use crate::traffic::wire::Wire;

    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn connections_are_counted_and_leave_nothing_behind() {
        let Some(_granted) = require::privileged() else { return };
        let (wire, cores) = (Wire::new(), Cores::two().unwrap());
        for is_v4 in [true, false] {
            // More than a byte counts.
            let dialogues = Dialogues::run(&wire.ends(is_v4), cores, LONG, 300).unwrap();
            assert_eq!(dialogues.done, 300);
            let done = dialogues.per_second() * dialogues.time.as_secs_f64();
            assert!((done - 300.0).abs() < 1e-6, "{dialogues:?}");
        }
        for end in [&wire.near, &wire.far] {
            let read = || std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
            // The line of names is all there is: no port waits.
            let sockets = end.run(read).unwrap();
            assert_eq!(sockets.lines().count(), 1, "{sockets}");
        }
    }

    #[test]
    fn it_takes_two_cores_and_ends_with_its_time() {
        let Some(_granted) = require::privileged() else { return };
        let (wire, cores) = (Wire::new(), Cores::two().unwrap());
        let one = Cores { client: cores.server, ..cores };
        let run = Dialogues::run(&wire.ends(true), one, LONG, 1);
        assert!(matches!(run, Err(TrafficError::TooFewCores { .. })), "{run:?}");
        let time = Duration::from_millis(20);
        let dialogues = Dialogues::run(&wire.ends(true), cores, time, u64::MAX).unwrap();
        assert!(dialogues.done > 0 && dialogues.time >= time, "{dialogues:?}");
    }

    #[test]
    fn an_orderly_end_is_noticed() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        client.write_all(&[7]).unwrap();
        let answering = thread::spawn(move || answer(server));
        let mut word = [0];
        client.read_exact(&mut word).unwrap();
        assert_eq!(word, [!7]);
        drop(client);
        let error = answering.join().unwrap().unwrap_err();
        assert!(error.to_string().contains("reset"), "{error}");
    }
}
