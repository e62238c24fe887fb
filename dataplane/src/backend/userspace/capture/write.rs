//! Writing captures.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{DataLink, PcapError};

use super::Record;

/// `if_tsresol` for nanoseconds: ten to the power of minus nine.
const NANOSECONDS: u8 = 9;

/// Writes frames with comments into a pcapng file.
pub struct Writer<W: Write> {
    file: PcapNgWriter<W>,
}

impl<W: Write> Writer<W> {
    /// Starts a file.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn new(to: W) -> io::Result<Self> {
        let mut file = PcapNgWriter::new(to).map_err(of_file)?;
        let interface = InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            // As much as there is.
            snaplen: 0,
            options: vec![InterfaceDescriptionOption::IfTsResol(NANOSECONDS)],
        };
        file.write_pcapng_block(interface).map_err(of_file)?;
        Ok(Self { file })
    }

    /// Adds a frame with its time, its length on the wire, and a comment (`opt_comment`).
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&mut self, record: &Record, comment: &str) -> io::Result<()> {
        let packet = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: Duration::from_nanos(record.time_ns),
            original_len: record.length,
            data: Cow::Borrowed(&record.bytes),
            options: vec![EnhancedPacketOption::Comment(Cow::Borrowed(comment))],
        };
        self.file.write_pcapng_block(packet).map(drop).map_err(of_file)
    }

    /// Ends the file and gives back where it went.
    ///
    /// # Errors
    ///
    /// When what waits cannot be written.
    pub fn finish(self) -> io::Result<W> {
        let mut to = self.file.into_inner();
        to.flush()?;
        Ok(to)
    }
}

fn of_file(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}
