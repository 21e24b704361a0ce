//! What a former primary had not archived when it ended.

use serde_json::json;

use crate::faults::BOUND;
use crate::rejoin::diverged;
use crate::support::cluster::Plan;
use crate::support::machine::{give_away, write_file};

fn plan(command: &str) -> Plan {
    let parameters = json!({ "archive_mode": "on", "archive_command": command });
    Plan { dcs: json!({ "postgresql": { "parameters": parameters } }), ..Plan::default() }
}

#[test]
fn it_is_archived_before_the_former_primary_is_rewound() {
    // The archive lies beside the nodes, and takes nothing before it is opened.
    let archive = "../../archive";
    let command = format!("test -e {archive}/open && test ! -e {archive}/%f && cp %p {archive}/%f");
    let (mut cluster, former) = diverged(plan(&command));
    let waiting = std::fs::read_dir(cluster.nodes[former].data_dir().join("pg_wal/archive_status"));
    let waiting: Vec<String> = waiting
        .expect("a folder")
        .filter_map(|file| {
            Some(file.ok()?.file_name().to_str()?.strip_suffix(".ready")?.to_owned())
        })
        .collect();
    assert!(!waiting.is_empty(), "something was to be left");
    let folder = cluster.dir().join("archive");
    std::fs::create_dir(&folder).expect("a folder");
    give_away(&folder);
    write_file(&folder.join("open"), "");
    cluster.nodes[former].start();
    cluster.wait_until_whole(BOUND);
    let log = cluster.nodes[former].log();
    let (left, rewound) = (log.find("archived what was left"), log.find("done step=\"rewind\""));
    assert!(left.is_some() && left < rewound, "{log}");
    for segment in &waiting {
        assert!(folder.join(segment).exists(), "{segment} of {waiting:?}");
    }
    println!("archived before the rewind: {waiting:?}");
}

#[test]
fn an_archive_that_takes_nothing_keeps_nobody_out() {
    let (mut cluster, former) = diverged(plan("false"));
    cluster.nodes[former].start();
    cluster.wait_until_whole(BOUND);
    let log = cluster.nodes[former].log();
    let refused = "side work could not be finished reason=\"the server did not do it: sh failed";
    assert!(log.contains(refused), "{log}");
}
