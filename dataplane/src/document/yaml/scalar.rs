//! What a scalar without quotes means.
//!
//! Kubernetes reads YAML 1.1, as Go's `yaml.v2` understands it, into JSON: `no` is false, `0755`
//! is 493. Manifests are read here the same way, so that a value that Kubernetes takes for
//! something else is found, not guessed at. `y` and `n` alone are text, as people who name a
//! namespace so expect; the readers in use disagree about them.

/// The meaning of a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::document) enum Resolved {
    Null,
    Boolean(bool),
    /// An integer written as JSON writes it.
    Integer(i64),
    /// An integer in another notation (`0x50`, `0755`, `1_000`, `+80`), or too large.
    OddInteger,
    Float,
    Text,
}

impl Resolved {
    /// For a sentence: `a number`.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) | Self::OddInteger => "a number",
            Self::Float => "a fraction",
            Self::Text => "text",
        }
    }
}

/// What the plain scalar `text` means in YAML 1.1.
pub(in crate::document) fn resolve(text: &str) -> Resolved {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Resolved::Null,
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => {
            Resolved::Boolean(true)
        }
        "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => {
            Resolved::Boolean(false)
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF"
        | ".nan" | ".NaN" | ".NAN" => Resolved::Float,
        _ if text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) => {
            number(text)
        }
        _ => Resolved::Text,
    }
}

fn number(text: &str) -> Resolved {
    if is_decimal(text) {
        return text.parse().map_or(Resolved::OddInteger, Resolved::Integer);
    }
    let plain = text.replace('_', "");
    let magnitude = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    let all = |digits: &str, radix| {
        !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix))
    };
    let other_base =
        [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)].iter().any(
            |&(prefix, radix)| magnitude.strip_prefix(prefix).is_some_and(|rest| all(rest, radix)),
        );
    if other_base || all(magnitude, 10) {
        Resolved::OddInteger
    } else if is_fraction(magnitude) {
        Resolved::Float
    } else {
        Resolved::Text
    }
}

/// Whether `text` is an integer as JSON writes it: `0`, `80`, `-7`.
fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let leading_zero = digits.starts_with('0') && digits.len() > 1;
    !digits.is_empty() && !leading_zero && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether `text` is `.5`, `1.`, `1.5`, `1e3` or the like, without a sign.
fn is_fraction(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_is_number = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent_is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_yaml_1_1_says() {
        for (expected, texts) in [
            (Resolved::Null, &["", "~", "null", "NULL"][..]),
            (Resolved::Boolean(true), &["true", "on", "yes", "YES"]),
            (Resolved::Boolean(false), &["false", "off", "no", "No"]),
            (Resolved::Integer(80), &["80"]),
            (Resolved::Integer(-1), &["-1"]),
            (Resolved::Integer(0), &["0"]),
            (
                Resolved::OddInteger,
                &["0x50", "0755", "0o17", "0b1", "1_000", "+80", "080", "99999999999999999999"],
            ),
            (Resolved::Float, &["1.0", ".5", "5.", "1e3", "12e45", "-1.5E-3", ".inf", ".nan"]),
            (
                Resolved::Text,
                &[
                    "web",
                    "10.0.0.1",
                    "1.2.3",
                    "v1",
                    "0xzz",
                    "2001:db8::1",
                    "-",
                    ".",
                    "1e",
                    "nope",
                    "y",
                    "N",
                ],
            ),
        ] {
            for text in texts {
                assert_eq!(resolve(text), expected, "`{text}`");
            }
        }
    }
}
