#![allow(clippy::unwrap_used)]
use super::super::store::Attempt;
use super::super::tx::Signed;
use super::*;
use crate::audit::anchor_call::{AnchoredRoot, KindBitmap};

const GWEI: u128 = 1_000_000_000;
const NONCE: u64 = 7;
/// When the first attempt was signed, and the newest block then.
const SENT_MS: i64 = 1_000_000;
const SENT_AT: u64 = 100;
const PATIENCE: Duration = Duration::from_mins(1);

fn rules() -> Rules {
    Rules {
        chain_id: 1,
        contract: WalletAddress::from_bytes([0xc0; 20]),
        operator_omni: [0x11; 32],
        depth: 3,
        fee_bound: 100 * GWEI,
        bump_after: PATIENCE,
    }
}

fn due() -> Due {
    Due {
        origin: 1,
        size: 12,
        root: [0x22; 32],
        kinds: KindBitmap::NONE,
    }
}

/// An attempt that is told from others by its hash.
fn attempt(number: u8, fees: Fees) -> Attempt {
    Attempt {
        signed: Signed {
            raw: vec![number],
            hash: [number; 32],
        },
        fees,
        at_ms: SENT_MS,
        head: SENT_AT,
    }
}

const FIRST: Fees = Fees {
    max: 21 * GWEI,
    tip: GWEI,
};

fn in_flight() -> Record {
    let rules = rules();
    Record {
        flight: Some(Flight {
            origin: 1,
            chain_id: rules.chain_id,
            contract: rules.contract,
            anchored: AnchoredRoot {
                operator_omni: rules.operator_omni,
                root: [0x22; 32],
                kinds: KindBitmap::NONE,
                entry_count: 12,
            },
            nonce: NONCE,
            gas_limit: 40_000,
            attempts: vec![attempt(1, FIRST)],
        }),
        failure: None,
    }
}

/// The attempt is in the pool, and time enough has passed to call it stuck.
fn stuck() -> View {
    View {
        chain_id: 1,
        head: SENT_AT + 5,
        price: Some(Price {
            base: 10 * GWEI,
            tip: GWEI,
        }),
        latest: NONCE,
        pending: NONCE + 1,
        settled: None,
        mined: None,
        known: true,
    }
}

const LATE: i64 = SENT_MS + 60_000;

fn in_block_at(block: u64, did: Did) -> View {
    View {
        latest: NONCE + 1,
        mined: Some(Mined {
            transaction: [1; 32],
            block,
            did,
        }),
        ..stuck()
    }
}

fn at(base: u128) -> Price {
    Price { base, tip: GWEI }
}

fn step(record: &Record, view: &View, now_ms: i64) -> Step {
    decide(record, Some(&due()), view, &rules(), now_ms)
}

#[test]
fn what_is_due_is_opened_with_the_next_nonce_and_nothing_else_is() {
    let empty = Record::default();
    let open = |nonce| Step::Open { nonce, fees: FIRST };
    let next = |latest, pending| View {
        latest,
        pending,
        ..stuck()
    };
    assert_eq!(decide(&empty, None, &stuck(), &rules(), 0), Step::Idle);
    assert_eq!(step(&empty, &next(7, 7), 0), open(7));
    // Behind what somebody else sent from this wallet; and never before what is in a block.
    assert_eq!(step(&empty, &next(7, 9), 0), open(9));
    assert_eq!(step(&empty, &next(7, 0), 0), open(7));
}

#[test]
fn nothing_is_opened_on_the_wrong_chain_or_above_the_bound() {
    let other = View {
        chain_id: 5,
        ..stuck()
    };
    let old = View {
        price: None,
        ..stuck()
    };
    let dear = View {
        price: Some(at(100 * GWEI)),
        ..stuck()
    };
    for record in [Record::default(), in_flight()] {
        let wrong = Halt::WrongChain {
            expected: 1,
            found: 5,
        };
        assert_eq!(step(&record, &other, LATE), Step::Halt(wrong));
        assert_eq!(step(&record, &old, LATE), Step::Halt(Halt::NoBaseFee));
        let halt = step(&record, &dear, LATE);
        assert!(
            matches!(halt, Step::Halt(Halt::FeeAboveBound { .. })),
            "{halt:?}"
        );
    }
}

