//! Histories as the seeds had them that broke a rule first: more happens in them than is needed.

use std::time::Duration;

use pgbaton::config::DivergedData;
use serde_json::json;

use super::{fault, plan};
use crate::faults::{Fault, Target, What};
use crate::plan::{Plan, SyncPlan};

const HOUR: u64 = 360_000;

fn sync(mode: serde_json::Value, strict: bool, count: u64) -> SyncPlan {
    SyncPlan { mode, strict, count }
}

/// Every commit waits for both standbys.
fn waiting_for_both(faults: Vec<Fault>) -> Plan {
    Plan {
        ttl: Duration::from_secs(1),
        sync: sync(json!(true), false, 2),
        failsafe: true,
        faulty_for: Duration::from_secs(13),
        ..plan(faults)
    }
}

/// Seed 173968.
pub fn late_record() -> Plan {
    let faults = vec![
        fault(What::FlakyStore, Target::Leader, 568, 58),
        fault(What::DelayWatches, Target::Other, 592, 331),
        fault(What::FlakyStore, Target::Other, 667, 48),
        fault(What::CrashPostmaster, Target::Other, 683, 39),
        fault(What::SlowReplication, Target::Leader, 697, 17),
    ];
    Plan {
        nodes: 2,
        ttl: Duration::from_secs(1),
        shortest_lease: Duration::from_secs(1),
        lag_bytes_max: 0,
        sync: sync(json!("quorum"), true, 1),
        tags: vec![None, None],
        ..plan(faults)
    }
}

/// As in seed 135802: the mode is changed, in some lives to none, while the standby's disk stands still;
/// then the standby is to lead.
pub fn unwritten() -> Plan {
    let faults = vec![
        fault(What::StallDisk, Target::Other, 100, 80),
        fault(What::ChangeSync, Target::Any, 110, 10),
        fault(What::Switchover, Target::Leader, 300, 100),
    ];
    Plan {
        nodes: 2,
        ttl: Duration::from_secs(1),
        shortest_lease: Duration::from_secs(1),
        lag_bytes_max: 1 << 20,
        stall_timeout_seconds: 5,
        sync: sync(json!("quorum"), false, 1),
        tags: vec![None, None],
        ..plan(faults)
    }
}

/// Seed 83700.
pub fn full_disk() -> Plan {
    let faults = vec![
        fault(What::FillDisk, Target::Leader, 234, HOUR),
        fault(What::ChangeSync, Target::Any, 896, 36),
    ];
    Plan {
        lag_bytes_max: 1 << 20,
        primary_start_timeout_seconds: 0,
        remove_after_failed_rewind: true,
        sync: sync(json!(true), false, 2),
        tags: vec![None, None, Some(("nofailover", json!(true)))],
        faulty_for: Duration::from_secs(14),
        ..plan(faults)
    }
}

/// Seed 172944.
pub fn late_trouble() -> Plan {
    let faults = vec![
        fault(What::CutReplication, Target::Leader, 246, 124),
        fault(What::KillNode, Target::Same, 290, 332),
        fault(What::Switchover, Target::Leader, 406, 60),
        fault(What::RecycleLog, Target::Leader, 518, 28),
        fault(What::CutReplication, Target::Leader, 616, 658),
    ];
    Plan {
        nodes: 4,
        lag_bytes_max: 0,
        stall_timeout_seconds: 2,
        remove_diverged: true,
        diverged_data: DivergedData::StayDown,
        sync: sync(json!(true), true, 1),
        tags: vec![None, None, None, None],
        faults_from_the_start: true,
        faulty_for: Duration::from_secs(14),
        ..plan(faults)
    }
}

