//! How each tool's text is made of a plan and read back.

use ringfence_dataplane::backend::chains::Plan;
use ringfence_dataplane::backend::nftables;

use super::Failed;
use crate::chain_eval::Ruleset;
use crate::chain_eval::nftables::Nftables;

/// One table of nftables.
pub fn nftables(plan: &Plan) -> Result<Box<dyn Ruleset>, Failed> {
    let text = nftables::ruleset(plan)?.script().to_string();
    Ok(Box::new(Nftables::read(&text)?))
}