#[test]
fn an_attempt_in_the_pool_is_outbid_when_it_is_old_and_blocks_went_by() {
    let record = in_flight();
    let wait = Step::Wait(Awaited::Block);
    let more = Step::Bump {
        fees: Fees {
            max: FIRST.max * 9 / 8,
            tip: FIRST.tip * 9 / 8,
        },
    };
    assert_eq!(step(&record, &stuck(), LATE), more);
    assert_eq!(step(&record, &stuck(), LATE - 1), wait);
    // The clock was set back.
    assert_eq!(step(&record, &stuck(), SENT_MS - 1), more);
    // The chain stands still.
    let still = View {
        head: SENT_AT + 1,
        ..stuck()
    };
    assert_eq!(step(&record, &still, LATE), wait);
    // An earlier transaction of the wallet is what it waits for.
    let behind = View {
        latest: NONCE - 1,
        ..stuck()
    };
    let earlier = Step::Wait(Awaited::Earlier);
    assert_eq!(step(&record, &behind, LATE), earlier);
}

#[test]
fn nobody_is_outbid_beyond_the_bound() {
    let mut record = in_flight();
    let top = Fees {
        max: 100 * GWEI,
        tip: GWEI,
    };
    let flight = record.flight.as_mut().unwrap();
    flight.add(attempt(2, top));
    let wait = Step::Wait(Awaited::Block);
    assert_eq!(step(&record, &stuck(), LATE), wait);
    let dear = View {
        price: Some(at(101 * GWEI)),
        ..stuck()
    };
    let halt = step(&record, &dear, LATE);
    assert!(
        matches!(halt, Step::Halt(Halt::FeeAboveBound { .. })),
        "{halt:?}"
    );
}

#[test]
fn what_the_node_does_not_have_is_sent_again_at_once_and_as_it_was() {
    let record = in_flight();
    let gone = View {
        known: false,
        pending: NONCE,
        ..stuck()
    };
    assert_eq!(step(&record, &gone, SENT_MS), Step::Resend);
    assert_eq!(step(&record, &gone, LATE), Step::Resend);
    // Unless it could not be included now.
    let dearer = View {
        price: Some(at(22 * GWEI)),
        ..gone
    };
    let fees = Fees {
        max: 45 * GWEI,
        tip: FIRST.tip * 9 / 8,
    };
    assert_eq!(step(&record, &dearer, SENT_MS), Step::Bump { fees });
}

#[test]
fn a_root_settles_when_it_is_deep_enough_and_whatever_else_is_true() {
    let record = in_flight();
    let at = |block| step(&record, &in_block_at(block, Did::Anchor), LATE);
    let head = stuck().head;
    for depth in 0..3 {
        assert_eq!(at(head - depth), Step::Wait(Awaited::Depth(depth)));
    }
    let landed = Landed {
        transaction: [1; 32],
        block: head - 3,
        depth: 3,
    };
    assert_eq!(at(head - 3), Step::Settle(landed));
    // Another node of the same provider is behind.
    assert_eq!(at(head + 2), Step::Wait(Awaited::Depth(0)));
}

#[test]
fn a_nonce_that_something_else_used_up_is_given_up_when_that_is_for_good() {
    let record = in_flight();
    let used = |settled| View {
        latest: NONCE + 1,
        known: false,
        settled: Some(settled),
        ..stuck()
    };
    let wait = Step::Wait(Awaited::Nonce);
    assert_eq!(step(&record, &used(NONCE), LATE), wait);
    let nonce = NONCE + 1;
    let open = Step::Open { nonce, fees: FIRST };
    assert_eq!(step(&record, &used(NONCE + 1), LATE), open);
}

