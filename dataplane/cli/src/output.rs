//! stdout is data; stderr is logs, prompts and progress.

use crate::arguments::{Color, Global};

/// Applies the global flags to colour and logs.
pub fn set_up(global: &Global) {
    match global.color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
    let level = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("RINGFENCE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// Prints a warning on stderr, unless `--quiet` was given.
pub fn warn(warning: impl std::fmt::Display) {
    if tracing::enabled!(tracing::Level::WARN) {
        anstream::eprintln!("\x1b[1;33mwarning\x1b[0m: {warning}");
    }
}

/// A count with its noun: `1 policy`, `2 policies`.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
