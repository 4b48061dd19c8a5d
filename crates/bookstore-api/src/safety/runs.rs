//! Every run of letters of a text, in space and time that grow with the text's length alone: its
//! suffix automaton (Blumer and others, 1985).

use std::collections::BTreeMap;

/// Longest text that is taken in, in characters: what is beyond is not known.
const LONGEST: usize = 24_000;

#[derive(Debug, Default)]
struct State {
    length: usize,
    link: Option<usize>,
    next: BTreeMap<char, usize>,
}

/// The runs of a text.
#[derive(Debug)]
pub(crate) struct Runs {
    states: Vec<State>,
}

/// Where a reader of another text is: the longest run that its last letters have in common with this.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    state: usize,
    /// How many letters that run has.
    pub(crate) length: usize,
}

impl Runs {
    /// The runs of this text.
    pub(crate) fn of(text: &str) -> Self {
        let mut runs = Self { states: vec![State::default()] };
        let mut last = 0;
        for character in text.chars().take(LONGEST) {
            last = runs.extend(last, character);
        }
        runs
    }

    fn extend(&mut self, last: usize, character: char) -> usize {
        let length = self.length(last) + 1;
        let new = self.add(State { length, link: Some(0), next: BTreeMap::new() });
        let mut at = Some(last);
        while let Some(state) = at {
            match self.next(state, character) {
                None => {
                    self.set_next(state, character, new);
                    at = self.link(state);
                }
                Some(found) if self.length(found) == self.length(state) + 1 => {
                    self.set_link(new, found);
                    return new;
                }
                Some(found) => {
                    let next = self.states.get(found).map(|found| found.next.clone()).unwrap_or_default();
                    let copy =
                        self.add(State { length: self.length(state) + 1, link: self.link(found), next });
                    let mut back = Some(state);
                    while let Some(state) = back.filter(|state| self.next(*state, character) == Some(found)) {
                        self.set_next(state, character, copy);
                        back = self.link(state);
                    }
                    self.set_link(found, copy);
                    self.set_link(new, copy);
                    return new;
                }
            }
        }
        new
    }

    /// Where reading one more letter leads.
    pub(crate) fn step(&self, mut place: Place, character: char) -> Place {
        loop {
            if let Some(state) = self.next(place.state, character) {
                return Place { state, length: place.length + 1 };
            }
            let Some(link) = self.link(place.state) else { return Place::default() };
            place = Place { state: link, length: self.length(link) };
        }
    }

    /// Whether the whole of `run` is in the text.
    pub(crate) fn contain(&self, run: &str) -> bool {
        let mut state = 0;
        run.chars().all(|character| {
            self.next(state, character).is_some_and(|next| {
                state = next;
                true
            })
        })
    }

    fn add(&mut self, state: State) -> usize {
        self.states.push(state);
        self.states.len() - 1
    }

    fn length(&self, state: usize) -> usize {
        self.states.get(state).map_or(0, |state| state.length)
    }

    fn link(&self, state: usize) -> Option<usize> {
        self.states.get(state).and_then(|state| state.link)
    }

    fn next(&self, state: usize, character: char) -> Option<usize> {
        self.states.get(state).and_then(|state| state.next.get(&character).copied())
    }

    fn set_link(&mut self, state: usize, link: usize) {
        if let Some(state) = self.states.get_mut(state) {
            state.link = Some(link);
        }
    }

    fn set_next(&mut self, state: usize, character: char, next: usize) {
        if let Some(state) = self.states.get_mut(state) {
            state.next.insert(character, next);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Place, Runs};

    proptest! {
        #[test]
        fn it_knows_the_runs_of_its_text_and_no_others(text in "[abc]{0,40}", other in "[abc]{0,12}") {
            let runs = Runs::of(&text);
            prop_assert_eq!(runs.contain(&other), text.contains(&other));
            let mut place = Place::default();
            for (at, character) in other.char_indices() {
                place = runs.step(place, character);
                let longest = (0..=at + 1).find(|from| text.contains(&other[*from..=at]) || *from == at + 1);
                prop_assert_eq!(place.length, at + 1 - longest.unwrap());
            }
        }
    }
}
