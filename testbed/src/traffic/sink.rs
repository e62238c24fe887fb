//! Counting what arrives, in the kernel and to the last packet.
//!
//! A socket filter takes each datagram away after everything that a receiver's kernel does for one
//! but putting it into the queue, and the kernel counts what a filter takes. So the count is exact
//! whatever the rate, nobody has to read, and each packet costs the same, which a queue that fills
//! up would not give.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::stat::fstat;
use socket2::{SockFilter, SockRef};

use super::{Ends, TrafficError};

/// `BPF_RET | BPF_K` (Linux `include/uapi/linux/bpf_common.h`): ends a filter, with the number of
/// bytes to keep.
const RETURN: u16 = 0x06;

/// Time between two looks at the count.
const PAUSE: Duration = Duration::from_millis(1);

/// A UDP socket of the server that counts.
#[derive(Debug)]
pub struct Sink {
    socket: UdpSocket,
    /// The number by which the kernel's table knows the socket.
    inode: u64,
    /// The table; it stays that of the namespace it was opened in.
    table: File,
}

impl Sink {
    /// Starts to count what arrives at the server's address and port.
    ///
    /// # Errors
    ///
    /// [`TrafficError`] when the kernel refuses, for instance because the port is taken.
    pub fn new(ends: &Ends<'_>) -> Result<Self, TrafficError> {
        let socket = ends.server_socket()?;
        SockRef::from(&socket)
            .attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])
            .map_err(TrafficError::refused("give a socket a filter"))?;
        let inode =
            fstat(socket.as_fd()).map_err(TrafficError::refused("look at a socket"))?.st_ino;
        let name = if ends.to.is_ipv4() { "udp" } else { "udp6" };
        let path = format!("/proc/thread-self/net/{name}");
        let table = ends
            .server
            .run(|| File::open(&path).map_err(TrafficError::refused(format!("open `{path}`"))))??;
        Ok(Self { socket, inode, table })
    }

    /// How many datagrams have arrived so far.
    ///
    /// # Errors
    ///
    /// [`TrafficError`] when the kernel's table cannot be read.
    pub fn arrived(&mut self) -> Result<u64, TrafficError> {
        let mut text = String::new();
        self.table
            .rewind()
            .and_then(|()| self.table.read_to_string(&mut text))
            .map_err(TrafficError::refused("read the table of sockets"))?;
        taken(&text, self.inode).ok_or_else(|| {
            TrafficError::Unexpected("the table of sockets does not have this one".to_owned())
        })
    }

    /// Waits until `count` datagrams have arrived or `patience` is over; how many have arrived then.
    ///
    /// # Errors
    ///
    /// As [`Sink::arrived`].
    pub fn wait_for(&mut self, count: u64, patience: Duration) -> Result<u64, TrafficError> {
        let begin = Instant::now();
        loop {
            let arrived = self.arrived()?;
            if arrived >= count || begin.elapsed() >= patience {
                return Ok(arrived);
            }
            sleep(PAUSE);
        }
    }

    /// Sends a datagram from the server to `client`: an answer to what came from there.
    ///
    /// # Errors
    ///
    /// [`TrafficError::Refused`].
    pub fn answer(&self, client: SocketAddr) -> Result<(), TrafficError> {
        let sent = self.socket.send_to(&[0; 18], client);
        sent.map(|_| ()).map_err(TrafficError::refused("send an answer"))
    }
}

/// What filters have taken from the socket `inode`: the last column of its line, in which the tenth
/// is the inode (Linux `Documentation/networking/proc_net_tcp.rst`, `net/ipv4/udp.c`).
fn taken(table: &str, inode: u64) -> Option<u64> {
    let mut lines = table.lines().skip(1).map(|line| line.split_whitespace());
    lines.find_map(|mut words| {
        let is_it = words.nth(9)?.parse() == Ok(inode);
        is_it.then(|| words.last()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_by_inode() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
                     7: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4321 2 000000001 5\n\
                     9: 0100007F:0036 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4322 2 000000002 17\n";
        assert_eq!(taken(table, 4322), Some(17));
        assert_eq!(taken(table, 4321), Some(5));
        assert_eq!(taken(table, 17), None);
    }
}
