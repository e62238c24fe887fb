//! Reading documents through the public interface.

mod accepted;
mod all_at_once;
mod cluster_network_policy;
mod explanations;
mod hostile;
mod meaning;
mod refused;
mod tiers;

use ringfence_dataplane::document::{self, Input, Options, Report, Validation};

/// Reads one text called `test.yaml`.
fn read(text: &str) -> Report {
    read_with(text, Validation::Strict)
}

fn read_with(text: &str, options: impl Into<Options>) -> Report {
    let input = Input::Text { name: "test.yaml".to_owned(), text: text.to_owned() };
    document::read(&[input], options)
}

/// What was found, one `line:column code` each, in order.
fn found(report: &Report) -> Vec<String> {
    report
        .diagnostics
        .iter()
        .map(|diagnostic| match &diagnostic.place {
            Some(place) => format!("{}:{} {}", place.line, place.column, diagnostic.code),
            None => format!("- {}", diagnostic.code),
        })
        .collect()
}

/// Fails with all diagnostics if there are any.
#[track_caller]
fn assert_clean(report: &Report) {
    assert!(report.diagnostics.is_empty(), "\n{}", report.render(false));
    assert!(report.policies.is_some(), "no errors, so there are policies");
}

/// The policy `web` of `shop` with this `spec`, which is indented by two already.
fn policy(spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
         metadata:\n  name: web\n  namespace: shop\nspec:\n{spec}"
    )
}
