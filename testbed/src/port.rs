//! Ports that were in use a moment ago.
//!
//! A socket is closed when its last descriptor is. A thread that starts a child copies all of this
//! process's descriptors into it, and the copies live until the child executes its program
//! (`O_CLOEXEC`): so a port can be in use for a moment after its socket was dropped here.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a child may take to execute its program on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

const PAUSE: Duration = Duration::from_millis(5);

/// A UDP socket at `address`, as soon as nobody else has it.
///
/// # Errors
///
/// What the kernel says: after some seconds also that the address is in use.
pub fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    patiently(|| UdpSocket::bind(address))
}

/// A TCP socket that listens at `address`, as soon as nobody else has it.
///
/// # Errors
///
/// As [`udp`].
pub fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    patiently(|| TcpListener::bind(address))
}

fn patiently<T>(bind: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let begin = Instant::now();
    loop {
        match bind() {
            Err(error) if error.kind() == ErrorKind::AddrInUse && begin.elapsed() < PATIENCE => {
                sleep(PAUSE);
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::thread;

    use super::*;

    #[test]
    fn a_port_is_waited_for_while_somebody_has_it() {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        // As in a child that has not executed its program yet.
        let copy = socket.try_clone().unwrap();
        drop(socket);
        assert_eq!(UdpSocket::bind(address).unwrap_err().kind(), ErrorKind::AddrInUse);
        let child = thread::spawn(move || {
            sleep(10 * PAUSE);
            drop(copy);
        });
        assert_eq!(udp(address).unwrap().local_addr().unwrap(), address);
        child.join().unwrap();
    }
}
