//! `deploy/systemd/pgbaton.service` under a real systemd: what starts, reloads, crashes and stops there, and which
//! fence it has. One machine, one node, its etcd beside it.

mod machine;

use std::time::{Duration, Instant};

use super::stack::TTL;
use super::support::wait::{wait_for, wait_until};
use machine::Machine;

const BOUND: Duration = Duration::from_secs(30);
/// The network, and the socket in the unit's own directory.
const TCP: &str = "host=127.0.0.1";
const SOCKET: &str = "host=/run/pgbaton";
const KEY: &str = "/etc/ssl/private/ssl-cert-snakeoil.key";
const STARTED_AT: &str = "SELECT pg_postmaster_start_time()";

/// One history, each part from where the last one ended.
pub fn the_unit_works_under_systemd() {
    let machine =
        Machine::boot(|node| node.replace("directories: '..'", "directories: '/run/pgbaton'"));
    starts_when_it_is_ready(&machine);
    is_fenced_as_strongly_as_may_be(&machine);
    reloads(&machine);
    a_killed_agent_takes_its_server_up_again(&machine);
    a_stopped_agent_is_fenced(&machine);
    restarts(&machine);
    stops_and_leaves_nothing(&machine);
    a_root_owned_key_takes_the_next_fence(&machine);
    a_root_owned_key_is_read_below_a_subreaper(&machine);
    a_fence_that_refuses_the_key_is_no_start(&machine);
}

fn starts_when_it_is_ready(machine: &Machine) {
    machine.install();
    assert_eq!(machine.shown("ActiveState"), "active");
    let live = "curl --silent --fail --output /dev/null http://127.0.0.1:8008/liveness";
    machine.shell(live);
    let unit = "/etc/systemd/system/pgbaton.service";
    assert_eq!(machine.shell(&format!("systemd-analyze verify {unit} 2>&1")), "");
    wait_until_it_leads(machine);
    machine.sql(TCP, "CREATE TABLE kept (i int); INSERT INTO kept VALUES (1)").expect("a write");
}

fn is_fenced_as_strongly_as_may_be(machine: &Machine) {
    let may = machine.try_shell("sudo -u postgres unshare --user --pid --fork true").is_ok();
    assert_fence(machine, if may { "namespace" } else { "cgroup" });
}

fn reloads(machine: &Machine) {
    let before = machine.shown("MainPID");
    set(machine, "/^  parameters:/a\\    work_mem: 5MB");
    machine.shell("systemctl reload pgbaton");
    wait_until("the new setting is in force", BOUND, || {
        machine.sql(TCP, "SHOW work_mem").as_deref() == Ok("5MB")
    });
    assert_eq!(machine.shown("MainPID"), before, "the agent is the same");
}

/// systemd starts another agent; the server never notices.
fn a_killed_agent_takes_its_server_up_again(machine: &Machine) {
    let started = machine.sql(SOCKET, STARTED_AT).expect("an answer");
    let killed = machine.shown("MainPID");
    let began = Instant::now();
    machine.shell(&format!("kill -KILL {killed}"));
    machine.sql(TCP, "INSERT INTO kept VALUES (2)").expect("the server takes writes without it");
    wait_until("another agent", BOUND, || {
        machine.shown("ActiveState") == "active" && machine.shown("MainPID") != killed
    });
    wait_until_it_leads(machine);
    println!(
        "agent killed under systemd: leads again {:.1} s later",
        began.elapsed().as_secs_f64()
    );
    assert_eq!(machine.shown("NRestarts"), "1");
    assert_eq!(machine.sql(SOCKET, STARTED_AT), Ok(started), "the server is the same");
    let journal = machine.journal();
    assert!(journal.contains("done step=\"take up the lease\""), "{journal}");
}

/// To systemd it is a service that runs.
fn a_stopped_agent_is_fenced(machine: &Machine) {
    let agent = machine.shown("MainPID");
    machine.shell(&format!("kill -STOP {agent}"));
    let server = "pgrep --count --exact postgres || true";
    wait_until("the server is gone", TTL + Duration::from_secs(2), || machine.shell(server) == "0");
    assert_eq!(machine.shown("ActiveState"), "active");
    machine.shell(&format!("kill -CONT {agent}"));
    wait_until_it_leads(machine);
    assert_eq!(machine.shown("MainPID"), agent, "the agent is the same");
}

fn restarts(machine: &Machine) {
    let started = machine.sql(TCP, STARTED_AT).expect("an answer");
    machine.shell("systemctl restart pgbaton");
    wait_until_it_leads(machine);
    assert_ne!(machine.sql(TCP, STARTED_AT), Ok(started), "the server is another one");
    assert_eq!(machine.sql(TCP, "SELECT count(*) FROM kept").as_deref(), Ok("2"));
}

fn stops_and_leaves_nothing(machine: &Machine) {
    machine.shell("systemctl stop pgbaton");
    assert_eq!(machine.shown("Result"), "success", "{}", machine.journal());
    assert_eq!(machine.shown("ActiveState"), "inactive");
    nothing_is_left(machine);
}

