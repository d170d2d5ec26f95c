//! The last answers of a replay, by which it is judged.

use super::object::Outcome;

/// So many of the last answers are judged.
const ANSWERS_MAX: usize = 100;
/// Fewer answers are judged as if they were so many, so that the first failure of a long
/// replay does not stop it unless none is allowed.
const ANSWERS_MIN: usize = 10;

const RESOLVED: u8 = b'r';
const FAILED: u8 = b'f';

/// The last answers since a replay was started or resumed, oldest first, a byte each: the column
/// `recent_answers`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecentAnswers(Vec<u8>);

impl RecentAnswers {
    pub(crate) const fn from_stored(stored: Vec<u8>) -> Self {
        Self(stored)
    }

    pub(crate) const fn as_slice(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// Adds outcomes, and forgets what is too old. What was refused is no answer.
    pub(crate) fn add(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            if outcome.is_failure() {
                self.0.push(FAILED);
            } else if *outcome == Outcome::Resolved {
                self.0.push(RESOLVED);
            }
        }
        self.0.drain(..self.0.len().saturating_sub(ANSWERS_MAX));
    }

    /// How many are failures, and of how many.
    pub(crate) fn failed_of(&self) -> (usize, usize) {
        let failed = self.0.iter().filter(|answer| **answer == FAILED);
        (failed.count(), self.0.len())
    }

    /// Whether more than `percent_max` per cent of them are failures.
    pub(crate) fn are_too_bad(&self, percent_max: u8) -> bool {
        let (failed, of) = self.failed_of();
        failed * 100 > usize::from(percent_max) * of.max(ANSWERS_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(failed: usize, of: usize) -> RecentAnswers {
        let mut answers = RecentAnswers::default();
        answers.add(&vec![Outcome::Failed; failed]);
        answers.add(&vec![Outcome::Resolved; of - failed]);
        answers
    }

    #[test]
    fn few_failures_of_few_letters_do_not_stop_a_replay_that_allows_some() {
        assert!(!answers(2, 2).are_too_bad(20));
        assert!(answers(3, 3).are_too_bad(20));
        assert!(!answers(20, 100).are_too_bad(20));
        assert!(answers(21, 100).are_too_bad(20));
        assert!(answers(1, 1).are_too_bad(0));
        assert!(!answers(0, 50).are_too_bad(0));
        assert!(!answers(100, 100).are_too_bad(100));
    }

    #[test]
    fn only_the_last_answers_count_and_a_refusal_is_none() {
        let mut recent = answers(90, 90);
        recent.add(&[Outcome::Refused, Outcome::Waiting, Outcome::Sent]);
        assert_eq!(recent.failed_of(), (90, 90));
        recent.add(&[Outcome::Resolved; 20]);
        assert_eq!(recent.failed_of(), (80, 100));
        recent.add(&[Outcome::Quarantined, Outcome::Unanswered]);
        assert_eq!(recent.failed_of(), (80, 100));
        assert_eq!(RecentAnswers::from_stored(recent.as_slice().to_vec()), recent);
    }
}
