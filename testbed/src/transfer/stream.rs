//! One stream of numbered records.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::workload::{Answer, Question, Record, Transport};

/// How long the answers to the last records may take.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// What became of a stream.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamReport {
    /// Its place among the transfer's streams.
    pub index: usize,
    /// Records sent.
    pub sent: u64,
    /// Records answered, each counted once.
    pub answered: u64,
    /// Answers that came before that of an earlier record.
    pub reordered: u64,
    /// The longest time between two answers, in microseconds.
    pub longest_gap_us: u64,
    /// Why the stream ended before it was told to.
    pub broken: Option<String>,
}

impl StreamReport {
    /// Records without an answer: a packet of each is lost, or the stream broke.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.answered)
    }
}

/// Sends a record each `tick` until told to stop, then waits for the last answers.
pub(super) async fn run(
    index: usize,
    question: Question,
    tick: Duration,
    stopped: watch::Receiver<bool>,
) -> StreamReport {
    let mut sent = 0;
    let nonce = Record::first().nonce;
    let mut answers = Answers::new(nonce);
    let result = match open(question).await {
        Ok((sender, receiver)) => {
            let sending = send_all(sender, nonce, tick, stopped, &mut sent);
            exchange(sending, receive_all(receiver, question, &mut answers)).await
        }
        Err(error) => Err(error),
    };
    StreamReport {
        index,
        sent,
        answered: answers.count,
        reordered: answers.reordered,
        longest_gap_us: u64::try_from(answers.longest_gap.as_micros()).unwrap_or(u64::MAX),
        broken: result.err().map(|error| error.to_string()),
    }
}

/// Where records go out.
enum Sender {
    Tcp(OwnedWriteHalf),
    Udp(Arc<UdpSocket>),
}

/// Where answers come in.
enum Receiver {
    Tcp(OwnedReadHalf),
    Udp(Arc<UdpSocket>),
}

async fn open(question: Question) -> io::Result<(Sender, Receiver)> {
    if question.server.transport == Transport::Udp {
        let socket = Arc::new(UdpSocket::bind(question.from).await?);
        socket.connect(question.to).await?;
        return Ok((Sender::Udp(Arc::clone(&socket)), Receiver::Udp(socket)));
    }
    let socket = match question.to.is_ipv4() {
        true => TcpSocket::new_v4()?,
        false => TcpSocket::new_v6()?,
    };
    socket.bind(question.from)?;
    socket.set_nodelay(true)?;
    let (receiver, sender) = socket.connect(question.to).await?.into_split();
    Ok((Sender::Tcp(sender), Receiver::Tcp(receiver)))
}

impl Sender {
    async fn send(&mut self, record: Record) -> io::Result<()> {
        let bytes = record.to_bytes();
        match self {
            Self::Tcp(stream) => stream.write_all(&bytes).await,
            Self::Udp(socket) => {
                // An error here is the ICMP message about an earlier record, which is lost: it
                // is counted as that when its answer does not come. This one was not sent yet.
                if socket.send(&bytes).await.is_err() {
                    socket.send(&bytes).await?;
                }
                Ok(())
            }
        }
    }
}

impl Receiver {
    /// The length of the next answer, which is in `buffer` then.
    async fn receive(&mut self, buffer: &mut [u8; 2 * Answer::LENGTH]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read_exact(&mut buffer[..Answer::LENGTH]).await,
            Self::Udp(socket) => loop {
                // Errors are about records that were sent; see above.
                if let Ok(length) = socket.recv(buffer).await {
                    return Ok(length);
                }
            },
        }
    }
}

/// Runs both ways until the sending one has ended, and then the other for the last answers.
async fn exchange(
    sending: impl Future<Output = io::Result<()>>,
    receiving: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    tokio::pin!(receiving);
    tokio::select! {
        result = &mut receiving => return result,
        result = sending => result?,
    }
    match timeout(LAST_ANSWERS, receiving).await {
        Err(_) => Ok(()),
        // The server closes after us, once it has answered everything.
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        Ok(result) => result,
    }
}

async fn send_all(
    mut sender: Sender,
    nonce: u64,
    tick: Duration,
    stopped: watch::Receiver<bool>,
    sent: &mut u64,
) -> io::Result<()> {
    let mut ticks = interval(tick);
    // A late tick is not made up for: no bursts.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // An error means that the transfer was dropped.
    while !*stopped.borrow() && stopped.has_changed().is_ok() {
        ticks.tick().await;
        sender.send(Record { nonce, sequence: *sent }).await?;
        *sent += 1;
    }
    Ok(())
}

async fn receive_all(
    mut receiver: Receiver,
    question: Question,
    answers: &mut Answers,
) -> io::Result<()> {
    let mut buffer = [0; 2 * Answer::LENGTH];
    loop {
        let length = receiver.receive(&mut buffer).await?;
        answers.take(&buffer[..length], question)?;
    }
}

/// The answers so far.
struct Answers {
    nonce: u64,
    count: u64,
    /// The sequence number that comes next when none is lost.
    next: u64,
    reordered: u64,
    last: Option<Instant>,
    longest_gap: Duration,
    /// Sequence numbers below `next` whose answers have not come.
    missing: BTreeSet<u64>,
}

impl Answers {
    fn new(nonce: u64) -> Self {
        Self {
            nonce,
            count: 0,
            next: 0,
            reordered: 0,
            last: None,
            longest_gap: Duration::ZERO,
            missing: BTreeSet::new(),
        }
    }

    /// Takes an answer in. A duplicate is ignored.
    fn take(&mut self, bytes: &[u8], question: Question) -> io::Result<()> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "an answer to another question");
        let record = Record::from_bytes(bytes).filter(|record| record.nonce == self.nonce);
        let record = record.ok_or_else(wrong)?;
        if !Answer::is(bytes, record, question.server) {
            return Err(wrong());
        }
        if record.sequence >= self.next {
            self.missing.extend(self.next..record.sequence);
            self.next = record.sequence + 1;
        } else if self.missing.remove(&record.sequence) {
            self.reordered += 1;
        } else {
            return Ok(());
        }
        self.count += 1;
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            self.longest_gap = self.longest_gap.max(now - last);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Family;
    use crate::workload::Server;

    #[test]
    fn answers_are_counted_once_each_in_any_order() {
        let server = Server { number: 1, transport: Transport::Udp, family: Family::V4, port: 53 };
        let address = "127.0.0.1:53".parse().unwrap();
        let question = Question { from: address, to: address, server };
        let answer = |sequence| Answer::bytes(&Record { nonce: 7, sequence }.to_bytes(), server);
        let mut answers = Answers::new(7);
        for sequence in [0, 1, 4, 2, 4, 2, 1] {
            answers.take(&answer(sequence), question).unwrap();
        }
        assert_eq!((answers.count, answers.reordered, answers.next), (4, 1, 5));
        assert_eq!(answers.missing.into_iter().collect::<Vec<_>>(), [3]);

        let mut answers = Answers::new(8);
        assert!(answers.take(&answer(0), question).is_err(), "another stream's nonce");
        assert_eq!(answers.count, 0);
    }
}
