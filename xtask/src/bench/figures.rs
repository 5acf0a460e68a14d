//! A figure that was measured more than once.

/// Values of one quantity, and how busy others kept the machine during each.
#[derive(Clone, Debug, Default)]
pub(super) struct Figure {
    values: Vec<f64>,
    others: Vec<f64>,
}

/// More of a core than this taken by other processes makes a figure doubtful.
pub(super) const BUSY: f64 = 0.1;

impl Figure {
    pub(super) fn push(&mut self, value: f64, others: f64) {
        self.values.push(value);
        self.others.push(others);
    }

    /// The values taken with nobody beside; all of them if there is none. And whether it was so.
    fn counted(&self) -> (Vec<f64>, bool) {
        let pairs = || self.values.iter().zip(&self.others);
        let quiet: Vec<f64> = pairs().filter(|(_, o)| **o <= BUSY).map(|(v, _)| *v).collect();
        let is_quiet = !quiet.is_empty();
        let mut counted = if is_quiet { quiet } else { self.values.clone() };
        counted.sort_by(f64::total_cmp);
        (counted, is_quiet)
    }

    /// The median, if there is any value.
    pub(super) fn median(&self) -> Option<f64> {
        let (values, _) = self.counted();
        let half = values.len() / 2;
        let upper = *values.get(half)?;
        Some(if values.len().is_multiple_of(2) { (values[half - 1] + upper) / 2.0 } else { upper })
    }

    /// The least and the most.
    pub(super) fn spread(&self) -> Option<(f64, f64)> {
        let (values, _) = self.counted();
        Some((*values.first()?, *values.last()?))
    }

    /// How many values the median is of.
    pub(super) fn count(&self) -> usize {
        self.counted().0.len()
    }

    /// Whether every value was taken beside a busy neighbour.
    pub(super) fn is_disturbed(&self) -> bool {
        !self.values.is_empty() && !self.counted().1
    }

    /// Cores that others kept busy meanwhile, at most.
    pub(super) fn others(&self) -> f64 {
        self.others.iter().copied().fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disturbed_values_count_only_where_there_are_no_others() {
        let mut figure = Figure::default();
        assert_eq!(figure.median(), None);
        figure.push(1.0, 1.0);
        assert_eq!((figure.median(), figure.is_disturbed()), (Some(1.0), true));
        for value in [5.0, 9.0] {
            figure.push(value, 0.0);
        }
        assert_eq!((figure.median(), figure.is_disturbed()), (Some(7.0), false));
        assert_eq!(figure.spread(), Some((5.0, 9.0)));
        assert_eq!(figure.others(), 1.0);
    }
}
