//! Traffic for measuring: who sends, who answers, who only counts.
//!
//! Goals: (a) the time that is measured is the packets', not the generator's; (b) how many packets
//! were sent and how many arrived is known exactly; (c) nothing goes on for ever.
//!
//! Design. Endpoints spin on sockets that do not block, each on a core of its own, so that no
//! wake-up is in the figures (a). A socket belongs to the network namespace that it was made in,
//! whichever thread uses it: [`Ends`] makes sockets on both sides, and the threads that use them
//! are ordinary ones. Requests carry a number, a mark of the run and the time at which they were to
//! be sent ([`Request`]); frames of a [`Generator`] are only counted, as they leave; a [`Sink`] counts
//! in the kernel what arrives (b). Everything that runs takes a duration, and stops when it is over
//! or when it is dropped (c).
//!
//! Not done: choosing rates, and saying what a figure means; that is the benchmark's.

mod answers;
mod bulk;
mod closed_loop;
mod cores;
mod departures;
mod dialogue;
mod echo;
mod end;
mod ends;
mod error;
mod first_packets;
mod flow;
mod generator;
mod line;
mod open_loop;
mod request;
mod sink;
mod tcp;
#[cfg(test)]
mod wire;

pub use self::bulk::Bulk;
pub use self::closed_loop::{Exchange, Window, closed_loop};
pub use self::cores::Cores;
pub use self::departures::Departures;
pub use self::dialogue::Dialogues;
pub use self::echo::{Echo, Served};
pub use self::end::End;
pub use self::ends::Ends;
pub use self::error::TrafficError;
pub use self::first_packets::{FirstPackets, FreshPorts};
pub use self::flow::{Flow, Hop, SHORTEST_PAYLOAD};
pub use self::generator::{BATCH, Generator, Plan, Sent};
pub use self::line::{Line, OneFlow};
pub use self::open_loop::{Outcome, Schedule, open_loop};
pub use self::request::Request;
pub use self::sink::Sink;
