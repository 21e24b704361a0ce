//! `pgbaton drill` against `pgbaton demo`: both as people start them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::cluster::START_BOUND;
use crate::support::machine::{Turn, give_away};
use crate::support::processes;
use crate::support::wait::wait_until;

/// From here on a demo of the tests takes its ports.
const FIRST_PORT: &str = "27500";

/// A running demo. Dropping it stops it, and kills what that leaves.
struct Demo {
    child: Child,
    dir: TempDir,
    log: PathBuf,
    _turn: Turn,
}

impl Demo {
    fn start() -> Demo {
        let turn = Turn::wait();
        let dir = tempfile::Builder::new().prefix("pgbaton-drill-").tempdir().expect("a directory");
        give_away(dir.path());
        let log = dir.path().with_extension("log");
        let file = fs::File::create(&log).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgbaton"));
        command.args(["demo", "--etcd", "3", "--base-port", FIRST_PORT, "--dir"]).arg(dir.path());
        command.stdin(Stdio::null()).stderr(file.try_clone().expect("a file")).stdout(file);
        let child = command.spawn().expect("the program starts");
        let demo = Demo { child, dir, log, _turn: turn };
        wait_until("the demo is up", START_BOUND, || demo.said().contains("the cluster is up"));
        demo
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn drill(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgbaton"));
        command.arg("drill").arg("--demo").arg(self.dir()).args(arguments);
        command.stdin(Stdio::null()).output().expect("the program starts")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.said());
        }
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        let _ = kill(pid, Signal::SIGINT);
        let _ = self.child.wait();
        processes::kill_all(self.dir.path());
        let _ = fs::remove_file(&self.log);
    }
}

#[track_caller]
fn at(outcome: &Value, who: &str, what: &str) -> f64 {
    let lines = outcome["timeline"].as_array().expect("a list");
    let found = lines.iter().find(|line| {
        let text = line["what"].as_str().unwrap_or_default();
        text.starts_with(what) && (who.is_empty() || line["who"] == who)
    });
    let found = found.unwrap_or_else(|| panic!("no {what} of {who:?}: {lines:#?}"));
    found["at_seconds"].as_f64().expect("a number")
}

#[test]
fn a_drill_of_a_demo_tells_the_time_line_and_passes() {
    let demo = Demo::start();
    let output = demo.drill(&["switchover", "primary-kill", "--json"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("{said}");
    let outcomes: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("no JSON ({error}): {said}"));
    assert_eq!(output.status.code(), Some(0), "{said}");
    let outcomes = outcomes.as_array().expect("a list");
    assert_eq!(outcomes.len(), 2);
    for outcome in outcomes {
        let (before, after) = (&outcome["leader_before"], &outcome["leader_after"]);
        assert!(before.is_string() && after.is_string() && before != after, "{before} {after}");
        let after = after.as_str().expect("a name");
        // What the new leader noted of itself stands between the fault and the clients' next write.
        let (taken, promoted) = (at(outcome, after, "key taken"), at(outcome, after, "promoted"));
        let again = at(outcome, "clients", "writes again");
        assert!(0.0 <= taken && taken <= promoted && promoted <= again, "{outcome:#}");
        let clients = &outcome["clients"];
        assert!(clients["ledger"]["acknowledged"].as_u64().expect("a number") >= 100);
        let writers = clients["writers"].as_array().expect("a list");
        assert_eq!(writers.last().map(|span| &span["node"]), Some(&outcome["leader_after"]));
        assert!(
            outcome["checks"].as_array().is_some_and(|checks| checks.len() >= 4),
            "{outcome:#}"
        );
    }
    assert_eq!(outcomes[0]["clients"]["ledger"]["missing"], 0, "a switchover loses nothing");
    let before = outcomes[0]["leader_before"].as_str().expect("a name");
    let offered = at(&outcomes[0], before, "key offered");
    assert!(offered <= at(&outcomes[0], "", "key taken"), "the key is handed over by name");
}

#[test]
fn what_is_no_demo_is_not_touched_without_a_word() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgbaton"));
    command.arg("drill").arg("--demo").arg(dir.path()).stdin(Stdio::null());
    let output = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("expected the --dir of a running demo"), "{said}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgbaton"));
    let output = command.arg("drill").stdin(Stdio::null()).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(2), "no place to drill is a usage error");
}