/// As in seed 235337: who was offered the lead takes it late, when the others have promised another term,
/// and one of these starts anew.
pub fn kept_promise() -> Plan {
    let faults = vec![
        fault(What::SlowStore, Target::Any, 1112, 1002),
        fault(What::Switchover, Target::Leader, 1424, 399),
        fault(What::KillNode, Target::Other, 1865, 195),
        fault(What::CrashPostmaster, Target::Leader, 2000, 159),
    ];
    Plan {
        ttl: Duration::from_secs(3),
        shortest_lease: Duration::from_secs(1),
        lag_bytes_max: 20_000,
        primary_start_timeout_seconds: 60,
        sync: sync(json!("quorum"), false, 1),
        faulty_for: Duration::from_secs(20),
        ..plan(faults)
    }
}

/// Seed 286634; 314403 is much the same.
pub fn unseen_record() -> Plan {
    let faults = vec![
        fault(What::FillDisk, Target::Leader, 208, 28),
        fault(What::HangWatches, Target::Leader, 225, 124),
        fault(What::CutStore, Target::Leader, 258, 44),
        fault(What::SlowReplay, Target::Leader, 281, 24),
        fault(What::SlowStore, Target::Leader, 388, 145),
    ];
    Plan {
        ttl: Duration::from_secs(1),
        shortest_lease: Duration::from_secs(1),
        lag_bytes_max: 20_000,
        stall_timeout_seconds: 2,
        remove_after_failed_rewind: true,
        sync: sync(json!("quorum"), false, 2),
        ..plan(faults)
    }
}

/// Seed 386657.
pub fn hidden_promise() -> Plan {
    let faults = vec![
        fault(What::SlowStore, Target::Leader, 142, 672),
        fault(What::FreezeNode, Target::Same, 294, 426),
        fault(What::StaleLeader, Target::Leader, 728, 630),
    ];
    Plan {
        shortest_lease: Duration::from_secs(1),
        lag_bytes_max: 20_000,
        primary_start_timeout_seconds: 0,
        diverged_data: DivergedData::Remove,
        failsafe: true,
        tags: vec![None, None, Some(("failover_priority", json!(5)))],
        faulty_for: Duration::from_secs(14),
        ..plan(faults)
    }
}

/// Seed 280566.
pub fn left_names() -> Plan {
    let faults = vec![
        fault(What::Switchover, Target::Leader, 165, 57),
        fault(What::SlowStore, Target::Leader, 174, 216),
        fault(What::KillNode, Target::Other, 177, 93),
        fault(What::ChangeSync, Target::Any, 480, 48),
        fault(What::Failover, Target::Leader, 1240, 162),
    ];
    Plan {
        ttl: Duration::from_secs(3),
        lag_bytes_max: 1 << 20,
        primary_start_timeout_seconds: 60,
        remove_after_failed_rewind: true,
        sync: sync(json!(true), false, 1),
        faulty_for: Duration::from_secs(20),
        stay_away: vec![Target::Other],
        ..plan(faults)
    }
}

/// Seed 432335.
pub fn burnt_branch() -> Plan {
    let faults = vec![
        fault(What::CutReplication, Target::Leader, 154, 69),
        fault(What::KillNode, Target::Same, 175, 144),
        fault(What::KillNode, Target::Leader, 318, 82),
        fault(What::KillNode, Target::Leader, 464, 199),
        fault(What::CutStore, Target::Leader, 552, 314),
    ];
    Plan {
        ttl: Duration::from_secs(1),
        shortest_lease: Duration::from_secs(1),
        lag_bytes_max: 1 << 20,
        primary_start_timeout_seconds: 0,
        sync: sync(json!(true), true, 2),
        stay_away: vec![Target::Leader],
        ..plan(faults)
    }
}

/// As in seeds 208727 and 888504: the agent dies just when a second standby comes to be waited for.
pub fn half_told() -> Plan {
    let comes_back = |at, after| {
        let node = fault(What::KillNode, Target::Other, at, 100);
        [node, fault(What::KillAgent, Target::Leader, at + 100 + after, 25)]
    };
    let faults =
        [comes_back(20, 20), comes_back(320, 25), comes_back(620, 30), comes_back(920, 35)];
    waiting_for_both(faults.concat())
}

