//! Installing rules of iptables with sets.

use std::path::PathBuf;

use super::rules;
use crate::backend::chains::Plan;
use crate::backend::tool::Tools;
use crate::backend::xtables::{Variant, Wanted, XtablesError, XtablesHost};
use crate::backend::{Applied, Backend, Counters, Desired, Installed, Numbers};

/// Chains of iptables and ip6tables whose peers and ports are in sets.
#[derive(Clone, Debug)]
pub struct Ipset {
    host: XtablesHost,
}

impl Ipset {
    /// The backend that keeps its records in the folder `records`. Without a `variant` it is the
    /// one that `iptables` is on this host.
    #[must_use]
    pub fn new(records: PathBuf, variant: Option<Variant>) -> Self {
        Self { host: XtablesHost::new("ipset", "with sets".to_owned(), records, variant) }
    }

    /// The same, using other tools than those of this process's `PATH`.
    #[must_use]
    pub fn with_tools(self, tools: Tools) -> Self {
        Self { host: self.host.with_tools(tools) }
    }
}

fn wanted(plan: &Plan) -> Result<Wanted, XtablesError> {
    let (sets, rulesets) = rules(plan)?;
    Ok(Wanted { rulesets, sets })
}

impl Backend for Ipset {
    type Error = XtablesError;

    fn read_back(&self) -> Result<Option<Installed>, XtablesError> {
        self.host.read_back()
    }

    fn generation(&self) -> Result<u32, XtablesError> {
        self.host.generation()
    }

    fn counters(&self) -> Result<Option<Counters>, XtablesError> {
        self.host.counters()
    }

    fn preview(&self, desired: &Desired, _: Option<&Numbers>) -> Result<Applied, XtablesError> {
        self.host.preview(desired, &wanted)
    }

    fn apply(&mut self, desired: &Desired, _: Option<&Numbers>) -> Result<Applied, XtablesError> {
        self.host.apply(desired, &wanted)
    }

    fn remove(&mut self) -> Result<Option<Vec<String>>, XtablesError> {
        self.host.remove()
    }
}
