//! An agent with a process of its own, which is killed.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pgbaton::fence::Guardian;
use pgbaton::values::Strength;

use super::{command_line, has_ended, launch, setup, wait_until, working_in};

/// The test's own name, by which it starts itself as an agent.
const NAME: &str = "lonely::a_guardian_without_agent_and_server_leaves";
/// Where it is to work as one.
const AGENT_IN: &str = "PGBATON_TEST_AGENT_IN";

/// What the other process does: has a server guarded, and never ends by itself.
fn be_an_agent(folder: &OsStr) {
    let attached = Guardian::attach(setup(Path::new(folder), Strength::Subreaper)).unwrap();
    let server = attached.guardian.launch(launch("sleep 600", Path::new(folder))).unwrap();
    println!("launched");
    while !has_ended(&server) {
        std::thread::park();
    }
}

#[test]
fn a_guardian_without_agent_and_server_leaves() {
    if let Some(folder) = std::env::var_os(AGENT_IN) {
        return be_an_agent(&folder);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut agent = Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture"])
        .env(AGENT_IN, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(agent.stdout.take().unwrap()).lines();
    assert!(told.any(|line| line.unwrap().ends_with("launched")));
    let there = || working_in(folder.path());
    let guardians = || there().into_iter().filter(|pid| command_line(*pid).contains("guardian"));
    assert_eq!(guardians().count(), 1);
    agent.kill().unwrap();
    agent.wait().unwrap();
    let servers = || there().into_iter().filter(|pid| command_line(*pid).contains("sleep 600"));
    let server = servers().next().expect("it lives on without an agent");
    assert_eq!(guardians().count(), 1);
    kill(Pid::from_raw(server), Signal::SIGKILL).unwrap();
    wait_until("the guardian has left", || guardians().count() == 0);
}
