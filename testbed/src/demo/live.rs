//! The engine itself, as `ringfence apply` runs it, on the demo's host.

use ringfence_common::abi::event::Event;
use ringfence_dataplane::backend::ebpf::{Ebpf, Events, Pins};
use ringfence_dataplane::compile::compile;
use ringfence_dataplane::document;
use ringfence_dataplane::enforce::{self, HookChoice, Options, Paths};
use ringfence_dataplane::model::PolicySet;

use super::{Applied, Engine, EngineError};

/// Applies with the paths of every host: an isolated host has them for itself.
#[expect(missing_debug_implementations, reason = "the stream of events has none")]
pub struct Live {
    paths: Paths,
    options: Options,
    events: Option<Events>,
}

impl Live {
    /// An engine that has applied nothing yet and will use these hooks.
    #[must_use]
    pub fn new(hook: HookChoice) -> Self {
        let options = Options { hook, ..Options::default() };
        Self { paths: Paths::default(), options, events: None }
    }
}

impl Engine for Live {
    fn apply(
        &mut self,
        policies: &PolicySet,
        documents: &document::Report,
    ) -> Result<Applied, EngineError> {
        let tables = compile(policies)?;
        let digests = documents.digests();
        let digests = digests.iter().map(|(name, digest)| (name.to_string(), digest.to_string()));
        let summary = enforce::apply(&self.paths, &tables, &digests.collect(), &self.options)?;
        if self.events.is_none() {
            let backend = Ebpf::new(Pins::below(self.paths.pins()));
            self.events = backend.maps()?.and_then(|mut maps| maps.take_events());
        }
        Ok(Applied { lines: summary.lines() })
    }

    fn events(&mut self) -> Result<Vec<Event>, EngineError> {
        let events = self.events.as_mut().ok_or("there are no events before the first apply")?;
        Ok(std::iter::from_fn(|| events.try_next()).collect())
    }
}
