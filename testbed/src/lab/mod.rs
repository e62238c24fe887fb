//! The laboratory: three machines in a row, and every way of filtering what the middle one forwards.
//!
//! ```text
//!   client ───────── router ───────── server
//!   eth0        uplink   rf-server     eth0
//! ```
//!
//! The server is a workload of the router's host; a policy of so many rules protects it. What
//! filters is a [`Contender`]; what is asked of it is a [`Case`]. The filter in user space sits in a
//! fourth namespace, the box, on the cable between router and server.
//!
//! # Goals
//!
//! 1. Nothing of one case is there in the next one: no rule, no hook that a tool has left
//!    registered, no connection.
//! 2. Nothing stays on the machine, whatever ends this process.
//! 3. A contender that filters nothing or everything is an error and not a measurement.
//! 4. What is compared differs in the filter alone.
//!
//! # Design
//!
//! [`Lab::clear`] throws the namespaces away and makes new ones, instead of taking rules away (goal
//! 1): an empty table of iptables-legacy, for instance, stays in a packet's way as long as the
//! namespace lives. Their addresses are the same every time. The kernel takes the old ones apart in
//! the background, which costs a few milliseconds of some processor soon after.
//!
//! Namespaces end with this process (see [`crate::netns`]); tools that it has started are killed
//! when the laboratory goes, and also when the process ends without saying so (goal 2, `guardian`).
//!
//! [`Lab::install`] ends with [`Lab::check`], which sends packets that a rule allows and packets
//! that none names, counts the rules, and looks at whether the kernel tracks connections (goal 3).
//!
//! Every contender gets the same rules for the same packets (goal 4, [`Asked`]): who may reach the
//! server is its IPv4 or IPv6 address and the server's port. Forwarding, addresses and neighbours
//! are the same for all; neighbours are known for good, so that nobody asks in between. Veths keep
//! the offloads that the kernel gives them: checksums are left unfinished and large segments whole
//! between the machines. A program at XDP makes the kernel split segments before they reach it, and
//! gives the interface a queue of its own (NAPI).
//!
//! Not done here: telling what a case costs, and starting the empty programs, which belong to who
//! measures: they are attached in [`Lab::router`] at [`Lab::uplink`] and [`Lab::workload`].

mod asked;
mod bare;
mod case;
pub mod cores;
mod error;
mod guardian;
mod install;
mod network;
mod policies;
mod probe;
mod survey;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

pub use self::asked::{Allowed, Asked};
pub use self::bare::{BareText, bare_texts};
pub use self::case::{Case, Contender, Family, Mismatch, Position, Tracking};
pub use self::cores::Cores;
pub use self::error::LabError;
pub use self::install::options;
pub use self::network::Port;
pub use self::policies::policies;
pub use crate::topology::INSIDE;
pub use crate::workload::Transport;

use self::install::Standing;
use self::network::Network;
use self::probe::{LOOK, PATIENCE, Seen};
use self::survey::Survey;
use crate::netns::Namespace;
use crate::topology::Wiring;

/// How long listing what is installed may take, where nobody says.
const LIST: Duration = Duration::from_secs(60);

/// Three machines in a row, and perhaps a filter between them.
pub struct Lab {
    standing: Option<Standing>,
    network: Network,
    cores: Cores,
    steered: Option<usize>,
    is_used: bool,
}

/// What was installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// How long it took to put into place: from the call of the engine to its return, or from the
    /// start of the first tool to the end of the last. Packets obey then.
    pub applied: Duration,
    /// How long the policy took to compile before; nothing for what Ringfence does not apply.
    pub compiled: Option<Duration>,
    /// Rules of chains that the kernel has now, those of both families that go with every policy
    /// among them; 0 for programs and the filter in user space.
    pub rules: usize,
    /// Elements of sets that the kernel has now; entries of the policy's map for programs and the
    /// filter in user space.
    pub elements: usize,
    /// What the engine warns of.
    pub warnings: Vec<String>,
}

impl Lab {
    /// Builds the machines; nothing filters.
    ///
    /// # Errors
    ///
    /// [`LabError::Network`], without privileges for instance.
    pub fn new() -> Result<Self, LabError> {
        let (cores, network) = (Cores::of_this_process()?, Network::build(Wiring::Direct)?);
        Ok(Self { standing: None, network, cores, steered: None, is_used: false })
    }

    /// Where the measured packets come from. [`Lab::clear`] and [`Lab::install`] make it anew.
    #[must_use]
    pub fn client(&self) -> &Namespace {
        self.network.client()
    }

    /// What forwards. [`Lab::clear`] and [`Lab::install`] make it anew.
    #[must_use]
    pub fn router(&self) -> &Namespace {
        self.network.router()
    }

