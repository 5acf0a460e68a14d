//! What a job did, in numbers.

use std::collections::BTreeMap;

use super::{PageReading, Reader};

/// What was read so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Groups that were finished.
    pub groups: u64,
    /// Documents that were written, those with failed pages included.
    pub documents: u64,
    /// Documents of which nothing was written: unreadable, blank, or of too many pages that failed.
    pub lost: u64,
    /// Pages of all documents.
    pub pages: u64,
    /// Pages that a model read, by the attempt that was taken, from 0.
    pub attempts: BTreeMap<u32, u64>,
    /// Pages that were read by nobody but are text of their own, as was wanted.
    pub text_layer: u64,
    /// Pages that were read otherwise than was wanted.
    pub fallback: u64,
    /// Pages that nobody could read.
    pub failed: u64,
    /// Pages that were read in an earlier run.
    pub known: u64,
    /// Attempts that failed.
    pub failed_attempts: u64,
    /// Tokens of prompts, of attempts that were taken.
    pub input_tokens: u64,
    /// Tokens of answers, of attempts that were taken.
    pub output_tokens: u64,
    /// The sum of how alike text layers and models were, where there were both, and of how many pages.
    pub agreement: (f64, u64),
}

impl Totals {
    /// Adds a page that was read.
    pub(super) fn add(&mut self, reading: &PageReading) {
        self.pages += 1;
        self.input_tokens += reading.input_tokens;
        self.output_tokens += reading.output_tokens;
        if reading.fallback {
            self.fallback += 1;
        } else if reading.by == Reader::TextLayer {
            self.text_layer += 1;
        } else {
            *self.attempts.entry(reading.attempt).or_default() += 1;
        }
    }

    /// Adds what was read elsewhere in the job.
    pub(super) fn merge(&mut self, more: &Self) {
        self.groups += more.groups;
        self.documents += more.documents;
        self.lost += more.lost;
        self.pages += more.pages;
        for (attempt, pages) in &more.attempts {
            *self.attempts.entry(*attempt).or_default() += pages;
        }
        self.text_layer += more.text_layer;
        self.fallback += more.fallback;
        self.failed += more.failed;
        self.known += more.known;
        self.failed_attempts += more.failed_attempts;
        self.input_tokens += more.input_tokens;
        self.output_tokens += more.output_tokens;
        self.agreement.0 += more.agreement.0;
        self.agreement.1 += more.agreement.1;
    }

    /// Pages that a model read.
    pub fn read_by_model(&self) -> u64 {
        self.attempts.values().sum()
    }

    /// The part of the pages that were not read as was wanted, 0 to 1.
    pub fn failure_rate(&self) -> f64 {
        if self.pages == 0 { 0.0 } else { (self.fallback + self.failed) as f64 / self.pages as f64 }
    }
}
