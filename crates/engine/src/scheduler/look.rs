//! When an image is looked at, and whose.

use super::Scheduler;
use super::decide::Candidate;
use super::sequence::Sequence;
use crate::{Event, Failure, Finish, PromptImage};

impl Scheduler {
    /// Takes in which images can be shown.
    pub fn see(&mut self, seen: impl Fn(&[u8; 32]) -> bool) {
        for sequence in self.running.iter_mut().chain(&mut self.waiting) {
            for (is_seen, image) in sequence.seen.iter_mut().zip(&sequence.images) {
                *is_seen = seen(&image.digest);
            }
        }
    }

    /// The image that is to be looked at next, in place of a [step](Self::schedule): it is that of the prompt that stands first,
    /// or one that was `begun` already for another of the same level. `None` if nobody waits for one, or others come first.
    pub fn look(&mut self, begun: impl Fn(&[u8; 32]) -> bool) -> Option<PromptImage> {
        let Some(image) = self.first_lacking(begun) else {
            self.floor.nothing_to_see();
            return None;
        };
        let going = self.running.iter().filter(|s| s.lacks(false, self.chunk()).is_none());
        let ready = self.candidates().len();
        if going.count() == 0 && ready == 0 {
            return Some(image);
        }
        let audience = self.audience();
        self.floor.may_look(audience, ready > 0).then_some(image)
    }

    /// The same, whoever else there is.
    pub fn first_lacking(&self, begun: impl Fn(&[u8; 32]) -> bool) -> Option<PromptImage> {
        let lacking = self.all().filter_map(|(sequence, waits)| {
            let image = sequence.lacks(waits, self.chunk())?;
            let Candidate { level, rank, .. } = self.candidate(sequence, waits);
            Some(((level, !begun(&image.digest), rank), image))
        });
        lacking.min_by_key(|(rank, _)| *rank).map(|(_, image)| image.clone())
    }

    /// Whether a sequence waits for the image of this digest to be seen.
    pub fn is_lacking(&self, digest: &[u8; 32]) -> bool {
        let lacks = |(sequence, waits): (&Sequence, bool)| {
            sequence.lacks(waits, self.chunk()).is_some_and(|image| image.digest == *digest)
        };
        self.all().any(lacks)
    }

    /// Whether a running sequence has rows of the image of this digest before it.
    pub fn is_showing(&self, digest: &[u8; 32]) -> bool {
        let showing = |sequence: &Sequence| {
            let mut ahead = sequence.images.iter().filter(|i| i.positions.end > sequence.computed);
            ahead.any(|image| image.digest == *digest)
        };
        self.running.iter().any(showing)
    }

    /// Takes in that the last look took so long.
    pub fn looked(&mut self, seconds: f64) {
        self.floor.looked(seconds);
    }

    /// Ends every sequence that waits for the image of this digest, which cannot be seen.
    pub fn give_up_on(&mut self, digest: &[u8; 32], failure: &Failure) -> Vec<Event> {
        let lacks = |(sequence, waits): (&Sequence, bool)| {
            let image = sequence.lacks(waits, self.chunk())?;
            (image.digest == *digest).then_some(sequence.id)
        };
        let ids: Vec<_> = self.all().filter_map(lacks).collect();
        let mut end = |id| self.end(id, |_| Finish::Failed(failure.clone()));
        ids.into_iter().filter_map(&mut end).collect()
    }
}
