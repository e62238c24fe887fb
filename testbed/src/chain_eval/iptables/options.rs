//! Options of the match extensions (iptables-extensions(8)).

use super::matches::{Match, Ports, Which};
use super::rule::Named;
use crate::chain_eval::conntrack::State;
use crate::chain_eval::ipset::{End, Sets};
use crate::chain_eval::packet::{flags, protocol};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The most ports that `multiport` takes; a range counts twice (`XT_MULTI_PORTS`).
const MOST_PORTS: usize = 15;

/// The words of a rule, read from the first to the last.
#[derive(Debug)]
pub struct Options<'w> {
    words: std::slice::Iter<'w, String>,
    takes_negation: bool,
}

impl<'w> Options<'w> {
    /// Options that are written as `words`.
    pub fn new(words: &'w [String]) -> Self {
        Self { words: words.iter(), takes_negation: false }
    }

    /// The next option; nothing at the end.
    pub fn next_option(&mut self) -> Result<Option<Named>, String> {
        self.takes_negation = false;
        let Some(word) = self.words.next() else { return Ok(None) };
        let negated = word == "!";
        let name = if negated { self.value()? } else { word };
        if !name.starts_with('-') {
            return Err(format!("`{name}` is no option"));
        }
        Ok(Some(Named { name: name.to_owned(), negated }))
    }

    /// What stands behind the option.
    pub fn value(&mut self) -> Result<&'w str, String> {
        self.words.next().map(String::as_str).ok_or_else(|| "a word is missing".to_owned())
    }

    /// The option that was read knows `!`.
    pub fn negation_is_taken(&mut self) {
        self.takes_negation = true;
    }

    /// Whether it does.
    pub fn takes_negation(&self) -> bool {
        self.takes_negation
    }
}

/// Whether `-m module` may stand behind that `-p`.
pub fn check_module(module: &str, protocol: Option<(u8, bool)>, is_v6: bool) -> Result<(), String> {
    let is = |numbers: &[u8]| {
        protocol.is_some_and(|(number, negated)| !negated && numbers.contains(&number))
    };
    let fits = match module {
        "comment" | "conntrack" | "state" | "set" | "time" | "addrtype" | "iprange" => true,
        "tcp" => is(&[protocol::TCP]),
        "udp" => is(&[protocol::UDP]),
        "sctp" => is(&[protocol::SCTP]),
        "multiport" => is(&[protocol::TCP, protocol::UDP, protocol::SCTP]),
        "icmp" => is(&[protocol::ICMP]) && !is_v6,
        "icmp6" => is(&[protocol::ICMPV6]) && is_v6,
        "hl" => is_v6,
        "ttl" => !is_v6,
        _ => return Err(format!("match `{module}` is not known")),
    };
    if fits { Ok(()) } else { Err(format!("`-m {module}` does not go with this protocol")) }
}

/// Reads an option of one of `modules`, or of the protocol.
pub fn read(
    option: &Named,
    options: &mut Options<'_>,
    modules: &[String],
    protocol: Option<(u8, bool)>,
    sets: &Sets,
) -> Result<Match, String> {
    let has = |module: &str| modules.iter().any(|known| known == module);
    // A protocol's own options need no `-m`.
    let is = |number: u8| protocol == Some((number, false));
    let by_port = is(protocol::TCP) || is(protocol::UDP) || is(protocol::SCTP);
    let negated = option.negated;
    let read = match option.name.as_str() {
        "--ctstate" if has("conntrack") => Match::State(states(options.value()?)?, negated),
        "--state" if has("state") => Match::State(states(options.value()?)?, negated),
        "--dport" | "--destination-port" if by_port => ports(options, Which::Destination, negated)?,
        "--sport" | "--source-port" if by_port => ports(options, Which::Source, negated)?,
        "--dports" | "--destination-ports" if has("multiport") => {
            multiport(options, Which::Destination, negated)?
        }
        "--sports" | "--source-ports" if has("multiport") => {
            multiport(options, Which::Source, negated)?
        }
        "--tcp-flags" if is(protocol::TCP) => {
            let (mask, set) = (tcp_flags(options.value()?)?, tcp_flags(options.value()?)?);
            Match::TcpFlags { mask, set, negated }
        }
        "--syn" if is(protocol::TCP) => {
            let mask = flags::SYN | flags::ACK | flags::RST | flags::FIN;
            Match::TcpFlags { mask, set: flags::SYN, negated }
        }
        "--icmp-type" if is(protocol::ICMP) => match icmp(options.value()?, negated)? {
            Match::Icmp { kind: 255, .. } => {
                return Err("for the kernel type 255 of ICMP is every type".to_owned());
            }
            one => one,
        },
        "--icmpv6-type" if is(protocol::ICMPV6) => icmp(options.value()?, negated)?,
        "--match-set" if has("set") => {
            let name = options.value()?;
            let ends = options.value()?.split(',').map(|word| match word {
                "src" => Ok(End::Source),
                "dst" => Ok(End::Destination),
                other => Err(format!("`{other}` is neither `src` nor `dst`")),
            });
            let ends = ends.collect::<Result<Vec<End>, String>>()?;
            sets.check(name, &ends)?;
            Match::Set { name: name.to_owned(), ends, negated }
        }
        "--datestop" if has("time") && !negated => Match::Until(date(options.value()?)?),
        "--datestart" if has("time") && !negated => Match::From(date(options.value()?)?),
        "--hl-eq" if has("hl") => Match::HopLimit(number(options.value()?)?, negated),
        "--ttl-eq" if has("ttl") => Match::HopLimit(number(options.value()?)?, negated),
        "--src-type" if has("addrtype") => local(options, Which::Source, negated)?,
        "--dst-type" if has("addrtype") => local(options, Which::Destination, negated)?,
        "--src-range" if has("iprange") => range(options, Which::Source, negated)?,
        "--dst-range" if has("iprange") => range(options, Which::Destination, negated)?,
        name => return Err(format!("option `{name}` is not known here")),
    };
    options.negation_is_taken();
    Ok(read)
}

