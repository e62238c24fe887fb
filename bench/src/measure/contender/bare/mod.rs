//! Bare rules, changed by their own tools.
//!
//! What every host has before rules are loaded: nothing is forwarded but what they let through.

mod ipset;
mod iptables;
mod nft_rules;
mod nft_set;

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use ringfence_testbed::lab::Contender;

use super::{Call, Changing, Direction, Form};
use crate::kernel::MeasureError;
use crate::measure::scene::{Invocation, Scene, Session, State, run};

/// One of the tools, and the rules that it has loaded.
pub struct Bare<'s> {
    scene: &'s Scene,
    limit: Duration,
    kind: Kind,
    session: Option<Session>,
    prepared: Option<Action>,
    /// What the tool has said last.
    said: String,
}

/// Which rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A chain, by this tool.
    Iptables(iptables::Tool),
    NftRules,
    NftSet,
    Ipset,
}

/// How a change is made.
enum Action {
    /// By processes, one after the other.
    Processes(Vec<Invocation>),
    /// By telling one that runs: what, and how its answer begins.
    Told { lines: String, answer: &'static str },
}

impl<'s> Bare<'s> {
    /// Puts on the host what stays, and lets nobody in.
    pub fn start(
        contender: Contender,
        scene: &'s Scene,
        limit: Duration,
    ) -> Result<Self, MeasureError> {
        let kind = match contender {
            Contender::BareIptables => Kind::Iptables(iptables::LEGACY),
            Contender::BareIptablesNft => Kind::Iptables(iptables::NFT),
            Contender::BareNft => Kind::NftRules,
            Contender::BareNftSet => Kind::NftSet,
            Contender::BareIpset => Kind::Ipset,
            other => {
                return Err(MeasureError::wrong("the measurement", format!("{other} is not bare")));
            }
        };
        let said = String::new();
        let mut new = Self { scene, limit, kind, session: None, prepared: None, said };
        let base = match kind {
            Kind::Iptables(tool) => vec![iptables::whole(tool, &[])],
            Kind::NftRules => vec![nft_rules::base()],
            Kind::NftSet => vec![nft_set::base()],
            Kind::Ipset => ipset::base(),
        };
        new.run(&base)?;
        Ok(new)
    }

    /// Runs processes one after the other; how long they took together.
    fn run(&mut self, processes: &[Invocation]) -> Result<Call, MeasureError> {
        let mut call: Option<Call> = None;
        for invocation in processes {
            let said = run(invocation, self.limit)?;
            self.said = said.text;
            match &mut call {
                Some(call) => call.took += said.took,
                None => call = Some(Call { began: said.began, took: said.took }),
            }
        }
        call.ok_or_else(|| MeasureError::wrong("the measurement", "it prepared no process"))
    }

    fn processes(&self, form: Form, direction: Direction) -> Result<Vec<Invocation>, MeasureError> {
        let change = Difference::of(form, direction, self.scene.rules());
        match self.kind {
            Kind::Iptables(tool) => Ok(iptables::processes(tool, form, &change)),
            Kind::NftRules => nft_rules::processes(form, &change, &self.said),
            Kind::NftSet => Ok(nft_set::processes(form, &change)),
            Kind::Ipset => Ok(ipset::processes(form, &change)),
        }
    }
}

impl Changing for Bare<'_> {
    fn forms(&self) -> &'static [Form] {
        match self.kind {
            Kind::Iptables(_) => iptables::FORMS,
            Kind::NftRules => nft_rules::FORMS,
            Kind::NftSet => nft_set::FORMS,
            Kind::Ipset => ipset::FORMS,
        }
    }

    fn reset(&mut self, state: State) -> Result<(), MeasureError> {
        let allowed: Vec<Ipv4Addr> = state.allowed(self.scene.rules()).collect();
        let whole = match self.kind {
            Kind::Iptables(tool) => iptables::whole(tool, &allowed),
            Kind::NftRules => nft_rules::whole(&allowed),
            Kind::NftSet => nft_set::whole(&allowed),
            Kind::Ipset => ipset::flushed(&allowed),
        };
        self.run(&[whole]).map(drop)
    }

    fn prepare(&mut self, form: Form, direction: Direction) -> Result<(), MeasureError> {
        self.prepared = Some(match form {
            Form::InSession => {
                if self.session.is_none() {
                    self.session = Some(Session::start("nft", &["-i"])?);
                }
                let change = Difference::of(form, direction, self.scene.rules());
                let (lines, answer) = nft_set::told(&change);
                Action::Told { lines, answer }
            }
            _ => {
                if self.kind == Kind::NftRules && direction == Direction::Back {
                    self.run(&[nft_rules::listed()])?;
                }
                Action::Processes(self.processes(form, direction)?)
            }
        });
        Ok(())
    }

    fn change(&mut self) -> Result<Call, MeasureError> {
        match self.prepared.take() {
            Some(Action::Processes(processes)) => {
                let call = self.run(&processes)?;
                self.prepared = Some(Action::Processes(processes));
                Ok(call)
            }
            Some(Action::Told { lines, answer }) => {
                let limit = self.limit;
                let none = || MeasureError::wrong("the measurement", "there is no session");
                let session = self.session.as_mut().ok_or_else(none)?;
                Call::time(|| session.ask(&lines, answer, limit))
            }
            None => Err(MeasureError::wrong("the measurement", "it prepared no change")),
        }
    }

    fn processes_alone(&self) -> Result<Option<Duration>, MeasureError> {
        let Some(Action::Processes(processes)) = &self.prepared else { return Ok(None) };
        let mut took = Duration::ZERO;
        for Invocation { tool, .. } in processes {
            took += run(&Invocation::line(tool, "--version"), self.limit)?.took;
        }
        Ok(Some(took))
    }

    fn exact_memory(&mut self) -> Result<Option<u64>, MeasureError> {
        if self.kind != Kind::Ipset {
            return Ok(None);
        }
        self.run(&[ipset::listed()])?;
        ipset::size(&self.said).map(Some)
    }
}

/// Whom rules have to let in after a change, and whom to let in or no longer because of it.
struct Difference {
    direction: Direction,
    /// Those of all rules afterwards.
    all: Vec<Ipv4Addr>,
    /// Those of the rules that come or go.
    changed: Vec<Ipv4Addr>,
}

impl Difference {
    fn of(form: Form, direction: Direction, rules: usize) -> Self {
        let [few, many] = form.states(Direction::There);
        let [_, to] = form.states(direction);
        let changed = many.allowed(rules).skip(few.allowed(rules).count()).collect();
        Self { direction, all: to.allowed(rules).collect(), changed }
    }
}

/// Lines, one for each of `addresses`.
fn lines(addresses: &[Ipv4Addr], line: impl Fn(&Ipv4Addr) -> String) -> String {
    addresses.iter().fold(String::new(), |mut text, address| {
        let _ = writeln!(text, "{}", line(address));
        text
    })
}
