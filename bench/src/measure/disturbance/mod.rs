//! What becomes of packets while policy changes.
//!
//! # What is measured
//!
//! Somebody changes policy again and again, with a pause of a millisecond between two changes; the
//! policies before and after each change agree about two senders. Each of them sends a packet every
//! 200 µs meanwhile, over one of many flows that nobody answers, so that rules are asked.
//! Statistics, in packets unless said otherwise, for each [`Form`]:
//!
//! - `lost`: packets of the one that both policies let in, and that did not arrive;
//! - `wrong`: packets of the one that neither lets in, and that did arrive;
//! - `sent`: packets of both together;
//! - `changes`: how many changes there were.
//!
//! # Where it may mislead
//!
//! A packet every so often finds a gap that lasts as long with certainty, and a shorter one only by
//! chance, in proportion to its length: no packet lost means that gaps are short or rare, and not
//! that there are none. That there can be none is shown by the tests of the backends, with policies
//! that a mixture would be seen of.

mod flood;

use std::thread;
use std::time::{Duration, Instant};

use ringfence_testbed::lab::Case;

use self::flood::Flood;
use super::change::only_these;
use super::contender::{self, Changing, Direction, Form};
use super::findings::{Collector, Findings};
use super::scene::{Scene, State};
use crate::kernel::MeasureError;
use crate::record::Measurement;

/// How long to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Changes of each form at most; at least two there always are.
    pub changes: u32,
    /// No further change of a form begins after this time.
    pub time: Duration,
    /// How long one change may take, and the installation before.
    pub limit: Duration,
}

/// Time from one change to the next, in which packets meet what holds then.
const PAUSE: Duration = Duration::from_millis(1);

/// The forms of change under which it is measured, of those that a contender has.
const FORMS: [Form; 5] = [Form::One, Form::Applied, Form::Hundred, Form::Rebuilt, Form::Flushed];

/// Measures what becomes of packets, with rules that differ in address, over IPv4.
#[must_use]
pub fn measure(case: &Case, pass: u32, effort: &Effort) -> Findings {
    let mut collector = Collector::new(Measurement::Disturbance, *case, pass);
    let measured = only_these(case).and_then(|()| {
        if case.rules == 0 {
            let why = "without a rule nobody is let in all along".to_owned();
            return Err(MeasureError::Refused { what: "measure this".to_owned(), why });
        }
        contender::check(case.contender)?;
        let scene = Scene::new(case.rules, contender::wiring(case.contender))?;
        contender::with(case.contender, &scene, State::Standing, effort.limit, |changing| {
            let forms = changing.forms().iter().filter(|form| FORMS.contains(form));
            for form in forms {
                if let Err(error) = one_form(&scene, changing, *form, effort, &mut collector) {
                    collector.failed(form.variant(Direction::There), &error);
                    changing.reset(State::Standing)?;
                }
            }
            Ok(())
        })
    });
    if let Err(error) = measured {
        collector.failed("", &error);
    }
    collector.finish()
}

/// Changes to and fro while packets flow.
fn one_form(
    scene: &Scene,
    changing: &mut dyn Changing,
    form: Form,
    effort: &Effort,
    collector: &mut Collector,
) -> Result<(), MeasureError> {
    let flood = Flood::new(scene)?;
    let (count, changes) = flood.during(|| {
        let begin = Instant::now();
        let mut changes = 0;
        // They end where they have begun.
        while changes % 2 == 1
            || changes == 0
            || (changes < effort.changes && begin.elapsed() < effort.time)
        {
            let direction = if changes % 2 == 0 { Direction::There } else { Direction::Back };
            changing.prepare(form, direction)?;
            changing.change()?;
            changes += 1;
            thread::sleep(PAUSE);
        }
        Ok(changes)
    })?;
    scene.check(State::Standing)?;
    let variant = form.variant(Direction::There);
    collector.value(variant, "lost", 1, count.lost() as f64);
    collector.value(variant, "wrong", 1, count.let_through as f64);
    collector.value(variant, "sent", 1, (count.allowed + count.denied) as f64);
    collector.value(variant, "changes", 1, f64::from(changes));
    Ok(())
}
