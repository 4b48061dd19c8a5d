//! The life of a run: the one function that changes its state.
//!
//! Owns which event leads from which state to which. Must not know who causes an event.

use common_models::RunState;

/// What can happen to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Its target is free, it is its turn.
    TurnCame,
    /// k6 is at work.
    EngineStarted,
    /// Somebody wants it to stop, or the service stops.
    StopAsked,
    /// k6 came to its end by itself, with figures and a verdict.
    LoadEnded,
    /// k6 is gone after it was asked to stop, or it was never started.
    Stopped,
    /// Something went wrong that leaves no verdict.
    Broke,
}

/// An event that a state has no place for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a run that is {state:?} cannot take {event:?}")]
pub struct IllegalTransition {
    /// The state.
    pub state: RunState,
    /// The event.
    pub event: Event,
}

impl IllegalTransition {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        "illegal_transition"
    }
}

/// The state that follows.
///
/// # Errors
/// When the event has no place in the state; a last state takes no event at all.
pub const fn next(state: RunState, event: Event) -> Result<RunState, IllegalTransition> {
    use RunState::{Cancelled, Failed, Finished, Queued, Running, Starting, Stopping};
    match (state, event) {
        (Queued, Event::TurnCame) => Ok(Starting),
        (Starting, Event::EngineStarted) => Ok(Running),
        (Running, Event::LoadEnded) => Ok(Finished),
        (Starting | Running | Stopping, Event::StopAsked) => Ok(Stopping),
        // Nothing runs yet, so nothing has to be stopped first. What breaks while it is being
        // stopped was to end anyway.
        (Queued, Event::StopAsked) | (Stopping, Event::Stopped | Event::LoadEnded | Event::Broke) => {
            Ok(Cancelled)
        }
        (Queued | Starting | Running, Event::Broke) => Ok(Failed),
        (
            Queued | Starting | Running | Stopping | Finished | Failed | Cancelled,
            Event::TurnCame
            | Event::EngineStarted
            | Event::StopAsked
            | Event::LoadEnded
            | Event::Stopped
            | Event::Broke,
        ) => Err(IllegalTransition { state, event }),
    }
}

/// Whether nothing can happen to the run any more.
#[must_use]
pub const fn is_last(state: RunState) -> bool {
    matches!(state, RunState::Finished | RunState::Failed | RunState::Cancelled)
}

#[cfg(test)]
mod tests {
    use common_models::RunState::{self, Cancelled, Failed, Finished, Queued, Running, Starting, Stopping};

    use super::Event::{self, Broke, EngineStarted, LoadEnded, StopAsked, Stopped, TurnCame};
    use super::{IllegalTransition, is_last, next};

    const STATES: [RunState; 7] = [Queued, Starting, Running, Stopping, Finished, Failed, Cancelled];
    const EVENTS: [Event; 6] = [TurnCame, EngineStarted, StopAsked, LoadEnded, Stopped, Broke];

    /// Every pair that is allowed; all others are refused.
    const TABLE: [(RunState, Event, RunState); 13] = [
        (Queued, TurnCame, Starting),
        (Queued, StopAsked, Cancelled),
        (Queued, Broke, Failed),
        (Starting, EngineStarted, Running),
        (Starting, StopAsked, Stopping),
        (Starting, Broke, Failed),
        (Running, LoadEnded, Finished),
        (Running, StopAsked, Stopping),
        (Running, Broke, Failed),
        (Stopping, StopAsked, Stopping),
        (Stopping, Stopped, Cancelled),
        (Stopping, LoadEnded, Cancelled),
        (Stopping, Broke, Cancelled),
    ];

    #[test]
    fn every_pair_of_state_and_event() {
        for state in STATES {
            for event in EVENTS {
                let wanted = TABLE
                    .iter()
                    .find(|(from, on, _)| (*from, *on) == (state, event))
                    .map(|(_, _, to)| *to)
                    .ok_or(IllegalTransition { state, event });
                assert_eq!(next(state, event), wanted, "{state:?} on {event:?}");
            }
        }
    }

    #[test]
    fn last_states_stay() {
        for state in STATES {
            let stays = EVENTS.iter().all(|event| next(state, *event).is_err());
            assert_eq!(is_last(state), stays, "{state:?}");
        }
    }
}
