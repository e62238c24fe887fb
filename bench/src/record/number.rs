//! Numbers for people: three digits and a unit.

use super::Measurement;

/// Three digits, without an exponent.
pub fn digits(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if !value.is_finite() => "no number".to_owned(),
        _ if size >= 99.95 => format!("{value:.0}"),
        _ if size >= 9.995 => format!("{value:.1}"),
        _ if size == 0.0 => "0".to_owned(),
        _ if size < 0.001 => format!("{value:.1e}"),
        _ => format!("{value:.2}"),
    }
}

/// A value in the unit of a measurement's statistic.
pub fn in_unit(measurement: Measurement, statistic: &str, value: f64) -> String {
    use super::statistic::{LOST, OFFERED};
    match measurement {
        Measurement::RoundTrip | Measurement::LossFree if statistic == LOST => {
            format!("{} %", digits(value * 100.0))
        }
        Measurement::RoundTrip if statistic == OFFERED => rate(value, "packets"),
        Measurement::Decision
        | Measurement::Send
        | Measurement::Cpu
        | Measurement::RoundTrip
        | Measurement::Change => time(value),
        Measurement::LossFree | Measurement::Drop => rate(value, "packets"),
        Measurement::Stream => rate(value, "bits"),
        Measurement::Connect => rate(value, "connections"),
        Measurement::Disturbance => format!("{} packets", digits(value)),
        Measurement::Memory => bytes(value),
    }
}

/// Nanoseconds, in the unit that fits.
pub fn time(ns: f64) -> String {
    let (scale, unit) = match ns.abs() {
        size if size >= 999.5e6 => (1e9, "s"),
        size if size >= 999.5e3 => (1e6, "ms"),
        size if size >= 999.5 => (1e3, "µs"),
        _ => (1.0, "ns"),
    };
    format!("{} {unit}", digits(ns / scale))
}

/// A time beside an axis.
pub fn time_tick(ns: f64) -> String {
    short(&time(ns))
}

/// So many a second, beside an axis.
pub fn rate_tick(value: f64) -> String {
    let (scale, prefix) = thousands(value);
    short(&format!("{} {prefix}", digits(value / scale))) + "/s"
}

/// So many a second, without saying of what.
pub fn rate_short(value: f64) -> String {
    let (scale, prefix) = thousands(value);
    format!("{} {prefix}/s", digits(value / scale))
}

/// Bytes beside an axis, whose decades are no powers of 1,024.
pub fn bytes_tick(value: f64) -> String {
    format!("{} B", grouped(value))
}

/// A round number without its zeros after the point.
fn short(text: &str) -> String {
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let is_fraction = number.contains('.');
    let number =
        if is_fraction { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number} {unit}")
}

/// So many a second.
pub fn rate(value: f64, what: &str) -> String {
    let (scale, prefix) = thousands(value);
    format!("{} {prefix}{what}/s", digits(value / scale))
}

/// Bytes, in units of 1,024.
pub fn bytes(value: f64) -> String {
    let (scale, unit) = match value.abs() {
        size if size >= 1023.5 * 1024.0 * 1024.0 => (1024.0 * 1024.0 * 1024.0, "GiB"),
        size if size >= 1023.5 * 1024.0 => (1024.0 * 1024.0, "MiB"),
        size if size >= 1023.5 => (1024.0, "KiB"),
        _ => (1.0, "B"),
    };
    format!("{} {unit}", digits(value / scale))
}

/// A number of rules: `10`, `1K`, `100K`, `1.5K`.
pub fn rules(count: usize) -> String {
    match count {
        _ if count >= 1_000_000 && count.is_multiple_of(1_000_000) => {
            format!("{}M", count / 1_000_000)
        }
        _ if count >= 1_000 && count.is_multiple_of(1_000) => format!("{}K", count / 1_000),
        _ => count.to_string(),
    }
}

/// How many times one is the other: `×1,230`, `×0.42`.
pub fn factor(value: f64) -> String {
    if value.is_finite() && value >= 999.5 {
        // Three digits of it are known at most.
        let scale = 10_f64.powf(value.log10().floor() - 2.0);
        return format!("×{}", grouped((value / scale).round() * scale));
    }
    format!("×{}", digits(value))
}

/// A large whole number with commas.
fn grouped(value: f64) -> String {
    let text = format!("{value:.0}");
    let mut grouped = String::new();
    for (place, digit) in text.chars().enumerate() {
        if place > 0 && (text.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn thousands(value: f64) -> (f64, &'static str) {
    match value.abs() {
        size if size >= 999.5e6 => (1e9, "G"),
        size if size >= 999.5e3 => (1e6, "M"),
        size if size >= 999.5 => (1e3, "K"),
        _ => (1.0, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_tell_enough() {
        for (ns, text) in [
            (0.0, "0 ns"),
            (3.456, "3.46 ns"),
            (99.96, "100 ns"),
            (999.6, "1.00 µs"),
            (-23_456.0, "-23.5 µs"),
            (7_800_000.0, "7.80 ms"),
            (2.5e9, "2.50 s"),
            (f64::NAN, "no number ns"),
        ] {
            assert_eq!(time(ns), text);
        }
    }

    #[test]
    fn each_unit_has_its_steps() {
        assert_eq!(rate(1_234_567.0, "packets"), "1.23 Mpackets/s");
        assert_eq!(bytes(1536.0), "1.50 KiB");
        assert_eq!(
            [time_tick(1e5), time_tick(2e3), rate_tick(1e6), rate_tick(10.0), bytes_tick(1e4)],
            ["100 µs", "2 µs", "1 M/s", "10 /s", "10,000 B"]
        );
        assert_eq!(rules(100_000), "100K");
        assert_eq!(rules(1_500), "1500");
        assert_eq!(in_unit(Measurement::RoundTrip, "lost", 0.251), "25.1 %");
        assert_eq!(in_unit(Measurement::Stream, "rate", 9.4e9), "9.40 Gbits/s");
    }

    #[test]
    fn factors_have_commas_and_no_more_digits_than_are_known() {
        assert_eq!(factor(1_234_567.0), "×1,230,000");
        assert_eq!(factor(1_000.4), "×1,000");
        assert_eq!(factor(0.4217), "×0.42");
        assert_eq!(factor(12.34), "×12.3");
    }
}
