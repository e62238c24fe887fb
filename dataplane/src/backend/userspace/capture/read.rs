//! Reading captures.

use std::io::{self, Read};

use pcap_file::pcap::{PcapReader, RawPcapPacket};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::{Block, PcapNgReader};
use pcap_file::{DataLink, PcapError, TsResolution};

const NS_PER_SECOND: u128 = 1_000_000_000;

/// A recorded frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number in the capture, from 1.
    pub number: u64,
    /// When it was recorded, in nanoseconds since 1970-01-01 UTC; 0 where the capture does not say.
    pub time_ns: u64,
    /// Bytes that it had on the wire.
    pub length: u32,
    /// The bytes that were recorded, all of them or the first.
    pub bytes: Vec<u8>,
}

/// Why a capture cannot be read, or not further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// It is no capture.
    #[error("this is neither a pcap nor a pcapng file")]
    NotACapture,
    /// The file cannot be read.
    #[error("the capture cannot be read")]
    File(#[source] io::Error),
    /// The frames are not Ethernet frames.
    #[error(
        "frame {number} was recorded with link type {link}, and only Ethernet frames can be \
         decided: record on an Ethernet interface, not on `any`"
    )]
    NotEthernet {
        /// The frame, from 1.
        number: u64,
        /// The link type's name.
        link: String,
    },
    /// The file ends within a record.
    #[error("the capture ends in the middle of a record, after {whole} whole frames")]
    Cut {
        /// Frames that were read.
        whole: u64,
    },
    /// A record makes no sense, so nobody knows where the next one starts.
    #[error("the capture is damaged after {whole} whole frames: {what}")]
    Damaged {
        /// Frames that were read.
        whole: u64,
        /// What is wrong.
        what: String,
    },
}

/// Reads the frames of a capture in their order.
pub struct Reader<R: Read> {
    file: File<Started<R>>,
    /// Frames read, those passed over among them.
    count: u64,
    /// Frames passed over, and the link type of the first.
    foreign: (u64, Option<DataLink>),
    ended: bool,
}

/// A reader whose first bytes have been looked at.
type Started<R> = io::Chain<io::Cursor<[u8; 4]>, R>;

enum File<R: Read> {
    Pcap(PcapReader<R>),
    PcapNg(PcapNgReader<R>),
}

