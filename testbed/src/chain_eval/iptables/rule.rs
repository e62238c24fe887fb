//! One rule: its options, as iptables(8) and iptables-extensions(8) write them.

use super::matches::{Interface, Match, Outcome};
use super::options::Options;
use crate::chain_eval::Seen;
use crate::chain_eval::ipset::Sets;
use std::net::IpAddr;

use ipnet::IpNet;

/// Longest comment (`XT_MAX_COMMENT_LEN`, without its end).
const LONGEST_COMMENT: usize = 255;

/// Longest prefix of a message (`--nflog-prefix`, without its end).
const LONGEST_PREFIX: usize = 63;

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// In the order in which the kernel asks them.
    pub matches: Vec<Match>,
    /// Where it leads.
    pub target: Target,
    /// `--comment`; empty where there is none.
    pub comment: String,
}

/// Where a rule leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nowhere: it only counts.
    None,
    /// `-j ACCEPT`.
    Accept,
    /// `-j DROP`.
    Drop,
    /// `-j RETURN`.
    Return,
    /// `-j NFLOG`, with its prefix.
    Log(String),
    /// `-j` to a chain.
    Jump(String),
    /// `-g`.
    Goto(String),
}

impl Rule {
    /// Whether the rule is about the packet.
    pub fn applies(&self, seen: &Seen<'_>, sets: &Sets) -> Outcome {
        let outcomes = self.matches.iter().map(|one| one.applies(seen, sets));
        outcomes.into_iter().find(|outcome| *outcome != Outcome::Yes).unwrap_or(Outcome::Yes)
    }

    /// Comments of the elements by which sets held what they were asked about.
    pub fn elements(&self, seen: &Seen<'_>, sets: &Sets) -> Vec<String> {
        let elements = self.matches.iter().filter_map(|one| match one {
            Match::Set { name, ends, negated: false } => sets.comment(name, ends, seen),
            _ => None,
        });
        elements.cloned().collect()
    }
}

/// The rules that one line of options stands for: one, or one for each of several addresses.
pub fn parse(words: &[String], is_v6: bool, sets: &Sets) -> Result<Vec<Rule>, String> {
    let mut options = Options::new(words);
    let mut draft = Draft { is_v6, ..Draft::default() };
    while let Some(option) = options.next_option()? {
        draft.option(&option, &mut options, sets)?;
        if option.negated && !options.takes_negation() {
            return Err(format!("`!` before `{}` is not known", option.name));
        }
    }
    draft.finish()
}

/// A rule while its options are read.
#[derive(Debug, Default)]
struct Draft {
    is_v6: bool,
    sources: Vec<Match>,
    destinations: Vec<Match>,
    input: Option<Match>,
    output: Option<Match>,
    protocol: Option<(u8, bool)>,
    modules: Vec<String>,
    matches: Vec<Match>,
    target: Option<Target>,
    group: bool,
    comment: String,
}

/// An option, and whether `!` stands before it.
#[derive(Clone, Debug)]
pub struct Named {
    pub name: String,
    pub negated: bool,
}

