//! Lines of `ipset restore`'s input.

use std::collections::{BTreeMap, BTreeSet};

use super::{Element, Kind, Set, Sets, element};
use crate::chain_eval::unread::{Unread, words};

/// Longest name of a set (`IPSET_MAXNAMELEN`, without its end).
const LONGEST_NAME: usize = 31;

/// Longest comment of an element (`IPSET_MAX_COMMENT_SIZE`).
const LONGEST_COMMENT: usize = 255;

/// Elements that a set has room for unless told otherwise (ipset(8), `maxelem`).
const MOST_ELEMENTS: usize = 65_536;

pub fn sets(text: &str) -> Result<Sets, Unread> {
    let mut sets = Sets::default();
    for (index, line) in text.lines().enumerate() {
        let unread = |why| Unread { text: "ipset sets", line: index + 1, why };
        sets.line(line).map_err(unread)?;
    }
    Ok(sets)
}

impl Sets {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let words = words(line)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["create", name, kind, ref options @ ..] => self.create(name, kind, options),
            ["add", name, text, ref options @ ..] => {
                let set = self.sets.get_mut(name);
                set.ok_or_else(|| format!("there is no set `{name}`"))?.add(text, options)
            }
            _ => Err("this is neither `create` nor `add`".to_owned()),
        }
    }

    fn create(&mut self, name: &str, kind: &str, options: &[&str]) -> Result<(), String> {
        let kind = match kind {
            "hash:net" => Kind::Net,
            "hash:net,port" => Kind::NetPort,
            "hash:net,iface" => Kind::NetInterface,
            _ => return Err(format!("type `{kind}` is not known")),
        };
        if name.is_empty() || name.len() > LONGEST_NAME || self.sets.contains_key(name) {
            return Err(format!("`{name}` can be no set's name here"));
        }
        let mut set = Set {
            kind,
            is_v6: false,
            comments: false,
            most: MOST_ELEMENTS,
            elements: BTreeMap::new(),
            lengths: BTreeSet::new(),
        };
        let mut options = options.iter();
        while let Some(option) = options.next() {
            let mut value = || options.next().copied().ok_or(format!("`{option}` has no value"));
            match *option {
                "family" => {
                    set.is_v6 = match value()? {
                        "inet" => false,
                        "inet6" => true,
                        other => return Err(format!("there is no family `{other}`")),
                    }
                }
                "maxelem" => set.most = number(value()?)?,
                "hashsize" => {
                    number(value()?)?;
                }
                "comment" => set.comments = true,
                "counters" => {}
                other => return Err(format!("option `{other}` is not known here")),
            }
        }
        self.sets.insert(name.to_owned(), set);
        Ok(())
    }
}

impl Set {
    fn add(&mut self, text: &str, options: &[&str]) -> Result<(), String> {
        let (mut is_exception, mut comment) = (false, String::new());
        let mut options = options.iter();
        while let Some(option) = options.next() {
            match *option {
                "nomatch" => is_exception = true,
                "comment" if self.comments => {
                    comment = (*options.next().ok_or("the comment is missing")?).to_owned();
                    if comment.len() > LONGEST_COMMENT {
                        return Err("the comment is too long".to_owned());
                    }
                }
                other => return Err(format!("option `{other}` is not known here")),
            }
        }
        for (net, other) in element::parse(self, text)? {
            let element = Element { is_exception, comment: comment.clone() };
            if self.elements.insert((net, other), element).is_some() {
                return Err(format!("`{text}` is in the set already"));
            }
            self.lengths.insert(net.prefix_len());
        }
        if self.elements.len() > self.most {
            return Err(format!("the set has no room for more than {} elements", self.most));
        }
        Ok(())
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}
