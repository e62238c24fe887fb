//! What tools say when they refuse something: which line they mean, and why.

/// The number of the line that a tool refuses, as it counts: from 1. Nothing if it names none.
///
/// The shapes: `line 4 failed` and `Error occurred at line: 4` (iptables of both variants),
/// `line 4: RULE_APPEND failed (…)` (of the nft variant when the kernel refuses),
/// `Error in line 4: …` (ipset), `/dev/stdin:4:12-15: Error: …` (nft).
pub(super) fn failing_line(words: &str) -> Option<usize> {
    let before = ["Error occurred at line: ", "Error in line ", "/dev/stdin:", ": line "];
    words.lines().find_map(|line| {
        let number = match line.strip_prefix("line ") {
            Some(number) => number,
            None => before.iter().find_map(|before| Some(line.split_once(before)?.1))?,
        };
        let end = number.find(|character: char| !character.is_ascii_digit());
        number[..end.unwrap_or(number.len())].parse().ok()
    })
}

/// The file whose lock iptables could not take in time; nothing if that was not the trouble.
pub(super) fn locked_file(words: &str) -> Option<String> {
    if !words.contains("holding the xtables lock") {
        return None;
    }
    let file = words.split_once("Can't lock ").and_then(|(_, rest)| rest.split_once(": "));
    Some(file.map_or_else(|| "/run/xtables.lock".to_owned(), |(file, _)| file.to_owned()))
}

/// Why, in the tool's words and in one line: without its own name, its advice to ask it for help,
/// warnings, and the number of the line.
pub(super) fn reason(words: &str) -> String {
    let lines = words.lines().map(str::trim).filter(|line| {
        !line.is_empty()
            && !["Try `", "# Warning:", "Warning:", "Error occurred at line:"]
                .iter()
                .any(|noise| line.starts_with(noise))
    });
    let reasons: Vec<&str> = lines.map(without_place).filter(|line| !line.is_empty()).collect();
    // nft shows the line again with marks below it; the line is named already.
    let is_nft = words.contains("/dev/stdin:");
    let wanted = if is_nft { 1 } else { reasons.len() };
    reasons[..wanted.min(reasons.len())].join("; ")
}

/// A line of what a tool says without the tool's name and the place that it means.
fn without_place(line: &str) -> &str {
    if let Some((_, reason)) = line.split_once("Error: ") {
        return reason;
    }
    if let Some((_, reason)) = line.split_once("Error in line ") {
        return reason.split_once(": ").map_or(reason, |(_, reason)| reason);
    }
    // `iptables-nft-restore v1.8.9 (nf_tables): …`
    match line.split_once("): ") {
        Some((name, reason)) if name.contains(" v1.") => reason,
        _ if line.ends_with("):") && line.contains(" v1.") => "",
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the tools of Debian 12 say, the line they mean, and what is left of it.
    const SAID: &[(&str, usize, &str)] = &[
        (
            "iptables-restore v1.8.9 (legacy): Couldn't load match `nonsense':No such file or \
             directory\n\nError occurred at line: 3\nTry `iptables-restore -h' or \
             'iptables-restore --help' for more information.\n",
            3,
            "Couldn't load match `nonsense':No such file or directory",
        ),
        ("iptables-restore: line 12 failed\n", 12, "iptables-restore: line 12 failed"),
        (
            "ip6tables-nft-restore v1.8.9 (nf_tables): host/network `300.0.0.1' not found\n\
             Error occurred at line: 7\nTry `ip6tables-nft-restore -h' or \
             'ip6tables-nft-restore --help' for more information.\n",
            7,
            "host/network `300.0.0.1' not found",
        ),
        (
            "iptables-nft-restore v1.8.9 (nf_tables): \nline 3: RULE_APPEND failed (Invalid \
             argument): rule in chain RF-A\n",
            3,
            "line 3: RULE_APPEND failed (Invalid argument): rule in chain RF-A",
        ),
        (
            "iptables-nft-restore: line 2 failed: Bad rule (does a matching rule exist in that \
             chain?).\n",
            2,
            "iptables-nft-restore: line 2 failed: Bad rule (does a matching rule exist in that \
             chain?).",
        ),
        (
            "ipset v7.17: Error in line 40: Syntax error: cannot parse nonsense: resolving to \
             IPv4 address failed\n",
            40,
            "Syntax error: cannot parse nonsense: resolving to IPv4 address failed",
        ),
        (
            "/dev/stdin:2:22-26: Error: Service out of range\n chain a { tcp dport 70000 drop; \
             }\n                     ^^^^^\n",
            2,
            "Service out of range",
        ),
    ];

    #[test]
    fn each_shape_tells_its_line_and_its_reason() {
        for (words, line, why) in SAID {
            assert_eq!(failing_line(words), Some(*line), "{words}");
            assert_eq!(reason(words), *why, "{words}");
            assert_eq!(locked_file(words), None, "{words}");
        }
    }

    #[test]
    fn what_names_no_line_has_none() {
        for words in ["ipset v7.17: Kernel error received: Operation not permitted\n", ""] {
            assert_eq!(failing_line(words), None, "{words}");
        }
    }

    #[test]
    fn a_lock_is_told_by_its_file() {
        let words = "Can't lock /run/other.lock: Resource temporarily unavailable\nAnother app is \
                     currently holding the xtables lock. Stopped waiting after 5s.\n";
        assert_eq!(locked_file(words).as_deref(), Some("/run/other.lock"));
        let older = "Another app is currently holding the xtables lock; still 1s 0us time ahead";
        assert_eq!(locked_file(older).as_deref(), Some("/run/xtables.lock"));
    }
}