    /// Where the measured packets go to. [`Lab::clear`] and [`Lab::install`] make it anew.
    #[must_use]
    pub fn server(&self) -> &Namespace {
        self.network.server()
    }

    /// The router's interface to the client.
    #[must_use]
    pub fn uplink(&self) -> &Port {
        &self.network.uplink
    }

    /// The router's interface to the server.
    #[must_use]
    pub fn workload(&self) -> &Port {
        &self.network.workload
    }

    /// The processors, as this process could use them when the laboratory was made.
    #[must_use]
    pub fn cores(&self) -> &Cores {
        &self.cores
    }

    /// Runs `work` on a new thread on the router and waits for it.
    ///
    /// # Errors
    ///
    /// [`LabError::Network`] when the namespace cannot be entered; `work` has not run then.
    pub fn at_router<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        Ok(self.router().run(work)?)
    }

    /// The address that the measured packets come from: see [`Asked::source`].
    #[must_use]
    pub fn source(asked: impl Into<Asked>) -> IpAddr {
        asked.into().source()
    }

    /// Where the measured packets go to: see [`Asked::target`].
    #[must_use]
    pub fn target(asked: impl Into<Asked>) -> SocketAddr {
        asked.into().target()
    }

    /// Puts the contender of a case into place, after taking away what was there, and checks it.
    /// Of [`Contender::EmptyTcx`] and [`Contender::EmptyXdp`] the caller attaches the program.
    ///
    /// Compiling and putting it into place is given up after `limit`, and so is listing what is
    /// there afterwards; packets are waited for few seconds at most. Tools are killed then, and what
    /// this process does itself goes on for itself ([`LabError::TimedOut`]). After any error nothing
    /// filters.
    ///
    /// # Errors
    ///
    /// [`LabError`].
    pub fn install(
        &mut self,
        asked: impl Into<Asked>,
        limit: Duration,
    ) -> Result<Installed, LabError> {
        let asked = asked.into();
        if let Some(why) = asked.impossible() {
            return Err(LabError::Impossible(why));
        }
        let wiring = match asked.case.contender {
            Contender::Userspace => Wiring::ThroughBox,
            _ => Wiring::Direct,
        };
        if self.is_used || self.network.wiring != wiring {
            self.renew(wiring)?;
        }
        let installed = self.install_here(&asked, limit);
        if installed.is_err() {
            self.renew(Wiring::Direct)?;
        }
        installed
    }

    fn install_here(&mut self, asked: &Asked, limit: Duration) -> Result<Installed, LabError> {
        self.is_used = true;
        let standing = install::stand(&self.network, asked, &self.cores, limit)?;
        let Standing { compiled, applied, ref warnings, .. } = standing;
        let warnings = warnings.clone();
        self.standing = Some(standing);
        let Survey { rules, elements, .. } = self.checked(asked, 0, limit)?;
        Ok(Installed { applied, compiled, rules, elements, warnings })
    }

    /// Makes everything anew, so that nothing filters.
    ///
    /// # Errors
    ///
    /// [`LabError`], where no more namespaces can be had.
    pub fn clear(&mut self) -> Result<(), LabError> {
        self.renew(Wiring::Direct)
    }

    fn renew(&mut self, wiring: Wiring) -> Result<(), LabError> {
        // The filter's threads are in the old network.
        self.standing = None;
        self.network = Network::build(wiring)?;
        self.is_used = false;
        self.steer(self.steered)
    }

    /// Has `core` do the router's work, whoever sends: what arrives at either of its interfaces is
    /// put into that processor's queue. With nothing, which is the kernel's default, whoever sends a
    /// packet also does the router's work for it. It stays so over installs.
    ///
    /// # Errors
    ///
    /// [`LabError::Refused`], for instance where there is no such processor.
    pub fn steer(&mut self, core: Option<usize>) -> Result<(), LabError> {
        let ports = [&self.network.uplink.name, &self.network.workload.name];
        let steered = self
            .router()
            .run(|| ports.into_iter().try_for_each(|port| cores::steer(port, core)))?;
        steered.map_err(LabError::refused("steer what the router receives to a processor"))?;
        self.steered = core;
        Ok(())
    }

    /// Asks with packets whether what is installed does what `asked` says: what a rule allows
    /// arrives and is answered, what none names does not arrive and is counted as denied; there are
    /// as many rules as there should be, and the kernel tracks connections exactly where it should.
    ///
    /// The server's ports must be free.
    ///
    /// # Errors
    ///
    /// [`LabError::Wrong`], and others when it cannot be found out.
    pub fn check(&self, asked: impl Into<Asked>) -> Result<(), LabError> {
        let asked = asked.into();
        let before = self.survey(&asked, LIST)?;
        self.checked(&asked, before.denied, LIST).map(|_| ())
    }

    /// How many packets the filter of `asked` has denied so far; none where nothing filters.
    ///
    /// Where a tool's listing of a long chain says it, that takes its time.
    ///
    /// # Errors
    ///
    /// [`LabError`], when it cannot be found out.
    pub fn denied(&self, asked: impl Into<Asked>) -> Result<u64, LabError> {
        Ok(self.survey(&asked.into(), LIST)?.denied)
    }

    /// [`Lab::check`] of a filter that has denied so many packets before; what it has in the kernel.
    fn checked(&self, asked: &Asked, denied: u64, longest: Duration) -> Result<Survey, LabError> {
        let wrong = |what: String| LabError::Wrong { contender: asked.case.contender, what };
        let is_control = asked.case.contender.is_control();
        let is_any_allowed = is_control || asked.case.rules > 0;
        let allowed = is_any_allowed.then(|| asked.some_allowed());
        let seen = probe::probe(&self.network, asked.transport, asked.stranger(), allowed)?;
        // Before anything that takes long: the kernel forgets connections.
        self.check_tracking(asked).map_err(wrong)?;
        let expected =
            Seen { stranger: is_control, allowed: is_any_allowed, answered: is_any_allowed };
        if seen != expected {
            return Err(wrong(format!("expected {expected:?}, seen {seen:?}")));
        }
        let after = match is_control {
            true => self.survey(asked, longest)?,
            false => self.await_denial(asked, denied, longest)?,
        };
        count(asked, &after).map_err(wrong)?;
        Ok(after)
    }

    /// Waits until the stranger's packet is counted.
    fn await_denial(
        &self,
        asked: &Asked,
        denied: u64,
        longest: Duration,
    ) -> Result<Survey, LabError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let survey = self.survey(asked, longest)?;
            if survey.denied > denied {
                return Ok(survey);
            }
            if Instant::now() > deadline {
                let what = "a packet that no rule names was not counted as denied".to_owned();
                return Err(LabError::Wrong { contender: asked.case.contender, what });
            }
            std::thread::sleep(LOOK);
        }
    }

    fn survey(&self, asked: &Asked, longest: Duration) -> Result<Survey, LabError> {
        let filter = self.standing.as_ref().and_then(|standing| standing.filter.as_ref());
        if let Some((running, elements)) = filter {
            let denied = running.counters().iter().map(|wire| wire.ways[1].denied()).sum();
            return Ok(Survey { rules: 0, elements: *elements, denied });
        }
        let asked = *asked;
        install::within(longest, self.router().try_clone()?, move || survey::survey(&asked))
    }

    /// That the kernel knows connections on the router exactly where it shall. Where no packet is
    /// allowed it knows none either way.
    fn check_tracking(&self, asked: &Asked) -> Result<(), String> {
        let contender = asked.case.contender;
        let is_tracked = match contender {
            Contender::Userspace => false,
            _ if contender.is_control() => false,
            _ if contender.is_bare() => asked.case.tracking != Tracking::Stateless,
            _ => options(contender).is_some_and(|options| options.backend.is_chains()),
        };
        let known = self.router().run(survey::connections).map_err(|error| error.to_string())?;
        match (is_tracked, known) {
            (false, 1..) => Err(format!("the kernel tracks {known} connections")),
            (true, 0) if asked.case.rules > 0 => Err("the kernel tracks no connections".to_owned()),
            _ => Ok(()),
        }
    }
}

/// That so many rules or elements are there as the case says: all rules of a chain, one more that
/// drops and one for what is established; all elements of a set.
fn count(asked: &Asked, found: &Survey) -> Result<(), String> {
    let Case { contender, rules, tracking, .. } = asked.case;
    let own = 1 + usize::from(tracking != Tracking::Stateless);
    let is_right = match contender {
        Contender::None | Contender::EmptyTcx | Contender::EmptyXdp => true,
        Contender::BareIptables | Contender::BareIptablesNft | Contender::BareNft => {
            found.rules == rules + own
        }
        Contender::BareIpset | Contender::BareNftSet => {
            (found.rules, found.elements) == (1 + own, rules)
        }
        Contender::EbpfTcx | Contender::EbpfXdp | Contender::Userspace => found.elements == rules,
        Contender::IptablesFlat => found.rules >= rules,
        Contender::Ipset | Contender::Nftables => found.elements >= rules,
        // Several ports share a rule.
        Contender::Iptables | Contender::IptablesNft => found.rules > 0,
    };
    if is_right {
        return Ok(());
    }
    let Survey { rules: there, elements, .. } = found;
    Err(format!("for {rules} rules it has {there} rules and {elements} elements"))
}
