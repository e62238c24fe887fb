//! Installing rules of iptables without sets.

use std::path::PathBuf;

use super::{Family, Layout, ruleset};
use crate::backend::chains::Plan;
use crate::backend::ipset::Sets;
use crate::backend::tool::Tools;
use crate::backend::xtables::{Variant, Wanted, XtablesError, XtablesHost};
use crate::backend::{Applied, Backend, Counters, Desired, Installed, Numbers};

/// Chains of iptables and ip6tables.
#[derive(Clone, Debug)]
pub struct Iptables {
    host: XtablesHost,
    layout: Layout,
}

impl Iptables {
    /// The backend that keeps its records in the folder `records` and arranges rules by `layout`.
    /// Without a `variant` it is the one that `iptables` is on this host.
    #[must_use]
    pub fn new(records: PathBuf, variant: Option<Variant>, layout: Layout) -> Self {
        let host = XtablesHost::new("iptables", layout.to_string(), records, variant);
        Self { host, layout }
    }

    /// The same, using other tools than those of this process's `PATH`.
    #[must_use]
    pub fn with_tools(self, tools: Tools) -> Self {
        Self { host: self.host.with_tools(tools), ..self }
    }

    fn wanted(&self, plan: &Plan) -> Result<Wanted, XtablesError> {
        let ruleset = |family| ruleset(plan, family, self.layout);
        let rulesets = [ruleset(Family::V4)?, ruleset(Family::V6)?];
        Ok(Wanted { rulesets, sets: Sets::new() })
    }
}

impl Backend for Iptables {
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
        self.host.preview(desired, &|plan| self.wanted(plan))
    }

    fn apply(&mut self, desired: &Desired, _: Option<&Numbers>) -> Result<Applied, XtablesError> {
        self.host.apply(desired, &|plan| self.wanted(plan))
    }

    fn remove(&mut self) -> Result<Option<Vec<String>>, XtablesError> {
        self.host.remove()
    }
}
