//! TCP (RFC 9293), after `nf_conntrack_proto_tcp.c`.
//!
//! The kernel follows a connection step by step, and believes of a packet that seems out of step
//! that its own view may be the wrong one: such packets pass, are remembered, and set it right when
//! the other side takes them for good.

mod window;

use self::window::{End, Fit, Phase};
use super::{Direction, Step};
use crate::chain_eval::packet::{Tcp, flags};

/// States of a connection, in the kernel's order but for the second of a simultaneous open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    SynSent,
    SynReceived,
    Established,
    FinWait,
    CloseWait,
    LastAck,
    TimeWait,
    Closed,
    /// Both sides have sent a SYN.
    BothSyn,
}

/// What a packet is, by its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Syn,
    SynAck,
    Fin,
    Ack,
    Reset,
}

/// Where a packet leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leads {
    To(State),
    Ignored,
    Nowhere,
}

/// What is known of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    state: State,
    ends: [End; 2],
    /// The packet before.
    last: Option<Last>,
    /// Whether the handshake has been seen to its end.
    is_assured: bool,
    /// Whether both sides have sent a SYN.
    crossed: bool,
    /// Whether a SYN was ignored to which the answer may be an acknowledgement of its own.
    expects_challenge: bool,
    /// Whether one side has begun to close.
    is_closing: bool,
    /// What the last answer to a SYN has acknowledged that was no SYN itself.
    half_open: Option<u32>,
}

/// The packet before.
#[derive(Clone, Copy, Debug)]
struct Last {
    kind: Kind,
    direction: Direction,
    end: u32,
    tcp: Tcp,
}

const IGNORED: &str =
    "the kernel lets TCP pass that its own view of the connection may be wrong about";
const RESET: &str = "the kernel lets a reset pass whose number is not exactly the next";
const CLOSED: &str = "the kernel looks at no numbers once a connection is closing";
const LIBERAL: &str = "the kernel looks at no numbers of a connection that it has picked up";
const AFTER: &str =
    "the kernel lets TCP of a connection pass that was reset, until it is forgotten";
const RESTART: &str = "the kernel takes a later SYN for the beginning of the connection";
const OLD: &str = "the kernel lets TCP pass that repeats what was acknowledged";

/// Whether the flags are those of some packet (`tcp_error`).
pub fn is_possible(tcp: &Tcp) -> bool {
    use flags::{ACK, FIN, RST, SYN, URG};

    let relevant = tcp.flags & (FIN | SYN | RST | ACK | URG);
    let possible =
        [SYN, SYN | URG, SYN | ACK, RST, RST | ACK, FIN | ACK, FIN | ACK | URG, ACK, ACK | URG];
    possible.contains(&relevant)
}

impl Connection {
    /// A connection that begins with this packet; nothing where none can.
    pub fn new(tcp: &Tcp) -> Option<Self> {
        let kind = kind(tcp)?;
        let (state, own) = match kind {
            Kind::Syn => (State::SynSent, End::beginning(tcp)),
            // Its beginning was not seen.
            Kind::Ack => (State::Established, End::midway(tcp)),
            Kind::SynAck | Kind::Fin | Kind::Reset => return None,
        };
        let other = End::unheard(own.is_liberal);
        let mut connection = Self {
            state,
            ends: [own, other],
            last: None,
            is_assured: false,
            crossed: false,
            expects_challenge: false,
            is_closing: false,
            half_open: None,
        };
        // The first packet goes through the window too, which then knows both ends.
        window::fit(&mut connection.ends, Direction::Original, tcp, Phase::Open);
        connection.last = Some(Last::of(kind, Direction::Original, tcp));
        Some(connection)
    }

    /// Seconds of silence after which it is over, by default.
    pub const fn timeout(&self) -> u64 {
        let unacknowledged = self.ends[0].has_unacknowledged || self.ends[1].has_unacknowledged;
        match self.state {
            State::Established if unacknowledged => 300,
            State::Established => 432_000,
            State::SynSent | State::FinWait | State::TimeWait | State::BothSyn => 120,
            State::SynReceived | State::CloseWait => 60,
            State::LastAck => 30,
            State::Closed => 10,
        }
    }

