//! Text that the tool it is for would not take, or that is not understood here.

/// Why text cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the {text}: {why}")]
pub struct Unread {
    /// What was read: `iptables rules`.
    pub text: &'static str,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

/// The words of a line: separated by blanks, those in double quotes kept together, in which a
/// backslash stands for the character after it (iptables-restore(8), ipset(8)).
///
/// # Errors
///
/// What is wrong with the line.
pub(super) fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter.is_whitespace() {
            continue;
        }
        let mut word = String::new();
        if letter != '"' {
            word.push(letter);
            while let Some(next) = letters.next_if(|next| !next.is_whitespace()) {
                if next == '"' {
                    return Err("there is a quote in the middle of a word".to_owned());
                }
                word.push(next);
            }
            words.push(word);
            continue;
        }
        loop {
            match letters.next() {
                Some('"') => break,
                Some('\\') => word.extend(letters.next()),
                Some(letter) => word.push(letter),
                None => return Err("a quote is not closed".to_owned()),
            }
        }
        if letters.peek().is_some_and(|next| !next.is_whitespace()) {
            return Err("there is a quote in the middle of a word".to_owned());
        }
        words.push(word);
    }
    Ok(words)
}

/// Numbers of the protocols that tools know by name (/etc/protocols, as IANA assigns them).
pub(super) fn protocol_number(name: &str) -> Option<u8> {
    let known = [
        ("icmp", 1),
        ("igmp", 2),
        ("tcp", 6),
        ("udp", 17),
        ("gre", 47),
        ("esp", 50),
        ("ah", 51),
        ("icmpv6", 58),
        ("ipv6-icmp", 58),
        ("ipv6-nonxt", 59),
        ("vrrp", 112),
        ("sctp", 132),
    ];
    let named = known.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    named.or_else(|| name.parse().ok())
}
