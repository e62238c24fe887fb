//! Rules for nftables: one table, `inet ringfence`, for both families.
//!
//! # Design
//!
//! A packet costs the same number of lookups however large policy is. Who it comes from and who it
//! is for are looked up in verdict maps by interface, or by interface and address; what policy
//! says, in one verdict map for each form of [`Form`](crate::backend::chains::Form) that the
//! subject has, whose keys are address, protocol and port together, with intervals.
//!
//! `source` runs before connections are tracked and refuses senders that are not who they say.
//! `forward`, `input` and `output` let known connections pass and lead everything else through the
//! chain of the endpoint that sends it (`from_…`) and that of the endpoint that it is for
//! (`to_…`). These lead to what policy says about the endpoint's subject (`out_…`, `in_…`), which
//! endpoints of the same labels share. `return` is "passes here"; nothing is ever accepted for
//! others.
//!
//! Every rule has a comment that says what it is about ([`About`](crate::backend::chains::About)),
//! and so has every element. The comment of a chain's first rule begins with a hash of the chain.
//!
//! # Not done here
//!
//! Frames that are not IP are not seen by an `inet` table. What a report is made of is the
//! kernel's (`nfnetlink_log`).

mod apply;
mod changes;
mod draft;
mod endpoint;
mod error;
mod hooks;
mod observed;
mod outcome;
mod ruleset;
mod script;
mod side;
mod source;
mod spelling;

use ringfence_common::abi::config::essential;
use ringfence_common::abi::policy::Direction;

pub use self::apply::Nftables;
pub use self::changes::Changes;
use self::draft::Draft;
use self::endpoint::Endpoint;
pub use self::error::{NftablesError, RenderError};
pub use self::ruleset::{Chain, Element, Map, Rule, Ruleset};
use crate::backend::chains::Plan;

/// The table that does what `plan` says.
///
/// # Errors
///
/// [`RenderError`] when something of the plan has no words in nft.
pub fn ruleset(plan: &Plan) -> Result<Ruleset, RenderError> {
    let mut draft = Draft::new(plan);
    if !draft.is_essential(essential::NON_IP) {
        return Err(RenderError::NonIp);
    }
    source::sets(&mut draft)?;
    source::chains(&mut draft);
    hooks::chains(&mut draft);
    hooks::strays(&mut draft);
    let has_host_chains = draft.is_essential(essential::HOST_TO_WORKLOAD);
    for guard in &plan.guards {
        endpoint::chain(&mut draft, Endpoint::from(guard), Direction::Egress);
        endpoint::chain(&mut draft, Endpoint::from(guard), Direction::Ingress);
        if has_host_chains {
            endpoint::chain_from_host(&mut draft, Endpoint::from(guard));
        }
    }
    if let Some(host) = &plan.host {
        endpoint::chain(&mut draft, Endpoint::from(host), Direction::Egress);
        endpoint::chain(&mut draft, Endpoint::from(host), Direction::Ingress);
    }
    Ok(draft.finish())
}
