//! A decision over a thousand rules, in process: rules of other vendors, scopes and actors, as a
//! large installation has them.

use crate::Options;
use crate::report::{Report, Target, Times, micros};
use agentkeys::authority::policy::{Amount, PolicyEngine, PolicySource, Question, SCHEMA_FILE};
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

const RULES: usize = 1_000;

pub(crate) fn measure(options: &Options, report: &mut Report) {
    let start = Instant::now();
    let engine = PolicyEngine::compile(&many()).unwrap();
    let compiled = micros(start) / 1e3;
    let rounds = if options.quick { 500 } else { 20_000 };
    for (scope, amount) in [
        ("payment.spend", Amount::Minor(100)),
        ("memory.read", Amount::Missing),
    ] {
        let ask = |n: usize| Question {
            vendor: "magiclick",
            rail: "xiaozhi",
            actor: "0x5d1c1bb5a9ba7ba5b2b0d5c14c1cbd1ec0ee5d5a5a76ccbe5c5a4a0b0c0d0e0f",
            scope,
            granted: true,
            namespace: Some("travel"),
            amount,
            currency: "RMB",
            spent_minor: i64::try_from(n % 1_000).unwrap(),
            cap_minor: Some(50_000),
            hour: 12,
            weekday: 3,
        };
        let times = (0..rounds).map(|n| {
            let question = ask(n);
            let start = Instant::now();
            black_box(engine.decide(black_box(&question)));
            micros(start)
        });
        let times = Times::new(times.collect());
        let note = format!(
            "p50 {:.1} us, max {:.0} us of {rounds}; compiled in {compiled:.0} ms",
            times.median(),
            times.most()
        );
        let name = format!("policy over {RULES} rules, {scope}, p99");
        report.add(name, times.at(0.99), "us", Target::AtMost(50.0), note);
    }
}

/// The built-in policy and a thousand rules over 20 more scopes, 500 vendors and 500 actors; 250 of
/// them hold for any scope.
fn many() -> PolicySource {
    let own = PolicySource::builtin();
    let mut files: Vec<(String, String)> = own
        .files()
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect();
    let (_, schema) = files.iter_mut().find(|(n, _)| n == SCHEMA_FILE).unwrap();
    for n in 0..20 {
        let _ = writeln!(
            schema,
            "action \"scope.s{n}\" appliesTo {{ principal: Vendor, resource: Actor, context: Facts }};"
        );
    }
    let mut rules = String::new();
    for n in 0..RULES {
        let action = format!("action == Action::\"scope.s{}\"", n % 20);
        let head = match n % 4 {
            0 => format!("principal == Vendor::\"v{n}\", {action}, resource"),
            1 => format!("principal == Vendor::\"v{n}\", action, resource"),
            2 => format!("principal, {action}, resource == Actor::\"0x{n}\""),
            _ => format!(
                "principal == Vendor::\"magiclick\", {action}, resource == Actor::\"0x{n}\""
            ),
        };
        let _ = writeln!(
            rules,
            "@id(\"r{n}\") forbid ({head}) when {{ context.hour > 22 && context.spent > {n} }};"
        );
    }
    files.push(("many.cedar".to_owned(), rules));
    PolicySource::from_files(files)
}
