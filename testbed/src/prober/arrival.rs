//! What has been seen at the ends, and who waits for it.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Ask;
use super::content::Nonce;

/// Something that a raw socket sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sign {
    /// A packet of this ask has arrived.
    Arrival(Ask),
    /// The answer to an SCTP INIT.
    InitAck {
        /// The ask that it answers.
        of: Ask,
        /// The INIT's tag.
        nonce: Nonce,
    },
    /// The answer to a ping.
    EchoReply {
        /// The ask that it answers.
        of: Ask,
        /// The ping's number.
        nonce: Nonce,
    },
}

/// All arrivals of a topology.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: HashSet<Ask>,
    waiting: HashMap<Sign, Vec<oneshot::Sender<()>>>,
}

impl Arrivals {
    /// Notes what was seen, and wakes whoever waits for it.
    pub fn note(&self, sign: Sign) {
        let mut state = self.state();
        if let Sign::Arrival(ask) = sign {
            state.seen.insert(ask);
        }
        for waiting in state.waiting.remove(&sign).unwrap_or_default() {
            // Whoever waited may have given up.
            let _ = waiting.send(());
        }
    }

    /// Ready once `sign` is seen; starts to look out at once, not when it is awaited.
    pub fn wait_for(&self, sign: Sign) -> impl Future<Output = ()> + use<> {
        let (sender, receiver) = oneshot::channel();
        self.state().waiting.entry(sign).or_default().push(sender);
        async {
            if receiver.await.is_err() {
                // Forgotten: it will never be seen.
                std::future::pending::<()>().await;
            }
        }
    }

    pub fn has(&self, ask: &Ask) -> bool {
        self.state().seen.contains(ask)
    }

    pub fn forget(&self) {
        *self.state() = State::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one call; a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
