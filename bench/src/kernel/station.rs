//! What is compared: the engine and the controls with the same policy.

use std::net::IpAddr;

use ringfence_common::abi::policy::protocol;
use ringfence_common::verdict::Reason;
use ringfence_controls::{DRAWN, verdict};
use ringfence_dataplane::backend::Desired;

use super::controls::Rule;
use super::run::Measured;
use super::{Control, Controls, Engine, MeasureError, Seat, returns};
use crate::workload::{Crowd, Place};

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Nobody: everything passes.
    Empty,
    /// The engine.
    Engine,
    /// The control with two hash maps.
    TwoHashes,
    /// The control with three tries.
    ThreeTries,
}

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Packets {
    /// First packets, which leave nothing behind if they are denied.
    First,
    /// Packets of connections that were opened before.
    Established,
}

/// How packets differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keys {
    /// Not at all: one peer over and over.
    Hot,
    /// Each is of the next of many peers, in no order.
    Random,
    /// The same, of addresses that are no peers.
    Strangers,
    /// Each is from the next port of one peer: a connection of its own.
    Ports,
}

/// The engine and the controls, each with a policy of the same entries.
pub struct Station {
    ifindex: u32,
    place: Place,
    peers: Crowd,
    engine: Engine,
    controls: Controls,
}

/// Seed of the order of the keys.
const SEED: u64 = 5;

impl Station {
    /// Loads the engine and the controls and gives them the policy of `peers`. The controls know
    /// IPv4 only; with peers of IPv6 their tables stay empty.
    ///
    /// # Errors
    ///
    /// [`MeasureError`] when the kernel refuses.
    pub fn new(seat: &Seat, place: Place, peers: Crowd) -> Result<Self, MeasureError> {
        let mut engine = Engine::load(&[place.inbound(), place.outbound()])?;
        engine.install(&peers.desired(seat.ifindex()))?;
        let entries = u32::try_from(peers.entries()).unwrap_or(u32::MAX);
        let mut controls = Controls::load(entries)?;
        controls.fill(rules(&peers))?;
        Ok(Self { ifindex: seat.ifindex(), place, peers, engine, controls })
    }

    /// What was installed at first.
    #[must_use]
    pub fn desired(&self) -> Desired {
        self.peers.desired(self.ifindex)
    }

    /// The engine.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// What one packet costs `subject`, in nanoseconds, with what draws it and calls the program:
    /// the mean of `repeat` packets.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Wrong`] when not all were decided as they have to be; else
    /// [`MeasureError::Refused`].
    pub fn measure(
        &mut self,
        subject: Subject,
        packets: Packets,
        keys: Keys,
        repeat: u32,
    ) -> Result<u64, MeasureError> {
        self.prepare(keys)?;
        self.aim(subject)?;
        let frame = self.frame(packets);
        let before = self.decided(subject, packets, keys)?;
        let program = self.controls.drawing(self.place.inbound())?;
        let measured = program.run(&frame, self.ifindex, repeat)?;
        let taken = self.controls.turns()?;
        if taken != u64::from(repeat) {
            return Err(wrong(subject, format!("{taken} of {repeat} keys were taken")));
        }
        self.check(subject, packets, keys, repeat, before, measured)?;
        Ok(measured.ns)
    }

