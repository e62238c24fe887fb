//! A probe that times one batch whenever it is asked to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::bounded::Guard;

/// A batch takes milliseconds, getting ready for it a second or two.
const PATIENCE: Duration = Duration::from_secs(120);

/// The process; it ends with this value.
pub struct Server {
    /// What it can time.
    pub workloads: Vec<String>,
    /// Why it cannot time more.
    pub missing: Option<String>,
    questions: ChildStdin,
    answers: Receiver<String>,
    _process: Guard,
}

impl Server {
    /// Starts it.
    pub fn start(probe: &Path) -> Result<Self> {
        let mut command = Command::new(probe);
        command.arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn();
        let child = child.with_context(|| format!("cannot start `{}`", probe.display()))?;
        let mut process = Guard(child);
        let questions = process.0.stdin.take().context("the probe has no stdin")?;
        let output = process.0.stdout.take().context("the probe has no stdout")?;
        let (send, answers) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let mut new =
            Self { workloads: Vec::new(), missing: None, questions, answers, _process: process };
        let greeting: Value =
            serde_json::from_str(&new.answer()?).context("the probe's greeting")?;
        super::check_protocol(&greeting)?;
        let names = greeting["workloads"].as_array().context("the probe names no workloads")?;
        new.workloads = names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        new.missing = greeting["missing"].as_str().map(str::to_owned);
        Ok(new)
    }

    /// One batch: nanoseconds.
    pub fn batch(&mut self, workload: &str) -> Result<f64> {
        writeln!(self.questions, "{workload}").context("the probe reads no more")?;
        let answer = self.answer().with_context(|| format!("timing `{workload}`"))?;
        let ns: f64 = answer.parse().with_context(|| format!("the probe answers `{answer}`"))?;
        if !ns.is_finite() || ns <= 0.0 {
            bail!("the probe says that `{workload}` took {ns} ns");
        }
        Ok(ns)
    }

    fn answer(&self) -> Result<String> {
        self.answers.recv_timeout(PATIENCE).context("the probe does not answer")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A server whose program is a shell script.
    fn scripted(text: &str) -> Result<Server> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("probe");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Server::start(&path)
    }

    #[test]
    fn it_greets_and_answers_each_line_until_it_ends() {
        let mut server = scripted(
            r#"echo '{"protocol":1,"workloads":["a","b"],"missing":"root"}'
            read name; [ "$name" = a ] && echo 41.5; read name; echo none"#,
        )
        .unwrap();
        assert_eq!(server.workloads, ["a", "b"]);
        assert_eq!(server.missing.as_deref(), Some("root"));
        assert_eq!(server.batch("a").unwrap(), 41.5);
        assert!(server.batch("b").unwrap_err().to_string().contains("`none`"));
        assert!(server.batch("a").is_err());
    }

    #[test]
    fn one_of_another_protocol_is_refused() {
        assert!(
            scripted(r#"echo '{"protocol":2,"workloads":[],"missing":null}'; read x"#).is_err()
        );
        assert!(scripted("exit 1").is_err());
    }
}
