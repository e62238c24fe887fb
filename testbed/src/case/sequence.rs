//! Whether the steps of each sequence belong together.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Case, CaseError, Sequence, Warning};

/// Steps by their numbers, with the positions of their cases.
type Steps = BTreeMap<u32, usize>;

/// Looks at all sequences among `cases`: a step is there once, all steps agree on how many there
/// are, and none should be missing.
pub fn check(cases: &mut [Case], errors: &mut Vec<CaseError>) {
    let mut sequences: BTreeMap<(String, String), Steps> = BTreeMap::new();
    for (index, case) in cases.iter().enumerate() {
        let (Some((folder, name)), Some(sequence)) = (case.sequence_name(), &case.sequence) else {
            continue;
        };
        let steps = sequences.entry((folder.to_owned(), name.to_owned())).or_default();
        let (of_all, same) = (steps.values().next(), steps.get(&sequence.step));
        if let Some(message) = contradiction(cases, sequence, of_all, same) {
            errors.push(CaseError::Wrong { place: case.place.clone(), message });
        } else {
            steps.insert(sequence.step, index);
        }
    }
    for steps in sequences.values() {
        let Some((last, sequence)) =
            steps.values().last().and_then(|last| Some((*last, cases[*last].sequence.clone()?)))
        else {
            continue;
        };
        if let Some(message) = missing(&sequence, steps) {
            let place = cases[last].place.clone();
            cases[last].warnings.push(Warning { place, message });
        }
    }
}

/// What is wrong with a step beside the sequence's first one and beside one of its number.
fn contradiction(
    cases: &[Case],
    sequence: &Sequence,
    of_all: Option<&usize>,
    same: Option<&usize>,
) -> Option<String> {
    let Sequence { name, step, steps } = sequence;
    let other = of_all.and_then(|index| Some((&cases[*index], cases[*index].sequence.as_ref()?)));
    if let Some((case, other)) = other.filter(|(_, other)| other.steps != *steps) {
        let (place, others) = (&case.place, other.steps);
        return Some(format!(
            "sequence `{name}` has {steps} steps here and {others} at {place}; say the same in both"
        ));
    }
    let place = &cases[*same?].place;
    Some(format!(
        "step {step} of sequence `{name}` is at {place} already; give each its own number"
    ))
}

/// Which steps are not there, if any.
fn missing(sequence: &Sequence, steps: &Steps) -> Option<String> {
    let Sequence { name, steps: count, .. } = sequence;
    let first = (1..=*count).find(|step| !steps.contains_key(step))?;
    let number = *count as usize - steps.len();
    let absent = match number {
        1 => format!("step {first} is not here"),
        _ => format!("{number} of them are not here, the first is step {first}"),
    };
    Some(format!("sequence `{name}` has {count} steps, and {absent}"))
}

impl Case {
    /// What the sequence is called that the case is a step of: the folder of its file, and
    /// `sequence`. Files of two folders have no sequence together.
    #[must_use]
    pub fn sequence_name(&self) -> Option<(&str, &str)> {
        let folder = Path::new(&*self.place.file).parent().and_then(Path::to_str);
        Some((folder.unwrap_or_default(), &self.sequence.as_ref()?.name))
    }
}
