//! Plots against the load.

use ringfence_testbed::lab::Contender;

use super::axis::Axis;
use super::chart::{Chart, Line, Panel, Point};
use crate::record::choice;
use crate::record::figures::{Figures, Question};
use crate::record::{Measurement, number, statistic, variant};

/// What is on the upward axis.
const ROUND_TRIP: &str = "time of a round trip";

/// Round trips where the sender does the router's work.
pub fn plain(figures: &Figures) -> Chart {
    chart(
        figures,
        "round-trip.svg",
        &variant::LOADS[..4],
        "Round trips under load",
        "One core does the sender's and the router's work, so no queue can form between them: more load is a slower sender.",
    )
}

/// Round trips where a queue can form.
pub fn steered(figures: &Figures) -> Chart {
    chart(
        figures,
        "round-trip-steered.svg",
        &variant::LOADS[4..],
        "Round trips under load, where a queue can form",
        "Receive steering gives the router's work to another core than the sender's, as a network card would.",
    )
}

fn chart(figures: &Figures, file: &'static str, loads: &[&str], title: &str, note: &str) -> Chart {
    let rules = choice::shown_rules(figures, Measurement::RoundTrip);
    let panels = [(statistic::P50, "half of all packets"), (statistic::P99, "99 of 100 packets")];
    let panels = panels.into_iter().filter_map(|(statistic, who)| {
        panel(figures, loads, statistic, rules?, &format!("{statistic}: {who} take no longer"))
    });
    Chart {
        file,
        title: rules.map_or_else(String::new, |rules| format!("{title}, {} rules", number::rules(rules))),
        note: format!("{note} Open loop at a fixed rate, counted from the intended time of sending; loads are shares of the rate that the contender itself can answer. The axis of time is logarithmic."),
        panels: panels.collect(),
    }
    .with_one_height(|values| Axis::log(ROUND_TRIP, values, 1.0, number::time_tick))
}

fn panel(
    figures: &Figures,
    loads: &[&str],
    statistic: &str,
    rules: usize,
    title: &str,
) -> Option<Panel> {
    let figure = |load: &str, contender| {
        let question = Question::new(Measurement::RoundTrip, load, statistic);
        choice::at_rules(figures, &question, contender, rules)
    };
    let is_measured =
        |load: &&&str| Contender::ALL.iter().any(|contender| figure(load, *contender).is_some());
    let loads: Vec<&str> = loads.iter().filter(is_measured).copied().collect();
    let line = |contender: Contender| {
        let points = loads.iter().enumerate().filter_map(|(place, load)| {
            let found = figure(load, contender)?;
            Some(Point { x: place as f64, y: found.value, range: found.range() })
        });
        Line { contender, points: points.collect() }
    };
    let lines = Contender::ALL.into_iter().map(line).filter(|line| !line.points.is_empty());
    let lines: Vec<Line> = lines.collect();
    let values = lines.iter().flat_map(|line| &line.points).map(|point| point.y);
    let y = Axis::log(ROUND_TRIP, values, 1.0, number::time_tick);
    let names = loads.iter().map(|load| load.trim_start_matches("steered ").to_owned());
    let x = Axis::named("load", names);
    (!lines.is_empty()).then(|| Panel { title: title.to_owned(), x, y, lines })
}
