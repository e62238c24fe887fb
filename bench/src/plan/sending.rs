//! The time that a packet takes of one core, with a filter and without, in turns.

use super::bench::Bench;
use super::pair::Pair;
use crate::kernel::MeasureError;
use crate::measure::send::Sender;
use crate::measure::{Fate, Setting};
use crate::record::{Measurement, Sample, statistic};

/// Rounds of both laboratories, first the one and first the other by turns. Each gives what the
/// contender's packets take and, where they are delivered, what that is more than without a filter.
///
/// # Errors
///
/// [`MeasureError`] when a packet does not fare as it has to.
pub fn measure(bench: &mut Bench<'_>) -> Result<Vec<Sample>, MeasureError> {
    let fate = Fate::of(&bench.case);
    let core = bench.pair.own.cores().measured;
    let tracking = bench.case.tracking;
    let mut samples = Vec::new();
    let [own, without] = bench.pair.ends(&bench.case);
    let mut own = Sender::new(&own, core, fate, tracking)?;
    let mut without = match Pair::is_single(&bench.case) || fate == Fate::Denied {
        true => None,
        false => Some(Sender::new(&without, core, Fate::Arrives, tracking)?),
    };
    let effort = bench.effort;
    let time = |sender: &mut Sender| {
        let round = sender.undisturbed_round(effort.packets, effort.sending)?;
        Ok::<f64, MeasureError>(round.per_packet_ns)
    };
    // What the first round finds cold, the others do not.
    time(&mut own)?;
    for round in 1..=effort.sending_rounds {
        let setting: Setting = bench.setting(Measurement::Send, "", round);
        let Some(without) = &mut without else {
            samples.push(setting.sample(statistic::MEDIAN, time(&mut own)?));
            continue;
        };
        let (with, bare) = if round % 2 == 0 {
            let with = time(&mut own)?;
            (with, time(without)?)
        } else {
            let bare = time(without)?;
            (time(&mut own)?, bare)
        };
        samples.push(setting.sample(statistic::MEDIAN, with));
        samples.push(setting.sample(statistic::ADDED, with - bare));
    }
    Ok(samples)
}
