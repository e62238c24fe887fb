//! How each tool's text is made of a plan and read back.

use ringfence_dataplane::backend::chains::Plan;
use ringfence_dataplane::backend::iptables::{self, Family, Layout};
use ringfence_dataplane::backend::{ipset, nftables};

use super::Failed;
use crate::chain_eval::Ruleset;
use crate::chain_eval::ipset::Sets;
use crate::chain_eval::iptables::Rules;
use crate::chain_eval::nftables::Nftables;

/// Rules for iptables and ip6tables, in chains of their own for each endpoint and policy.
pub fn iptables(plan: &Plan) -> Result<Box<dyn Ruleset>, Failed> {
    laid_out(plan, Layout::Structured)
}

/// The same, in one chain for each direction.
pub fn iptables_flat(plan: &Plan) -> Result<Box<dyn Ruleset>, Failed> {
    laid_out(plan, Layout::Flat)
}

/// The same with sets.
pub fn ipset(plan: &Plan) -> Result<Box<dyn Ruleset>, Failed> {
    let (sets, [v4, v6]) = ipset::rules(plan)?;
    let sets = Sets::read(&ipset::script(&sets).to_string())?;
    Ok(Box::new(Rules::read(&v4.script().to_string(), &v6.script().to_string(), sets)?))
}

fn laid_out(plan: &Plan, layout: Layout) -> Result<Box<dyn Ruleset>, Failed> {
    let v4 = iptables::ruleset(plan, Family::V4, layout)?.script().to_string();
    let v6 = iptables::ruleset(plan, Family::V6, layout)?.script().to_string();
    Ok(Box::new(Rules::read(&v4, &v6, Sets::default())?))
}

/// One table for nft.
pub fn nftables(plan: &Plan) -> Result<Box<dyn Ruleset>, Failed> {
    let text = nftables::ruleset(plan)?.script().to_string();
    Ok(Box::new(Nftables::read(&text)?))
}
