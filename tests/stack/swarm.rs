//! `deploy/swarm/stack.yaml` on a swarm of one machine, which is made for it and left again. This kernel may have
//! no IPVS: the file asks for none, and virtual addresses remain untried.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::compose::{docker, try_docker};
use super::stack::{build_images, free_ports};
use super::support::sql::{self, SUPERUSER_PASSWORD};
use super::support::wait::wait_until;

const NAME: &str = "pgbaton-test-swarm";
const START_BOUND: Duration = Duration::from_secs(120);
const BOUND: Duration = Duration::from_secs(60);

/// A swarm of this machine. Dropping it leaves, and takes away what the stack made.
struct Swarm;

impl Swarm {
    fn of_one() -> Swarm {
        let state = docker(&["info", "--format", "{{.Swarm.LocalNodeState}}"]);
        assert_eq!(state, "inactive", "this machine is in a swarm: the test makes one of its own");
        docker(&["swarm", "init", "--advertise-addr", "127.0.0.1"]);
        Swarm
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        let filter = format!("label=com.docker.stack.namespace={NAME}");
        let _ = try_docker(&["stack", "rm", NAME]);
        wait_until("the stack's containers are gone", BOUND, || {
            docker(&["ps", "--all", "--quiet", "--filter", &filter]).is_empty()
                && docker(&["network", "ls", "--quiet", "--filter", &filter]).is_empty()
        });
        for volume in docker(&["volume", "ls", "--quiet", "--filter", &filter]).lines() {
            let _ = try_docker(&["volume", "rm", volume]);
        }
        docker(&["swarm", "leave", "--force"]);
        // The swarm's own, which leaving does not take away.
        let _ = try_docker(&["network", "rm", "docker_gwbridge"]);
    }
}

/// The stack comes up, routes, and survives its primary.
pub fn the_stack_works_on_a_swarm_of_one() {
    // Nothing but a look into the cache when the compose stack was there before.
    build_images();
    let _swarm = Swarm::of_one();
    let own = docker(&["node", "ls", "--quiet"]);
    docker(&["node", "update", "--label-add", "pgbaton=a", &own]);
    let ports = free_ports();
    let mut variables: BTreeMap<String, String> = ports
        .iter()
        .map(|(name, port)| (format!("PGBATON_{name}_PORT"), port.to_string()))
        .collect();
    for (name, value) in [
        ("PGBATON_PLACE_B", "a"),
        ("PGBATON_PLACE_C", "a"),
        ("PGBATON_IMAGE_PREFIX", "pgbaton-test"),
        ("PGBATON_SUPERUSER_PASSWORD", SUPERUSER_PASSWORD),
    ] {
        variables.insert(name.to_owned(), value.to_owned());
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/swarm/stack.yaml");
    let mut command = Command::new("docker");
    command.envs(&variables).args(["stack", "deploy", "--resolve-image", "never", "-c"]);
    let output = command.arg(file).arg(NAME).output().expect("docker runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let local = |port: &str| ([127, 0, 0, 1], ports[port]).into();
    let (writes, reads) = (local("WRITE"), local("READ"));
    wait_until("a standby serves reads", START_BOUND, || {
        sql::value(reads, "SELECT pg_is_in_recovery()").as_deref() == Ok("t")
    });
    let server = || sql::value(writes, "SELECT host(inet_server_addr())");
    let first = server().expect("a primary");
    sql::run(writes, "CREATE TABLE kept (i int); INSERT INTO kept VALUES (1)");
    let task = format!("{NAME}_");
    let running = docker(&["ps", "--quiet", "--filter", &format!("name={task}pg-")]);
    let primary = running.lines().find(|container| {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
        docker(&["inspect", "--format", format, container]).contains(&first)
    });
    docker(&["kill", primary.expect("the primary's container")]);
    wait_until("another primary takes writes", BOUND, || server().is_ok_and(|now| now != first));
    wait_until("the write is kept", BOUND, || {
        sql::value(writes, "SELECT count(*) FROM kept").as_deref() == Ok("1")
    });
    wait_until("two standbys stream again", BOUND, || {
        sql::value(writes, "SELECT count(*) FROM pg_stat_replication").as_deref() == Ok("2")
    });
}