impl Draft {
    fn option(
        &mut self,
        option: &Named,
        options: &mut Options<'_>,
        sets: &Sets,
    ) -> Result<(), String> {
        let negated = option.negated;
        match option.name.as_str() {
            "-p" | "--protocol" => {
                let name = options.value()?;
                let number = crate::chain_eval::unread::protocol_number(name);
                let number = number.ok_or_else(|| format!("there is no protocol `{name}`"))?;
                if self.protocol.replace((number, negated)).is_some() {
                    return Err("a rule has one `-p`".to_owned());
                }
                options.negation_is_taken();
            }
            "-s" | "--source" => {
                self.sources = self.addresses(options, negated, Match::Source)?;
            }
            "-d" | "--destination" => {
                self.destinations = self.addresses(options, negated, Match::Destination)?;
            }
            "-i" | "--in-interface" => {
                self.input = Some(Match::Input(Interface::read(options.value()?)?, negated));
                options.negation_is_taken();
            }
            "-o" | "--out-interface" => {
                self.output = Some(Match::Output(Interface::read(options.value()?)?, negated));
                options.negation_is_taken();
            }
            "-m" | "--match" => {
                let module = options.value()?;
                super::options::check_module(module, self.protocol, self.is_v6)?;
                self.modules.push(module.to_owned());
            }
            "-j" | "--jump" | "-g" | "--goto" => {
                let goes = matches!(option.name.as_str(), "-g" | "--goto");
                let target = target(options.value()?, goes);
                if self.target.replace(target).is_some() {
                    return Err("a rule has one target".to_owned());
                }
            }
            "--comment" if self.has("comment") => {
                options.value()?.clone_into(&mut self.comment);
                if self.comment.len() > LONGEST_COMMENT {
                    return Err("the comment is too long".to_owned());
                }
            }
            "--nflog-group" if matches!(self.target, Some(Target::Log(_))) => {
                let group = options.value()?;
                group.parse::<u16>().map_err(|_| format!("there is no group `{group}`"))?;
                self.group = true;
            }
            "--nflog-prefix" => {
                let Some(Target::Log(prefix)) = &mut self.target else {
                    return Err("`--nflog-prefix` belongs to `-j NFLOG`".to_owned());
                };
                options.value()?.clone_into(prefix);
                if prefix.len() > LONGEST_PREFIX {
                    return Err("the prefix is too long".to_owned());
                }
            }
            _ => {
                let read =
                    super::options::read(option, options, &self.modules, self.protocol, sets)?;
                self.matches.push(read);
            }
        }
        Ok(())
    }

    fn has(&self, module: &str) -> bool {
        self.modules.iter().any(|known| known == module)
    }

    /// One match for each of the addresses in a list.
    fn addresses(
        &self,
        options: &mut Options<'_>,
        negated: bool,
        make: impl Fn(IpNet, bool) -> Match,
    ) -> Result<Vec<Match>, String> {
        options.negation_is_taken();
        let list = options.value()?;
        let nets = list.split(',').map(|text| net(text, self.is_v6));
        let nets = nets.collect::<Result<Vec<IpNet>, String>>()?;
        if negated && nets.len() > 1 {
            return Err("`!` goes with one address only".to_owned());
        }
        Ok(nets.into_iter().map(|net| make(net, negated)).collect())
    }

    /// In the kernel's order: addresses, interfaces, protocol, then the other matches as written.
    fn finish(self) -> Result<Vec<Rule>, String> {
        let Self { sources, destinations, input, output, protocol, matches, comment, .. } = self;
        if matches!(self.target, Some(Target::Log(_))) && !self.group {
            return Err("`-j NFLOG` needs a group".to_owned());
        }
        let target = self.target.unwrap_or(Target::None);
        let protocol = protocol.map(|(number, negated)| Match::Protocol(number, negated));
        let rest: Vec<Match> =
            input.into_iter().chain(output).chain(protocol).chain(matches).collect();
        let each = |list: Vec<Match>| -> Vec<Option<Match>> {
            if list.is_empty() { vec![None] } else { list.into_iter().map(Some).collect() }
        };
        let destinations = each(destinations);
        let mut rules = Vec::new();
        for source in each(sources) {
            for destination in &destinations {
                let addresses = source.iter().chain(destination).cloned();
                rules.push(Rule {
                    matches: addresses.chain(rest.iter().cloned()).collect(),
                    target: target.clone(),
                    comment: comment.clone(),
                });
            }
        }
        Ok(rules)
    }
}

/// What `-j name` means, or `-g name`.
fn target(name: &str, goes: bool) -> Target {
    match name {
        name if goes => Target::Goto(name.to_owned()),
        "ACCEPT" => Target::Accept,
        "DROP" => Target::Drop,
        "RETURN" => Target::Return,
        "NFLOG" => Target::Log(String::new()),
        name => Target::Jump(name.to_owned()),
    }
}

/// An address or prefix of the family; bits behind the prefix mean nothing.
pub fn net(text: &str, is_v6: bool) -> Result<IpNet, String> {
    let net = match text.contains('/') {
        true => text.parse::<IpNet>().ok(),
        false => text.parse::<IpAddr>().ok().map(IpNet::from),
    };
    let net = net.filter(|net| net.addr().is_ipv6() == is_v6);
    net.map(|net| net.trunc()).ok_or_else(|| format!("`{text}` is no address of this family"))
}
