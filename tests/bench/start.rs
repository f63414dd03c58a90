//! What a process costs before it is asked anything.

use crate::Options;
use crate::house::House;
use crate::program::{Running, agentkeys};
use crate::report::{Report, Target, Times, micros};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) fn measure(options: &Options, house: &House, report: &mut Report) {
    let (starts, helps, demos, idle) = if options.quick {
        (3, 5, 1, 0.3)
    } else {
        (21, 41, 5, 3.0)
    };
    let ready: Vec<f64> = (0..starts)
        .map(|_| Running::agentkeys(options, &house.dir).ready_us / 1e3)
        .collect();
    tell(report, "serve, ready", ready, 150.0);
    let server = Running::agentkeys(options, &house.dir);
    std::thread::sleep(Duration::from_secs_f64(idle));
    let note = format!("VmRSS {idle} s after ready");
    let rss = server.rss_mib();
    report.add("serve, idle memory", rss, "MiB", Target::AtMost(30.0), note);
    drop(server);
    let help = || {
        let mut command = agentkeys(options, &house.dir);
        command.arg("--help");
        timed(command)
    };
    help();
    tell(report, "--help", (0..helps).map(|_| help()).collect(), 15.0);
    let demo = |last: &str| {
        let mut command = agentkeys(options, &house.dir);
        command.args(["demo", "cross-rail", last]);
        command
    };
    let mut known = demo("--help");
    known.stdout(Stdio::null()).stderr(Stdio::null());
    if known.status().unwrap().success() {
        let times = (0..demos).map(|_| timed(demo("--json"))).collect();
        tell(report, "demo cross-rail --json", times, 2_000.0);
    } else {
        report.skip("demo cross-rail", "this build has no such command");
    }
}

/// Milliseconds from the start of a process to its end.
fn timed(mut command: Command) -> f64 {
    let start = Instant::now();
    let output = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let passed = micros(start) / 1e3;
    assert!(output.status.success(), "{command:?}: {output:?}");
    passed
}

fn tell(report: &mut Report, name: &str, times: Vec<f64>, most: f64) {
    let count = times.len();
    let times = Times::new(times);
    let note = format!("median of {count}, slowest {:.1} ms", times.most());
    report.add(name, times.median(), "ms", Target::AtMost(most), note);
}
