//! The exchange's budgets for one socket.
//!
//! Guarantees: 150 frames a second on the user stream, 100 on the market stream, by calendar second, and of the first
//! second only the share that is left when the socket opens [documents].

use super::Side;

/// Frames of one socket.
pub(super) struct Budget {
    per_second: u64,
    second: i64,
    left: u64,
}

impl Budget {
    pub(super) fn new(side: Side, now_ms: i64) -> Self {
        let per_second = match side {
            Side::User => 150,
            Side::Market => 100,
        };
        let rest_ms = u64::try_from(1000 - now_ms.rem_euclid(1000)).unwrap_or_default();
        Self {
            per_second,
            second: now_ms.div_euclid(1000),
            left: per_second * rest_ms / 1000,
        }
    }

    /// Uses one frame; `false` when the second is spent.
    pub(super) fn admit(&mut self, now_ms: i64) -> bool {
        let second = now_ms.div_euclid(1000);
        if second != self.second {
            (self.second, self.left) = (second, self.per_second);
        }
        let admitted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_second_is_shared_out_and_later_ones_are_whole() {
        let mut budget = Budget::new(Side::User, 10_900);
        assert_eq!((0..200).filter(|_| budget.admit(10_950)).count(), 15);
        assert_eq!((0..200).filter(|_| budget.admit(11_000)).count(), 150);
        let mut market = Budget::new(Side::Market, 10_000);
        assert_eq!((0..200).filter(|_| market.admit(10_999)).count(), 100);
    }
}
