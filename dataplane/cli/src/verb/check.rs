//! `ringfence check -f …`

use std::io::Write;

use clap::{Args, ValueEnum};
use ringfence_dataplane::document::{Diagnostic, DocumentSummary, Place, Report};
use serde::Serialize;

use crate::exit::{self, Outcome};
use crate::inputs::{self, InputArguments};

/// The version of the JSON output; it changes when a field changes its meaning or goes away.
const JSON_VERSION: u32 = 1;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    inputs: InputArguments,
    /// The form of the output: diagnostics on stderr and a summary, or JSON on stdout
    #[arg(short, long, default_value = "text", value_name = "FORM")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

pub fn run(arguments: &Arguments) -> exit::Result {
    let report = arguments.inputs.read();
    let mut out = anstream::stdout();
    match arguments.output {
        Output::Text => {
            inputs::print(&report);
            writeln!(out, "{}", report.summary())?;
        }
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&Json::new(&report))?)?,
    }
    Ok(if report.has_errors() { Outcome::BadInput } else { Outcome::Success })
}

/// The whole JSON output.
#[derive(Serialize)]
struct Json<'r> {
    version: u32,
    errors: usize,
    warnings: usize,
    diagnostics: Vec<JsonDiagnostic<'r>>,
    documents: Vec<JsonDocument<'r>>,
}

#[derive(Serialize)]
struct JsonDiagnostic<'r> {
    code: &'static str,
    severity: String,
    message: &'r str,
    #[serde(flatten)]
    place: Option<JsonPlace<'r>>,
    label: &'r str,
    related: Vec<JsonRelated<'r>>,
    help: Option<&'r str>,
}

#[derive(Serialize)]
struct JsonRelated<'r> {
    #[serde(flatten)]
    place: JsonPlace<'r>,
    label: &'r str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonPlace<'r> {
    file: &'r str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

#[derive(Serialize)]
struct JsonDocument<'r> {
    kind: &'static str,
    namespace: &'r str,
    name: &'r str,
    file: &'r str,
    line: usize,
    digest: Option<String>,
}

impl<'r> Json<'r> {
    fn new(report: &'r Report) -> Self {
        Self {
            version: JSON_VERSION,
            errors: report.errors(),
            warnings: report.warnings(),
            diagnostics: report.diagnostics.iter().map(JsonDiagnostic::new).collect(),
            documents: report.documents.iter().map(JsonDocument::new).collect(),
        }
    }
}

impl<'r> JsonDiagnostic<'r> {
    fn new(diagnostic: &'r Diagnostic) -> Self {
        let related = |(place, label): &'r (Place, String)| JsonRelated {
            place: JsonPlace::new(place),
            label,
        };
        Self {
            code: diagnostic.code.as_str(),
            severity: diagnostic.severity.to_string(),
            message: &diagnostic.message,
            place: diagnostic.place.as_ref().map(JsonPlace::new),
            label: &diagnostic.label,
            related: diagnostic.related.iter().map(related).collect(),
            help: diagnostic.help.as_deref(),
        }
    }
}

impl<'r> JsonPlace<'r> {
    fn new(place: &'r Place) -> Self {
        Self {
            file: &place.file,
            line: place.line,
            column: place.column,
            end_line: place.end_line,
            end_column: place.end_column,
        }
    }
}

impl<'r> JsonDocument<'r> {
    fn new(document: &'r DocumentSummary) -> Self {
        Self {
            kind: document.kind.as_str(),
            namespace: &document.namespace,
            name: &document.name,
            file: &document.place.file,
            line: document.place.line,
            digest: document.digest.map(|digest| digest.to_string()),
        }
    }
}
