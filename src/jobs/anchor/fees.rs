//! What a transaction offers, as numbers: enough to be included soon, more each time it is not, and
//! never more than the operator allows.

use super::halt::Halt;
use super::tx::Fees;

/// What blocks cost now, in wei for a unit of gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// The base fee of the newest block. It grows by at most an eighth a block.
    pub base: u128,
    /// What the node says is usual as a tip.
    pub tip: u128,
}

impl Price {
    /// The fees of a first attempt: the tip that is usual, and room for the base fee to double.
    pub fn usual(self, bound: u128) -> Result<Fees, Halt> {
        let needed = self.base.saturating_add(self.tip);
        if needed > bound {
            return Err(Halt::FeeAboveBound { needed, bound });
        }
        let max = self.base.saturating_add(needed).min(bound);
        Ok(Fees { max, tip: self.tip })
    }

    /// The fees of an attempt that replaces one with `old`: an eighth more of both, which is what
    /// nodes ask before they put one in another's place, or what is usual now where that is more.
    pub fn instead_of(self, old: Fees, bound: u128) -> Result<Fees, Halt> {
        let usual = self.base.saturating_mul(2).saturating_add(self.tip);
        let tip = an_eighth_more(old.tip).max(self.tip);
        let needed = an_eighth_more(old.max)
            .max(self.base.saturating_add(tip))
            .max(tip);
        if needed > bound {
            return Err(Halt::FeeAboveBound { needed, bound });
        }
        let max = needed.max(usual).min(bound);
        Ok(Fees { max, tip })
    }
}

/// Rounded up, and one wei at least.
const fn an_eighth_more(wei: u128) -> u128 {
    wei.saturating_add(wei.div_ceil(8))
        .saturating_add((wei == 0) as u128)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_first_attempt_has_room_for_the_base_fee_to_double_within_the_bound() {
        let price = Price { base: 10, tip: 2 };
        assert_eq!(price.usual(100).unwrap(), Fees { max: 22, tip: 2 });
        assert_eq!(price.usual(15).unwrap(), Fees { max: 15, tip: 2 });
        assert_eq!(price.usual(12).unwrap(), Fees { max: 12, tip: 2 });
        let needed = 12;
        assert_eq!(
            price.usual(11),
            Err(Halt::FeeAboveBound { needed, bound: 11 })
        );
    }

    #[test]
    fn an_attempt_that_replaces_another_offers_what_is_usual_now_if_that_is_more() {
        let old = Fees { max: 80, tip: 8 };
        let calm = Price { base: 1, tip: 1 };
        assert_eq!(
            calm.instead_of(old, 1000).unwrap(),
            Fees { max: 90, tip: 9 }
        );
        let dear = Price { base: 300, tip: 20 };
        assert_eq!(
            dear.instead_of(old, 1000).unwrap(),
            Fees { max: 620, tip: 20 }
        );
        assert_eq!(
            dear.instead_of(old, 400).unwrap(),
            Fees { max: 400, tip: 20 }
        );
        assert!(dear.instead_of(old, 319).is_err());
        assert!(calm.instead_of(old, 89).is_err());
        let nothing = Fees { max: 0, tip: 0 };
        let free = Price { base: 0, tip: 0 };
        assert_eq!(
            free.instead_of(nothing, 9).unwrap(),
            Fees { max: 1, tip: 1 }
        );
    }

    /// All sizes alike, up to the largest number.
    fn wei() -> impl Strategy<Value = u128> {
        (any::<u128>(), 0u32..128).prop_map(|(n, shift)| n >> shift)
    }

    proptest! {
        #[test]
        fn fees_are_within_the_bound_enough_for_now_and_an_eighth_more_each_time(
            base in wei(), tip in wei(), old_max in wei(), old_tip in wei(), bound in wei(),
        ) {
            let price = Price { base, tip };
            let old = Fees { max: old_max, tip: old_tip.min(old_max) };
            for fees in [price.usual(bound), price.instead_of(old, bound)].into_iter().flatten() {
                prop_assert!(fees.max <= bound && fees.tip <= fees.max);
                prop_assert!(fees.max >= base.saturating_add(fees.tip).min(bound));
            }
            if let Ok(new) = price.instead_of(old, bound) {
                for (old, new) in [(old.max, new.max), (old.tip, new.tip)] {
                    // new ≥ 9/8 old, without overflow.
                    prop_assert!(new > old || new == u128::MAX);
                    prop_assert!(new - old >= old / 8 || new == u128::MAX);
                }
            }
        }
    }
}
