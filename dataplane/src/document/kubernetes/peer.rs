//! `NetworkPolicyPeer` and `IPBlock` (`k8s.io/api/networking/v1`).

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use super::Spanned;
use super::selector::LabelSelector;
use crate::document::codes::Code;
use crate::document::context::{Context, Fields, Object};
use crate::document::yaml::Node;

/// An item of `from` or `to`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NetworkPolicyPeer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_block: Option<IpBlock>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<Spanned<LabelSelector>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<Spanned<LabelSelector>>,
}

/// A block of addresses with exceptions.
#[derive(Clone, Debug, Serialize)]
pub(super) struct IpBlock {
    pub cidr: Cidr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub except: Option<Vec<Cidr>>,
}

/// A CIDR block, as it is written and as it is meant.
#[derive(Clone, Debug)]
pub(super) struct Cidr {
    text: String,
    /// Without host bits.
    pub net: IpNet,
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl NetworkPolicyPeer {
    /// Reads an item of `from` or `to`.
    pub fn read(context: &mut Context, node: &Node) -> Option<Self> {
        let what = "a peer";
        let fields = Fields::Known(&["podSelector", "namespaceSelector", "ipBlock"]);
        let before = context.findings.errors;
        let object = context.object(node, what, fields)?;
        let selector = |context: &mut Context, field: &str| {
            object.value(field).map(|node| LabelSelector::read(context, node, field))
        };
        let pod_selector = selector(context, "podSelector");
        let namespace_selector = selector(context, "namespaceSelector");
        let ip_block = object.value("ipBlock").map(|node| IpBlock::read(context, node));
        let selects = pod_selector.is_some() || namespace_selector.is_some();
        match (&ip_block, selects) {
            // An unknown field is likely to be the one that was meant.
            (None, false) if context.findings.errors == before => empty(context, &object),
            (Some(_), true) => mixed(context, &object),
            _ => {}
        }
        if context.findings.errors > before {
            return None;
        }
        Some(Self {
            ip_block: ip_block.flatten(),
            namespace_selector: namespace_selector.flatten(),
            pod_selector: pod_selector.flatten(),
        })
    }
}

fn empty(context: &mut Context, object: &Object) {
    context
        .error(Code::EmptyPeer, object.span, "this peer names nobody")
        .label("it has none of `podSelector`, `namespaceSelector` and `ipBlock`")
        .help("name the peer; `podSelector: {}` means every workload of the policy's namespace");
}

fn mixed(context: &mut Context, object: &Object) {
    let span = object.get("ipBlock").map_or(object.span, |entry| entry.key.span);
    context
        .error(Code::MixedPeer, span, "`ipBlock` goes with no selector in one peer")
        .label("addresses and labels are different peers")
        .help("make two items of it, each with its own `-`");
}

impl IpBlock {
    fn read(context: &mut Context, node: &Node) -> Option<Self> {
        let what = "`ipBlock`";
        let object = context.object(node, what, Fields::Known(&["cidr", "except"]))?;
        let cidr = match object.value("cidr") {
            Some(node) => Cidr::read(context, node).map(|cidr| (cidr, node.span)),
            None => {
                context.missing(&object, what, "cidr");
                None
            }
        };
        let except = match object.value("except") {
            Some(node) => Some(context.list(node, "`except` is a list of CIDR blocks")?),
            None => None,
        };
        let except = except.map(|items| {
            let read: Vec<_> = items
                .iter()
                .map(|item| {
                    let except = Cidr::read(context, item)?;
                    let (cidr, span) = cidr.as_ref()?;
                    let (block, net) = (cidr.net, except.net);
                    if block.contains(&net) && block != net {
                        return Some(except);
                    }
                    let place = context.place(*span);
                    context
                        .error(
                            Code::ExceptOutside,
                            item.span,
                            format!("the exception `{net}` is not strictly within `{block}`"),
                        )
                        .label("this takes nothing away, or everything")
                        .related(place, "the block")
                        .help("except smaller blocks of the block; remove what lies outside");
                    None
                })
                .collect();
            read.into_iter().collect::<Option<Vec<_>>>()
        });
        let except = match except {
            Some(except) => Some(except?),
            None => None,
        };
        Some(Self { cidr: cidr?.0, except })
    }
}

impl Cidr {
    /// As it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Reads a CIDR block; host bits are warned about.
    pub fn read(context: &mut Context, node: &Node) -> Option<Self> {
        let text = context.text(node, "a CIDR block")?;
        let net = match parse(text) {
            Some(IpNet::V6(net)) if net.addr().to_ipv4_mapped().is_some() => {
                invalid(context, node, text, "write IPv4 addresses as IPv4");
                return None;
            }
            Some(net) => net,
            None => {
                let help = match text.parse::<IpAddr>() {
                    Ok(IpAddr::V4(_)) => format!("for this one address write `{text}/32`"),
                    Ok(IpAddr::V6(_)) => format!("for this one address write `{text}/128`"),
                    Err(_) => "write an address, `/` and the length of the prefix, as in \
                               `10.0.0.0/8` or `2001:db8::/32`"
                        .to_owned(),
                };
                invalid(context, node, text, &help);
                return None;
            }
        };
        if net != net.trunc() {
            let meant = net.trunc();
            context
                .warning(Code::HostBits, node.span, format!("`{text}` has bits beyond its prefix"))
                .label(format!("this means `{meant}`"))
                .help(format!(
                    "write `{meant}`, or `{}` for the one address",
                    IpNet::from(net.addr())
                ));
        }
        Some(Self { text: text.to_owned(), net: net.trunc() })
    }
}

/// An address, `/` and a decimal prefix length, without leading zeros in any of them.
fn parse(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let decimal = length.bytes().all(|byte| byte.is_ascii_digit());
    if !decimal || (length.starts_with('0') && length != "0") {
        return None;
    }
    IpNet::new(address.parse().ok()?, length.parse().ok()?).ok()
}

fn invalid(context: &mut Context, node: &Node, text: &str, help: &str) {
    context
        .error(Code::InvalidCidr, node.span, format!("`{text}` is not a CIDR block"))
        .label("not an address with a prefix length")
        .help(help);
}