#[test]
fn a_nonce_behind_a_gap_is_given_up_when_the_gap_stays() {
    let record = in_flight();
    let gap = View {
        latest: NONCE - 1,
        pending: NONCE - 1,
        ..stuck()
    };
    let wait = Step::Wait(Awaited::Block);
    assert_eq!(step(&record, &gap, SENT_MS), wait);
    let nonce = NONCE - 1;
    assert_eq!(step(&record, &gap, LATE), Step::Open { nonce, fees: FIRST });
}

#[test]
fn a_flight_to_where_the_configuration_no_longer_points_is_left() {
    let mut record = in_flight();
    record.flight.as_mut().unwrap().contract = WalletAddress::from_bytes([0xdd; 20]);
    let nonce = NONCE + 1;
    let open = Step::Open { nonce, fees: FIRST };
    assert_eq!(step(&record, &stuck(), LATE), open);
}

#[test]
fn each_failed_transaction_makes_the_next_one_wait_longer() {
    let mut record = in_flight();
    let minutes = |n: i64| n * 60_000;
    let mut waits = Vec::new();
    for times in 1..=8 {
        record.flight = in_flight().flight;
        let failed = step(&record, &in_block_at(100, Did::Revert), 0);
        let Step::Fail(failure) = failed else {
            panic!("{failed:?}");
        };
        assert_eq!((failure.times, failure.reverted), (times, true));
        waits.push(failure.not_before_ms);
        record = Record {
            flight: None,
            failure: Some(failure),
        };
        let halt = Step::Halt(Halt::Failed {
            transaction: [1; 32],
            reverted: true,
        });
        let end = failure.not_before_ms;
        assert_eq!(step(&record, &stuck(), end - 1), halt);
        assert!(matches!(step(&record, &stuck(), end), Step::Open { .. }));
        // The clock was set back by a day.
        let before = end - minutes(24 * 60);
        assert!(matches!(step(&record, &stuck(), before), Step::Open { .. }));
    }
    let wanted = [10, 20, 40, 80, 160, 320, 360, 360].map(minutes);
    assert_eq!(waits, wanted);

    let young = step(&in_flight(), &in_block_at(103, Did::Nothing), 0);
    assert_eq!(young, Step::Wait(Awaited::Depth(2)));
    let nothing = step(&in_flight(), &in_block_at(100, Did::Nothing), 0);
    assert!(matches!(nothing, Step::Fail(f) if !f.reverted));
}

#[test]
fn a_contract_is_taken_only_with_the_call_and_within_the_bounds() {
    assert_eq!(dialect(&[]), Err(Halt::NoCode));
    assert_eq!(dialect(&[0x60, 0x80]), Err(Halt::NotTheContract));
    for known in Dialect::ALL {
        let code = [&[0x63][..], &known.selector()].concat();
        assert_eq!(dialect(&code), Ok(known));
    }
    assert_eq!(gas_limit(Estimate::Gas(30_000)), Ok(37_500));
    assert_eq!(gas_limit(Estimate::Gas(GAS_BOUND)), Ok(625_000));
    assert!(gas_limit(Estimate::Gas(GAS_BOUND + 1)).is_err());
    let said = "execution reverted".to_owned();
    let refused = Halt::Refused { said: said.clone() };
    assert_eq!(gas_limit(Estimate::Reverts(said)), Err(refused));
    let fees = Fees { max: 10, tip: 1 };
    assert_eq!(affordable(100, fees, 1000), Ok(()));
    let poor = Halt::InsufficientFunds {
        needed: 1000,
        has: 999,
    };
    assert_eq!(affordable(100, fees, 999), Err(poor));
    assert!(
        affordable(
            u64::MAX,
            Fees {
                max: u128::MAX,
                tip: 0
            },
            u128::MAX - 1
        )
        .is_err()
    );
}