fn nothing_is_left(machine: &Machine) {
    assert_eq!(machine.shell("pgrep --list-full --euid postgres || true"), "");
    assert_eq!(machine.shell("ls -d /sys/fs/cgroup/system.slice/pgbaton.service* || true"), "");
    let control = "/usr/lib/postgresql/15/bin/pg_controldata /var/lib/pgbaton/pg-a/data";
    let state = machine.shell(&format!("{control} | sed -n 's/^Database cluster state: *//p'"));
    assert_eq!(state, "shut down");
}

/// Debian's own key belongs to root and is readable to a group of which the server's user is one.
fn a_root_owned_key_takes_the_next_fence(machine: &Machine) {
    assert_eq!(machine.shell(&format!("stat -c '%U %G %a' {KEY}")), "root ssl-cert 640");
    machine.shell("systemctl start pgbaton");
    wait_until_it_leads(machine);
    // By the cluster's document, which the node's file knows nothing of.
    let parameters = serde_json::json!({
        "ssl": "on",
        "ssl_cert_file": "/etc/ssl/certs/ssl-cert-snakeoil.pem",
        "ssl_key_file": KEY,
    });
    let patch = serde_json::json!({ "postgresql": { "parameters": parameters } });
    machine.shell(&format!(
        "curl --silent --fail --user pgbaton:change-me-rest --request PATCH --data '{patch}' \
         http://127.0.0.1:8008/config"
    ));
    let asked = format!("SELECT count(*) FROM pg_file_settings WHERE setting = '{KEY}'");
    wait_until("the server has heard of the key", BOUND, || {
        machine.sql(TCP, &asked).as_deref() == Ok("1")
    });
    machine.shell("systemctl restart pgbaton");
    wait_until_it_leads(machine);
    let remarks = assert_fence(machine, "cgroup");
    assert!(remarks.contains(&format!("{KEY} would belong to nobody")), "{remarks}");
    assert_encrypted(machine);
    a_killed_agent_takes_its_server_up_again(machine);
    stops_and_leaves_nothing(machine);
}

/// The weakest fence has no users of its own either.
fn a_root_owned_key_is_read_below_a_subreaper(machine: &Machine) {
    machine.shell("printf 'pgbaton:\\n  fence: subreaper\\n' >> /etc/pgbaton/node.yml");
    machine.shell("systemctl start pgbaton");
    wait_until_it_leads(machine);
    assert_fence(machine, "subreaper");
    assert_encrypted(machine);
    a_killed_agent_takes_its_server_up_again(machine);
    a_stopped_agent_is_fenced(machine);
    stops_and_leaves_nothing(machine);
}

#[track_caller]
fn assert_encrypted(machine: &Machine) {
    let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let way = format!("{TCP} sslmode=require");
    assert_eq!(machine.sql(&way, encrypted).as_deref(), Ok("t"));
}

/// What was asked for by name and does not work is told, and never becomes active.
fn a_fence_that_refuses_the_key_is_no_start(machine: &Machine) {
    set(machine, "s/^  fence: subreaper/  fence: namespace/");
    machine.try_shell("systemctl start pgbaton").expect_err("it cannot start");
    assert_ne!(machine.shown("ActiveState"), "active");
    let journal = machine.journal();
    assert!(journal.contains("the fence \"namespace\" does not work here"), "{journal}");
    machine.shell("systemctl stop pgbaton");
    // A stop that finds a start under way waits for what becomes of it: that failed. Between two starts there is
    // nothing to wait for.
    let state = machine.shown("ActiveState");
    assert!(["failed", "inactive"].contains(&state.as_str()), "{state}");
    nothing_is_left(machine);
}

#[track_caller]
fn wait_until_it_leads(machine: &Machine) {
    // A backend that may write, and an agent that promises it: either may be the first.
    wait_until("it leads and takes writes", BOUND, || {
        machine.sql(TCP, "SELECT pg_is_in_recovery()").as_deref() == Ok("f")
            && machine.try_shell("curl --silent --fail http://127.0.0.1:8008/primary").is_ok()
    });
}

/// What the agent shows and what its log says is this strength; the remarks about stronger ones.
#[track_caller]
fn assert_fence(machine: &Machine, strength: &str) -> String {
    let status = wait_for("an answer", BOUND, || machine.status());
    assert_eq!(status["pgbaton"]["fence"], strength, "{status}");
    let journal = machine.journal();
    let mut lines = journal.lines().filter(|line| line.contains("is fenced by a guardian"));
    let last = lines.next_back().expect("the log says which fence it is");
    assert!(last.contains(&format!("strength={strength} ")), "{last}");
    let remarks = status["pgbaton"]["fence_remarks"].as_str().unwrap_or_default();
    println!("fence under systemd: {strength}; {remarks}");
    remarks.to_owned()
}

/// Changes the node's file by a command of sed.
#[track_caller]
fn set(machine: &Machine, command: &str) {
    machine.shell(&format!("sed -i '{command}' /etc/pgbaton/node.yml"));
}