fn states(list: &str) -> Result<Vec<State>, String> {
    let states = list.split(',').map(|word| match word {
        "NEW" => Ok(State::New),
        "ESTABLISHED" => Ok(State::Established),
        "RELATED" => Ok(State::Related),
        "INVALID" => Ok(State::Invalid),
        "UNTRACKED" => Ok(State::Untracked),
        other => Err(format!("there is no state `{other}`")),
    });
    states.collect()
}

/// `first:last`, or one port.
fn ports(options: &mut Options<'_>, which: Which, negated: bool) -> Result<Match, String> {
    let range = port_range(options.value()?)?;
    Ok(Match::Ports { which, ports: Ports { ranges: vec![range], needs_header: true }, negated })
}

fn multiport(options: &mut Options<'_>, which: Which, negated: bool) -> Result<Match, String> {
    let ranges = options.value()?.split(',').map(port_range);
    let ranges = ranges.collect::<Result<Vec<(u16, u16)>, String>>()?;
    let slots: usize = ranges.iter().map(|(first, last)| 1 + usize::from(first != last)).sum();
    if slots > MOST_PORTS {
        return Err(format!("`multiport` has no room for {slots} ports"));
    }
    Ok(Match::Ports { which, ports: Ports { ranges, needs_header: false }, negated })
}

fn port_range(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once(':').unwrap_or((text, text));
    let range = (number(first)?, number(last)?);
    if range.0 <= range.1 { Ok(range) } else { Err(format!("`{text}` goes backwards")) }
}

fn tcp_flags(list: &str) -> Result<u8, String> {
    let bit = |word: &str| {
        Ok(match word {
            "FIN" => flags::FIN,
            "SYN" => flags::SYN,
            "RST" => flags::RST,
            "PSH" => flags::PSH,
            "ACK" => flags::ACK,
            "URG" => flags::URG,
            "ALL" => 0x3f,
            "NONE" => 0,
            other => return Err(format!("there is no TCP flag `{other}`")),
        })
    };
    list.split(',').try_fold(0, |bits, word| Ok(bits | bit(word)?))
}

/// `type`, or `type/code`, in numbers.
fn icmp(text: &str, negated: bool) -> Result<Match, String> {
    let (kind, code) = match text.split_once('/') {
        Some((kind, code)) => (number(kind)?, Some(number(code)?)),
        None => (number(text)?, None),
    };
    Ok(Match::Icmp { kind, code, negated })
}

fn date(text: &str) -> Result<jiff::Timestamp, String> {
    let date: Option<DateTime> = text.parse().ok();
    let zoned = date.and_then(|date| date.to_zoned(TimeZone::UTC).ok());
    zoned.map(|zoned| zoned.timestamp()).ok_or_else(|| format!("`{text}` is no date"))
}

fn local(options: &mut Options<'_>, which: Which, negated: bool) -> Result<Match, String> {
    match options.value()? {
        "LOCAL" => Ok(Match::Local(which, negated)),
        other => Err(format!("addresses of type `{other}` are not known")),
    }
}

fn range(options: &mut Options<'_>, which: Which, negated: bool) -> Result<Match, String> {
    let text = options.value()?;
    let ends = text.split_once('-').and_then(|(first, last)| {
        let ends: (std::net::IpAddr, std::net::IpAddr) = (first.parse().ok()?, last.parse().ok()?);
        (ends.0.is_ipv4() == ends.1.is_ipv4() && ends.0 <= ends.1).then_some(ends)
    });
    let (first, last) = ends.ok_or_else(|| format!("`{text}` is no range of addresses"))?;
    Ok(Match::Range { which, first, last, negated })
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("`{text}` is no number that fits here"))
}