    /// As [`Station::measure`] for one packet over and over, of the program alone: nothing is drawn
    /// and nothing called.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn measure_alone(
        &mut self,
        subject: Subject,
        packets: Packets,
        repeat: u32,
    ) -> Result<u64, MeasureError> {
        let frame = self.frame(packets);
        let before = self.decided(subject, packets, Keys::Hot)?;
        let program = match control(subject, self.place) {
            Some(control) => self.controls.program(control)?,
            None => self.engine.program(self.place.inbound())?,
        };
        let measured = program.run(&frame, self.ifindex, repeat)?;
        self.check(subject, packets, Keys::Hot, repeat, before, measured)?;
        Ok(measured.ns)
    }

    /// Opens a connection from every peer that `keys` names.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Wrong`] when the engine does not let one pass.
    pub fn establish(&mut self, keys: Keys) -> Result<(), MeasureError> {
        let (inbound, outbound) = (self.place.inbound(), self.place.outbound());
        let steps = [
            (inbound, self.peers.syn(0), self.peers.source_offset()),
            (outbound, self.peers.answer(0), self.peers.destination_offset()),
            (inbound, self.peers.acknowledgement(0), self.peers.source_offset()),
        ];
        for (hook, frame, offset) in steps {
            self.controls.prepare(offset, &self.keys(keys))?;
            let program = self.engine.program(hook)?;
            self.controls.aim(program)?;
            let drawing = self.controls.drawing(hook)?;
            let measured = drawing.run(&frame, self.ifindex, DRAWN as u32)?;
            if measured.returned != returns(hook, true) {
                let why = format!("a step of a handshake at {hook:?} gave {}", measured.returned);
                return Err(MeasureError::wrong("the engine", why));
            }
        }
        Ok(())
    }

    /// Forgets all connections.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Engine`].
    pub fn forget(&mut self) -> Result<(), MeasureError> {
        self.engine.forget()
    }

    fn prepare(&mut self, keys: Keys) -> Result<(), MeasureError> {
        let offset = match keys {
            Keys::Hot | Keys::Random | Keys::Strangers => self.peers.source_offset(),
            Keys::Ports => self.peers.ports_offset(),
        };
        self.controls.prepare(offset, &self.keys(keys))
    }

    fn keys(&self, keys: Keys) -> Vec<u32> {
        match keys {
            Keys::Hot => vec![self.peers.first(); DRAWN],
            Keys::Random => self.peers.drawn(DRAWN, SEED),
            Keys::Strangers => self.peers.strangers(DRAWN, SEED),
            Keys::Ports => self.peers.ports(DRAWN),
        }
    }

    fn frame(&self, packets: Packets) -> Vec<u8> {
        match packets {
            Packets::First => self.peers.syn(0),
            Packets::Established => self.peers.acknowledgement(0),
        }
    }

    fn aim(&mut self, subject: Subject) -> Result<(), MeasureError> {
        match control(subject, self.place) {
            Some(control) => self.controls.aim_at(control),
            None => self.controls.aim(self.engine.program(self.place.inbound())?),
        }
    }

    /// How many packets `subject` has decided so far as it has to decide these.
    fn decided(
        &mut self,
        subject: Subject,
        packets: Packets,
        keys: Keys,
    ) -> Result<u64, MeasureError> {
        match subject {
            Subject::Empty => Ok(0),
            Subject::Engine => self.engine.decided(self.reason(packets, keys)),
            Subject::TwoHashes | Subject::ThreeTries => {
                self.controls.decided(verdict_of(self.reason(Packets::First, keys)))
            }
        }
    }

    fn reason(&self, packets: Packets, keys: Keys) -> Reason {
        match (packets, keys) {
            (Packets::Established, _) => Reason::Established,
            (Packets::First, Keys::Strangers) => Reason::NoRule,
            (Packets::First, _) => self.peers.reason(),
        }
    }

    fn check(
        &mut self,
        subject: Subject,
        packets: Packets,
        keys: Keys,
        repeat: u32,
        before: u64,
        measured: Measured,
    ) -> Result<(), MeasureError> {
        let reason = self.reason(packets, keys);
        let passes = subject == Subject::Empty || (reason as u8) < 64;
        let expected = returns(self.place.inbound(), passes);
        if measured.returned != expected {
            let why = format!("it returned {}, not {expected}", measured.returned);
            return Err(wrong(subject, why));
        }
        let decided = self.decided(subject, packets, keys)? - before;
        if subject != Subject::Empty && decided != u64::from(repeat) {
            let why = format!("{decided} of {repeat} packets were decided for {}", reason.name());
            return Err(wrong(subject, why));
        }
        Ok(())
    }
}

/// The control that is `subject` where packets for the endpoint are seen; nothing for the engine.
fn control(subject: Subject, place: Place) -> Option<Control> {
    match (subject, place) {
        (Subject::Engine, _) => None,
        (Subject::Empty, Place::HostAtXdp) => Some(Control::EmptyXdp),
        (Subject::Empty, Place::WorkloadAtTc) => Some(Control::EmptyTc),
        (Subject::TwoHashes, Place::HostAtXdp) => Some(Control::TwoHashesXdp),
        (Subject::TwoHashes, Place::WorkloadAtTc) => Some(Control::TwoHashesTc),
        (Subject::ThreeTries, Place::HostAtXdp) => Some(Control::ThreeTriesXdp),
        (Subject::ThreeTries, Place::WorkloadAtTc) => Some(Control::ThreeTriesTc),
    }
}

/// What the controls say where the engine says `reason`.
fn verdict_of(reason: Reason) -> u32 {
    match reason {
        Reason::DenyRule => verdict::DENY,
        Reason::Rule => verdict::ALLOW,
        _ => verdict::DEFAULT,
    }
}

/// The policy of `peers` as the controls have it: that of IPv4.
pub fn rules(peers: &Crowd) -> impl Iterator<Item = Rule> + '_ {
    let verdict = verdict_of(peers.reason());
    peers.peers().filter_map(move |(address, identity)| match address {
        IpAddr::V4(address) => {
            Some(Rule { address, identity, protocol: protocol::TCP, port: peers.port(), verdict })
        }
        IpAddr::V6(_) => None,
    })
}

fn wrong(subject: Subject, why: String) -> MeasureError {
    MeasureError::wrong(format!("{subject:?}"), why)
}
