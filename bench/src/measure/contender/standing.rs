//! A contender on a host of its own, for comparing it with others in turns.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ringfence_testbed::lab::Contender;

use super::{Changing, Direction, Form};
use crate::kernel::MeasureError;
use crate::measure::change::{Quiet, quiet};
use crate::measure::contender;
use crate::measure::scene::{Scene, State};

/// It stands on its host with its rules, and changes them by one form when it is asked. Ends with
/// this.
pub struct Standing {
    contender: Contender,
    /// Dropping it ends the thread.
    asks: Option<Sender<()>>,
    answers: Receiver<Result<Quiet, MeasureError>>,
    thread: Option<JoinHandle<()>>,
}

impl Standing {
    /// Puts it there, with so many rules, and makes a first change. `limit` is for the installation
    /// and for each change.
    ///
    /// # Errors
    ///
    /// [`MeasureError`].
    pub fn start(
        contender: Contender,
        form: Form,
        rules: usize,
        limit: Duration,
    ) -> Result<Self, MeasureError> {
        let (asks, asked) = mpsc::channel();
        let (answers, answered) = mpsc::channel();
        let thread = thread::spawn(move || {
            let ended = stand(contender, form, rules, limit, asked, &answers);
            if let Err(error) = ended {
                // Nobody listens when it ends with an error that nobody has asked for.
                let _ = answers.send(Err(error));
            }
        });
        let (asks, thread) = (Some(asks), Some(thread));
        let new = Self { contender, asks, answers: answered, thread };
        new.turn()?;
        Ok(new)
    }

    /// Lets it add a rule and take it away again: what the adding took.
    ///
    /// # Errors
    ///
    /// [`MeasureError`], also when packets were not decided as they have to be afterwards.
    pub(crate) fn turn(&self) -> Result<Quiet, MeasureError> {
        let gone = || MeasureError::wrong(self.contender.title(), "its thread has ended");
        // One that has ended has said why.
        let _ = self.asks.as_ref().ok_or_else(gone)?.send(());
        self.answers.recv().map_err(|_| gone())?
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.asks = None;
        if let Some(thread) = self.thread.take() {
            // It has told of its errors; a panic has been printed.
            let _ = thread.join();
        }
    }
}

/// Stands until nobody can ask any more.
fn stand(
    contender: Contender,
    form: Form,
    rules: usize,
    limit: Duration,
    asked: Receiver<()>,
    answers: &Sender<Result<Quiet, MeasureError>>,
) -> Result<(), MeasureError> {
    let scene = Scene::new(rules, contender::wiring(contender))?;
    let here = &scene;
    contender::with(contender, &scene, State::Standing, limit, move |changing| {
        asked.into_iter().try_for_each(|()| {
            let added = add_and_remove(here, changing, form)?;
            // Whoever has asked and does not listen has given up.
            let _ = answers.send(Ok(added));
            Ok(())
        })
    })
}

fn add_and_remove(
    scene: &Scene,
    changing: &mut dyn Changing,
    form: Form,
) -> Result<Quiet, MeasureError> {
    let added = quiet(scene, changing, form, Direction::There)?;
    quiet(scene, changing, form, Direction::Back)?;
    Ok(added)
}