impl<R: Read> Reader<R> {
    /// Starts reading.
    ///
    /// # Errors
    ///
    /// [`CaptureError`] when it is no capture, or one of something else than Ethernet frames.
    pub fn new(mut from: R) -> Result<Self, CaptureError> {
        let mut magic = [0; 4];
        match from.read_exact(&mut magic) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(CaptureError::NotACapture);
            }
            read => read.map_err(CaptureError::File)?,
        }
        let whole = io::Cursor::new(magic).chain(from);
        let file = match magic {
            [0x0a, 0x0d, 0x0d, 0x0a] => {
                File::PcapNg(PcapNgReader::new(whole).map_err(|error| not_started(&error))?)
            }
            [0xa1, 0xb2, 0xc3, 0xd4]
            | [0xa1, 0xb2, 0x3c, 0x4d]
            | [0xd4, 0xc3, 0xb2, 0xa1]
            | [0x4d, 0x3c, 0xb2, 0xa1] => {
                File::Pcap(PcapReader::new(whole).map_err(|error| not_started(&error))?)
            }
            _ => return Err(CaptureError::NotACapture),
        };
        if let File::Pcap(reader) = &file {
            is_ethernet(reader.header().datalink, 1)?;
        }
        Ok(Self { file, count: 0, foreign: (0, None), ended: false })
    }

    /// Frames of interfaces that are not Ethernet, in a pcapng file: they are numbered and passed
    /// over.
    #[must_use]
    pub const fn foreign(&self) -> u64 {
        self.foreign.0
    }

    /// Why none of the frames read can be decided, if there are only such as were passed over.
    #[must_use]
    pub fn only_foreign(&self) -> Option<CaptureError> {
        let link = self.foreign.1.filter(|_| self.foreign.0 == self.count)?;
        is_ethernet(link, 1).err()
    }

    fn next_record(&mut self) -> Result<Option<Record>, CaptureError> {
        let number = self.count + 1;
        let record = match &mut self.file {
            File::Pcap(reader) => {
                let resolution = reader.header().ts_resolution;
                let packet = reader.next_raw_packet().transpose();
                packet.map(|packet| packet.map(|packet| of_pcap(&packet, number, resolution)))
            }
            File::PcapNg(reader) => {
                return next_of_pcapng(reader, &mut self.count, &mut self.foreign);
            }
        };
        record.map_err(|error| broken(error, self.count))
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Record, CaptureError>;

    /// The next frame. After an error nothing more is read.
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.next_record() {
            Ok(Some(record)) => {
                self.count += 1;
                Some(Ok(record))
            }
            Ok(None) => None,
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

fn of_pcap(packet: &RawPcapPacket<'_>, number: u64, resolution: TsResolution) -> Record {
    let unit = match resolution {
        TsResolution::MicroSecond => 1_000,
        TsResolution::NanoSecond => 1,
    };
    let seconds = u64::from(packet.ts_sec) * NS_PER_SECOND as u64;
    Record {
        number,
        time_ns: seconds + u64::from(packet.ts_frac) * unit,
        // A length on the wire below what was recorded is the recorder's mistake.
        length: packet.orig_len.max(packet.incl_len),
        bytes: packet.data.to_vec(),
    }
}

/// The next packet of an Ethernet interface of a pcapng file. Other blocks are passed over; packets
/// of other interfaces are too, and counted.
fn next_of_pcapng<R: Read>(
    reader: &mut PcapNgReader<R>,
    count: &mut u64,
    foreign: &mut (u64, Option<DataLink>),
) -> Result<Option<Record>, CaptureError> {
    loop {
        let number = *count + 1;
        let block = match reader.next_block() {
            None => return Ok(None),
            Some(Err(error)) => return Err(broken(error, number - 1)),
            Some(Ok(block)) => block,
        };
        let (interface, time, length, mut bytes) = match block {
            Block::EnhancedPacket(packet) => {
                let time = Some(packet.timestamp.as_nanos());
                (packet.interface_id, time, packet.original_len, packet.data.into_owned())
            }
            Block::Packet(packet) => {
                let time = Some(u128::from(packet.timestamp));
                (packet.interface_id.into(), time, packet.original_len, packet.data.into_owned())
            }
            Block::SimplePacket(packet) => (0, None, packet.original_len, packet.data.into_owned()),
            _ => continue,
        };
        let interface = usize::try_from(interface).ok().and_then(|at| reader.interfaces().get(at));
        let Some(interface) = interface else {
            let what = format!("frame {number} is of an interface that the file does not describe");
            return Err(CaptureError::Damaged { whole: number - 1, what });
        };
        if interface.linktype != DataLink::ETHERNET {
            *count += 1;
            foreign.0 += 1;
            foreign.1.get_or_insert(interface.linktype);
            continue;
        }
        if time.is_none() {
            // A simple packet does not say how much was recorded, but the file how much at most.
            let most = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
            bytes.truncate(length.min(most) as usize);
        }
        let recorded = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let time_ns = time.map_or(0, |units| nanoseconds(units, interface));
        return Ok(Some(Record { number, time_ns, length: length.max(recorded), bytes }));
    }
}

/// Units of an interface's clock as nanoseconds since the epoch (pcapng, `if_tsresol` and
/// `if_tsoffset`).
fn nanoseconds(units: u128, interface: &InterfaceDescriptionBlock<'_>) -> u64 {
    let (mut per_second, mut offset_seconds) = (Some(1_000_000_u128), 0);
    for option in &interface.options {
        match option {
            InterfaceDescriptionOption::IfTsResol(resolution) => {
                let base: u128 = if resolution & 0x80 == 0 { 10 } else { 2 };
                per_second = base.checked_pow(u32::from(resolution & 0x7f));
            }
            InterfaceDescriptionOption::IfTsOffset(seconds) => offset_seconds = *seconds,
            _ => {}
        }
    }
    let since_start = match per_second {
        Some(per_second) => units.saturating_mul(NS_PER_SECOND) / per_second,
        // Finer than anything that 128 bits count in a second.
        None => 0,
    };
    let offset = u128::from(offset_seconds).saturating_mul(NS_PER_SECOND);
    u64::try_from(since_start.saturating_add(offset)).unwrap_or(u64::MAX)
}

fn is_ethernet(link: DataLink, number: u64) -> Result<(), CaptureError> {
    if link == DataLink::ETHERNET {
        return Ok(());
    }
    Err(CaptureError::NotEthernet { number, link: format!("{link:?}") })
}

fn not_started(error: &PcapError) -> CaptureError {
    match error {
        PcapError::IoError(_) | PcapError::IncompleteBuffer => CaptureError::Cut { whole: 0 },
        other => CaptureError::Damaged { whole: 0, what: other.to_string() },
    }
}

fn broken(error: PcapError, whole: u64) -> CaptureError {
    match error {
        PcapError::IncompleteBuffer => CaptureError::Cut { whole },
        PcapError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            CaptureError::Cut { whole }
        }
        PcapError::IoError(error) => CaptureError::File(error),
        other => CaptureError::Damaged { whole, what: other.to_string() },
    }
}