    /// Moves it by one packet. `is_answered` is whether the other side had sent something before.
    pub fn step(&mut self, tcp: &Tcp, direction: Direction, is_answered: bool) -> Step {
        let Some(kind) = kind(tcp) else { return Step::Invalid };
        let mut next = match leads(direction, kind, self.state) {
            Leads::Nowhere => return Step::Invalid,
            Leads::Ignored => return self.ignored(kind, direction, tcp),
            Leads::To(State::SynSent)
                if self.state >= State::TimeWait && self.state != State::BothSyn =>
            {
                let was_reset = self
                    .last
                    .is_some_and(|last| last.kind == Kind::Reset && last.direction == direction);
                if self.is_closing || was_reset {
                    return Step::Again;
                }
                return self.ignored(kind, direction, tcp);
            }
            Leads::To(state) => state,
        };
        let mut checks_window = true;
        match next {
            State::TimeWait if self.is_challenge(kind, direction) => {
                self.expects_challenge = false;
                return Step::Lenient(IGNORED);
            }
            State::BothSyn => self.crossed = true,
            State::SynReceived
                if direction == Direction::Reply && kind == Kind::Ack && self.crossed =>
            {
                next = State::Established;
            }
            State::Closed if kind == Kind::Reset => match self.reset(tcp, direction, is_answered) {
                Reset::Fits => {}
                Reset::Unchecked => checks_window = false,
                Reset::Keeps => next = self.state,
                Reset::Invalid => return Step::Invalid,
            },
            _ => {}
        }
        let step = match self.window(kind, direction, tcp, checks_window, next) {
            Ok(step) => step,
            Err(step) => return step,
        };
        let before = std::mem::replace(&mut self.state, next);
        self.last = Some(Last::of(kind, direction, tcp));
        self.is_closing |= before != next && next == State::FinWait;
        if !is_answered && kind == Kind::Reset {
            return Step::Ends(match step {
                Step::Lenient(why) => Some(why),
                _ => None,
            });
        }
        self.is_assured |= is_answered
            && matches!(before, State::SynReceived | State::Established)
            && next == State::Established;
        step
    }

    /// What the packet's numbers make of a step to `next`; an error where it is not taken.
    fn window(
        &mut self,
        kind: Kind,
        direction: Direction,
        tcp: &Tcp,
        is_checked: bool,
        next: State,
    ) -> Result<Step, Step> {
        let mut step = Step::Belongs;
        let restarts = kind == Kind::Syn && self.state == State::SynSent;
        if restarts && direction == Direction::Original && !self.is_repeated(tcp) {
            step = Step::Lenient(RESTART);
        }
        if is_checked {
            let phase = self.phase();
            match window::fit(&mut self.ends, direction, tcp, phase) {
                Fit::Good => {}
                Fit::Liberal => step = Step::Lenient(LIBERAL),
                Fit::Old => return Err(Step::Lenient(OLD)),
                Fit::Bad => return Err(Step::Invalid),
            }
        } else {
            step = Step::Lenient(CLOSED);
        }
        let is_bare = self.state == State::SynSent && tcp.flags & flags::ACK == 0;
        Ok(match kind {
            Kind::Reset if next != State::Closed || is_bare => Step::Lenient(RESET),
            Kind::Reset => step,
            _ if self.state == State::Closed => Step::Lenient(AFTER),
            _ => step,
        })
    }

    /// Whether the packet has the numbers of the one before.
    fn is_repeated(&self, tcp: &Tcp) -> bool {
        self.last.is_some_and(|last| last.tcp.sequence == tcp.sequence)
    }

    const fn phase(&self) -> Phase {
        match self.state {
            State::SynSent => Phase::Asked,
            State::SynReceived => Phase::Answered,
            _ => Phase::Open,
        }
    }

    /// A packet that the kernel takes no step for, and remembers.
    fn ignored(&mut self, kind: Kind, direction: Direction, tcp: &Tcp) -> Step {
        if let Some(last) = self.last
            && kind == Kind::SynAck
            && last.kind == Kind::Syn
            && last.direction != direction
            && tcp.acknowledgement == last.end
        {
            // Both sides agree on a SYN that was ignored: they are right.
            self.ends[last.direction as usize] = End::beginning(&last.tcp);
            self.ends[direction as usize] = End::unheard(false);
            window::fit(&mut self.ends, direction, tcp, Phase::Asked);
            self.state = State::SynReceived;
            self.last = Some(Last::of(kind, direction, tcp));
            return Step::Belongs;
        }
        self.last = Some(Last::of(kind, direction, tcp));
        if kind == Kind::Syn && direction == Direction::Original && self.state == State::LastAck {
            self.expects_challenge = true;
        }
        if kind == Kind::Ack && direction == Direction::Reply && self.state == State::SynSent {
            self.half_open = Some(tcp.acknowledgement);
        }
        Step::Lenient(IGNORED)
    }

    /// Whether the packet answers a SYN that was ignored in the last state (RFC 5961 §4).
    fn is_challenge(&self, kind: Kind, direction: Direction) -> bool {
        self.state == State::LastAck
            && kind == Kind::Ack
            && self.expects_challenge
            && self.last.is_some_and(|last| last.kind == Kind::Syn && last.direction != direction)
    }

