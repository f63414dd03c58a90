//! Whether a caller can tell by time that an actor exists: unknown and unbound actors, asked for
//! in turn over one connection.

use crate::Options;
use crate::house::House;
use crate::load::{self, Line, Random};
use crate::program::Running;
use crate::report::{Report, Target, Times, micros};
use serde_json::json;
use std::fmt::Write as _;
use std::time::Instant;

pub(crate) fn measure(options: &Options, house: &House, report: &mut Report) {
    let pairs = if options.quick { 50 } else { 2_000 };
    let server = Running::agentkeys(options, &house.dir);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (unknown, unbound) = runtime.block_on(async {
        let mut line = Line::open(server.address).await;
        let mut random = Random::new(7);
        let mut times = [Vec::new(), Vec::new()];
        for pair in 0..pairs + pairs / 10 {
            let real = house.actors[random.below(house.actors.len())].clone();
            let asked = [made_up(&mut random), real];
            // Either goes first as often as the other.
            let first = random.below(2);
            for which in [first, 1 - first] {
                let request = request(&server, house, &asked[which]);
                let start = Instant::now();
                line.ask(&request.bytes).await;
                let passed = micros(start);
                line.check(403);
                // The first tenth warms up.
                if pair >= pairs / 10 {
                    times[which].push(passed);
                }
            }
        }
        let [unknown, unbound] = times;
        (Times::new(unknown), Times::new(unbound))
    });
    let (a, b) = (unknown.median(), unbound.median());
    let apart = (a - b).abs() / a.min(b) * 100.0;
    let note = format!("medians of {pairs} pairs: unknown {a:.0} us, unbound {b:.0} us");
    let name = "unknown and unbound actors, apart";
    report.add(name, apart, "%", Target::AtMost(5.0), note);
}

fn request(server: &Running, house: &House, actor: &str) -> load::Prepared {
    let bearer = format!("Bearer {}", house.unbound);
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-agentkeys-actor", actor),
    ];
    let body = load::tool_call("agentkeys.memory.get", &json!({"namespace": "travel"}));
    load::post(server.address, "application/json", &headers, &body, "")
}

/// An id that nobody has.
fn made_up(random: &mut Random) -> String {
    let mut id = "0x".to_owned();
    for _ in 0..32 {
        let _ = write!(id, "{:02x}", random.below(256));
    }
    id
}