/// Never broken. An agent dies while its write of who has every acknowledged commit is on its way, the next one
/// takes the lease up, and changes whom commits wait for once more.
pub fn late_record_of_ones_own() -> Plan {
    let goes_on = |at, after| {
        let dies = at + 90 + after;
        [
            fault(What::SlowStore, Target::Leader, at, 280),
            fault(What::KillNode, Target::Other, at + 5, 85),
            fault(What::KillAgent, Target::Leader, dies, 8),
            fault(What::KillNode, Target::Other, dies + 35, 60),
        ]
    };
    let faults = [goes_on(20, 20), goes_on(320, 21), goes_on(620, 22), goes_on(920, 24)];
    waiting_for_both(faults.concat())
}

/// Seed 169279.
pub fn failed_releases() -> Plan {
    let faults = vec![
        fault(What::ChangeTtl, Target::Any, 32, 20),
        fault(What::DelayWatches, Target::Any, 85, 158),
        fault(What::Compact, Target::Same, 111, 11),
        fault(What::Compact, Target::Same, 161, 18),
        fault(What::CrashPostmaster, Target::Leader, 182, 14),
        fault(What::ChangeSync, Target::Any, 608, 20),
    ];
    Plan {
        ttl: Duration::from_secs(1),
        shortest_lease: Duration::from_secs(1),
        primary_start_timeout_seconds: 0,
        stall_timeout_seconds: 2,
        use_pg_rewind: false,
        failsafe: true,
        sync: sync(json!("quorum"), true, 1),
        ..plan(faults)
    }
}

/// Seed 247010; 733517 is much the same.
pub fn unheard_release() -> Plan {
    let faults = vec![fault(What::StallDisk, Target::Leader, 340, HOUR)];
    Plan {
        ttl: Duration::from_secs(5),
        lag_bytes_max: 1 << 20,
        faulty_for: Duration::from_secs(12),
        ..plan(faults)
    }
}

/// As in seed 639.
pub fn slow_answers() -> Plan {
    let faults = vec![
        fault(What::StickLoop, Target::Leader, 200, 965),
        fault(What::SlowStore, Target::Leader, 305, 470),
    ];
    Plan { ttl: Duration::from_secs(5), faulty_for: Duration::from_secs(20), ..plan(faults) }
}

/// As in seed 3840.
pub fn no_answers() -> Plan {
    let faults = vec![
        fault(What::KillNode, Target::Other, 192, 310),
        fault(What::StoreOutage, Target::Any, 452, 194),
    ];
    Plan {
        nodes: 2,
        ttl: Duration::from_secs(1),
        primary_start_timeout_seconds: 0,
        failsafe: true,
        tags: vec![None, None],
        ..plan(faults)
    }
}

/// As in seed 13086.
pub fn namesake() -> Plan {
    let faults = vec![
        fault(What::KillAgent, Target::Leader, 220, 225),
        fault(What::StoreFull, Target::Leader, 390, 670),
    ];
    Plan {
        ttl: Duration::from_secs(5),
        failsafe: true,
        sync: sync(json!(true), false, 1),
        faulty_for: Duration::from_secs(15),
        ..plan(faults)
    }
}

/// As in seed 976491.
pub fn late_words() -> Plan {
    let faults = vec![
        fault(What::FillDisk, Target::Leader, 268, 54),
        fault(What::FreezeAgent, Target::Leader, 286, 104),
    ];
    Plan { failsafe: true, sync: sync(json!("quorum"), false, 1), ..plan(faults) }
}

/// As in seed 31328; 50259, 54666 and 104539 are much the same.
pub fn hung_server() -> Plan {
    let faults = vec![fault(What::StopServer, Target::Leader, 300, HOUR)];
    Plan {
        ttl: Duration::from_secs(5),
        stall_timeout_seconds: 2,
        lag_bytes_max: 20_000,
        primary_start_timeout_seconds: 60,
        faulty_for: Duration::from_secs(12),
        ..plan(faults)
    }
}