    fn is_established(&self) -> bool {
        self.state == State::Established && self.is_assured
    }

    /// What becomes of a reset (RFC 5961 §3).
    fn reset(&self, tcp: &Tcp, direction: Direction, is_answered: bool) -> Reset {
        let closing =
            [State::FinWait, State::LastAck, State::TimeWait, State::Closed, State::CloseWait];
        if closing.contains(&self.state) {
            return Reset::Unchecked;
        }
        let Some(last) = self.last else { return Reset::Fits };
        let mut keeps = false;
        if let Some(acknowledged) = self.ends[direction.other() as usize].acknowledged
            && last.kind != Kind::Syn
        {
            if tcp.sequence == 0 && !self.is_established() {
                return Reset::Fits;
            }
            if window::is_before(tcp.sequence, acknowledged) {
                return Reset::Invalid;
            }
            if !self.is_established() || tcp.sequence == acknowledged {
                return Reset::Fits;
            }
            let follows = last.kind == Kind::Ack && last.direction == direction;
            if follows && tcp.sequence == last.end {
                return Reset::Fits;
            }
            keeps = true;
        }
        let answers_ignored =
            is_answered && last.kind == Kind::Syn || !self.is_assured && last.kind == Kind::Ack;
        if answers_ignored && tcp.acknowledgement == last.end {
            return Reset::Unchecked;
        }
        let answers_half_open = self.state == State::SynSent
            && last.kind == Kind::Ack
            && last.direction == Direction::Reply
            && self.half_open == Some(tcp.sequence);
        match (answers_half_open, keeps) {
            (true, _) => Reset::Unchecked,
            (false, true) => Reset::Keeps,
            (false, false) => Reset::Fits,
        }
    }
}

/// What becomes of a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reset {
    /// The window decides.
    Fits,
    /// It ends the connection, whatever its numbers.
    Unchecked,
    /// The window decides, and the connection lives: the receiver may challenge it.
    Keeps,
    /// It was forged, or is old.
    Invalid,
}

impl Last {
    fn of(kind: Kind, direction: Direction, tcp: &Tcp) -> Self {
        Self { kind, direction, end: window::end_of(tcp), tcp: *tcp }
    }
}

fn kind(tcp: &Tcp) -> Option<Kind> {
    let has = |flag: u8| tcp.flags & flag != 0;
    Some(match () {
        () if has(flags::RST) => Kind::Reset,
        () if has(flags::SYN) && has(flags::ACK) => Kind::SynAck,
        () if has(flags::SYN) => Kind::Syn,
        () if has(flags::FIN) => Kind::Fin,
        () if has(flags::ACK) => Kind::Ack,
        () => return None,
    })
}

/// The step that a packet makes a connection take, as the kernel's table of states has it.
fn leads(direction: Direction, kind: Kind, state: State) -> Leads {
    use Direction::{Original, Reply};
    use State::{
        BothSyn, CloseWait, Closed, Established, FinWait, LastAck, SynReceived, SynSent, TimeWait,
    };

    match (kind, direction, state) {
        (Kind::Reset, _, _) => Leads::To(Closed),
        (Kind::Syn, Original, SynSent | TimeWait | Closed) | (Kind::Syn, Reply, TimeWait) => {
            Leads::To(SynSent)
        }
        (Kind::Syn, _, BothSyn) | (Kind::Syn, Reply, SynSent) => Leads::To(BothSyn),
        (Kind::Syn, Original, _) => Leads::Ignored,
        (Kind::SynAck, Original, SynReceived)
        | (Kind::SynAck, _, BothSyn)
        | (Kind::SynAck, Reply, SynSent) => Leads::To(SynReceived),
        (Kind::SynAck, Reply, _) => Leads::Ignored,
        (Kind::Syn, Reply, _) | (Kind::SynAck, Original, _) => Leads::Nowhere,
        (Kind::Fin, _, SynSent | BothSyn) => Leads::Nowhere,
        (Kind::Fin, _, SynReceived | Established) => Leads::To(FinWait),
        (Kind::Fin, _, FinWait | CloseWait | LastAck) => Leads::To(LastAck),
        (Kind::Ack, Original, SynSent | BothSyn) => Leads::Nowhere,
        (Kind::Ack, Reply, SynSent | BothSyn) => Leads::Ignored,
        (Kind::Ack, Reply, SynReceived) => Leads::To(SynReceived),
        (Kind::Ack, _, SynReceived | Established) => Leads::To(Established),
        (Kind::Ack, _, FinWait | CloseWait) => Leads::To(CloseWait),
        (Kind::Ack, _, LastAck) => Leads::To(TimeWait),
        (Kind::Fin | Kind::Ack, _, TimeWait | Closed) => Leads::To(state),
    }
}
