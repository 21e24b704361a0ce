//! What goes wrong together: faults that find more in each other's company than by chance.

use std::time::Duration;

use super::{Fault, Target, What};
use crate::rng::Rng;

/// What, to whom, after how many hundredths of `ttl` (at least and at most), for how many.
type Step = (What, Target, (u64, u64), (u64, u64));

use Target::{Any, Leader, Other, Same};

/// A renewal is answered late, and then nobody is there to stop the server softly.
const LATE_AND_STUCK: &[Step] = &[
    (What::SlowStore, Leader, (10, 60), (60, 150)),
    (What::StickLoop, Same, (0, 80), (100, 250)),
    (What::CutStore, Same, (20, 100), (100, 200)),
];
/// The same, with a server that does not answer either.
const LATE_AND_HUNG: &[Step] = &[
    (What::HangServer, Leader, (10, 60), (200, 300)),
    (What::SlowStore, Same, (0, 50), (60, 150)),
    (What::CutStore, Same, (20, 100), (100, 200)),
];
/// Renewals arrive and their answers do not; then nothing arrives.
const APPLIED_UNHEARD: &[Step] = &[
    (What::StickLoop, Leader, (10, 60), (150, 250)),
    (What::FlakyStore, Same, (0, 20), (60, 100)),
    (What::CutStore, Same, (30, 70), (100, 200)),
];
/// A leader that goes on writing for a while, its successor that dies, and both coming back.
const TWO_IN_A_ROW: &[Step] = &[
    (What::CutReplication, Leader, (10, 60), (200, 250)),
    (What::Isolate, Same, (20, 60), (150, 300)),
    (What::KillNode, Leader, (150, 250), (50, 400)),
];
/// A leader that dies with what nobody has, and the next one soon after.
const DEAD_TWICE: &[Step] = &[
    (What::CutReplication, Leader, (10, 60), (60, 100)),
    (What::KillNode, Same, (20, 60), (100, 160)),
    (What::KillNode, Leader, (90, 150), (50, 300)),
    (What::KillNode, Leader, (5, 150), (50, 300)),
];
/// A promotion that is cut short.
const CUT_SHORT: &[Step] = &[
    (What::SlowServer, Other, (0, 10), (200, 400)),
    (What::SlowServer, Any, (0, 10), (200, 400)),
    (What::KillNode, Leader, (10, 50), (100, 300)),
    (What::KillNode, Leader, (100, 140), (100, 300)),
    (What::KillNode, Leader, (20, 140), (10, 300)),
];
/// Log that is still on its way when the votes are given.
const LOG_ON_ITS_WAY: &[Step] = &[
    (What::SlowReplication, Leader, (10, 60), (200, 300)),
    (What::CrashPostmaster, Same, (10, 100), (10, 20)),
];
/// Writes that arrive when their author has been deposed.
const LATE_WRITES: &[Step] = &[
    (What::SlowStore, Leader, (10, 60), (300, 400)),
    (What::FreezeNode, Same, (30, 90), (120, 250)),
];
/// An agent that is started again while what its predecessor sent is still on its way.
const LATE_WRITES_OF_ONES_OWN: &[Step] = &[
    (What::SlowStore, Leader, (10, 60), (300, 500)),
    (What::KillNode, Same, (30, 120), (5, 40)),
    (What::KillNode, Other, (50, 150), (100, 300)),
];
/// A handover into trouble.
const HANDOVER: &[Step] = &[
    (What::Switchover, Leader, (10, 60), (10, 20)),
    (What::SlowStore, Any, (0, 20), (50, 150)),
    (What::KillNode, Any, (0, 60), (10, 150)),
];
/// A handover during which the store is silent.
const BLIND_HANDOVER: &[Step] = &[
    (What::LoseReplies, Leader, (10, 60), (20, 120)),
    (What::Switchover, Same, (0, 10), (10, 20)),
    (What::FreezeNode, Any, (0, 100), (30, 250)),
];
/// A watch that is late when the store forgets.
const COMPACTED: &[Step] = &[
    (What::DelayWatches, Any, (10, 60), (100, 200)),
    (What::Compact, Same, (20, 90), (10, 20)),
    (What::Compact, Same, (20, 90), (10, 20)),
];
/// A rewind whose source goes away.
const REWIND_CUT_SHORT: &[Step] = &[
    (What::CutReplication, Leader, (10, 60), (80, 100)),
    (What::KillNode, Same, (20, 60), (110, 160)),
    (What::SlowServer, Same, (60, 100), (200, 300)),
    (What::KillNode, Any, (60, 160), (30, 200)),
];

/// A rewind that breaks off each time it is tried.
const REWINDS_BREAK: &[Step] = &[
    (What::CutReplication, Leader, (10, 60), (60, 100)),
    (What::BreakRewinds, Same, (0, 20), (300, 500)),
    (What::KillNode, Same, (20, 60), (110, 160)),
];
/// A rewind that broke off, and nobody leads when its node comes up again.
const BROKEN_AND_LEADERLESS: &[Step] = &[
    (What::CutReplication, Leader, (10, 60), (60, 100)),
    (What::BreakRewinds, Same, (0, 20), (400, 500)),
    (What::KillNode, Same, (20, 60), (110, 130)),
    (What::KillNode, Leader, (150, 220), (60, 150)),
];
/// A standby that is away for so long that its log is gone when it comes back.
const LOG_RECYCLED: &[Step] = &[
    (What::CutReplication, Other, (10, 60), (60, 120)),
    (What::RecycleLog, Leader, (30, 60), (10, 20)),
];
/// A former primary that comes back when the log it would be rewound with is gone.
const REWIND_WITHOUT_LOG: &[Step] = &[
    (What::CutReplication, Leader, (10, 60), (60, 100)),
    (What::KillNode, Same, (20, 60), (150, 200)),
    (What::RecycleLog, Leader, (110, 140), (10, 20)),
];

/// The one with the most log on a timeline that was left, and the others, start all at once.
const EVERYBODY_BACK: &[Step] = &[
    (What::CutReplication, Leader, (10, 60), (100, 150)),
    (What::KillNode, Same, (40, 90), (250, 350)),
    (What::KillNode, Leader, (130, 170), (80, 150)),
    (What::KillNode, Other, (0, 20), (80, 150)),
];
/// An agent that is gone or frozen while its server goes on, and comes back early or late.
const AGENT_AWAY: &[Step] = &[
    (What::SlowStore, Leader, (10, 60), (50, 300)),
    (What::KillAgent, Same, (20, 100), (5, 130)),
    (What::FreezeAgent, Any, (30, 100), (60, 200)),
];
/// One that comes back to a store that does not answer, or answers somebody else by then.
const AGENT_BACK_IN_THE_DARK: &[Step] = &[
    (What::KillAgent, Leader, (10, 60), (20, 110)),
    (What::CutStore, Same, (5, 60), (60, 200)),
    (What::KillAgent, Same, (10, 100), (10, 60)),
];
/// The lease is made shorter or longer under a leader that does not hear of it.
const ANOTHER_TTL: &[Step] = &[
    (What::ChangeTtl, Any, (0, 60), (10, 20)),
    (What::CutStore, Leader, (0, 60), (100, 300)),
    (What::ChangeTtl, Any, (0, 60), (10, 20)),
];

const THEMES: [&[Step]; 21] = [
    AGENT_AWAY,
    AGENT_BACK_IN_THE_DARK,
    EVERYBODY_BACK,
    ANOTHER_TTL,
    LATE_AND_STUCK,
    LATE_AND_HUNG,
    APPLIED_UNHEARD,
    TWO_IN_A_ROW,
    DEAD_TWICE,
    CUT_SHORT,
    LOG_ON_ITS_WAY,
    LATE_WRITES,
    LATE_WRITES_OF_ONES_OWN,
    HANDOVER,
    BLIND_HANDOVER,
    COMPACTED,
    REWIND_CUT_SHORT,
    REWINDS_BREAK,
    BROKEN_AND_LEADERLESS,
    LOG_RECYCLED,
    REWIND_WITHOUT_LOG,
];

/// The store is away for long, and a member dies.
const STORE_AND_ONE: &[Step] =
    &[(What::StoreOutage, Any, (10, 60), (150, 400)), (What::KillNode, Other, (0, 150), (50, 300))];
/// The same, with the member gone first.
const ONE_AND_STORE: &[Step] = &[
    (What::KillNode, Other, (10, 60), (200, 500)),
    (What::StoreOutage, Any, (10, 300), (150, 400)),
];
/// The leader alone does not reach the store, and somebody is not there to carry it.
const CUT_OFF: &[Step] = &[
    (What::CutStore, Leader, (10, 60), (200, 450)),
    (What::FreezeNode, Other, (0, 150), (50, 250)),
];
/// Who carries the leader dies, and is back at once, while another has not heard of the leader.
const FORGETFUL: &[Step] = &[
    (What::DeafAgent, Other, (0, 40), (300, 400)),
    (What::CutStore, Leader, (0, 20), (250, 450)),
    (What::MuteAgent, Leader, (65, 140), (200, 300)),
    (What::KillNode, Other, (0, 5), (1, 5)),
];
/// The leader is heard late while it is carried, and then its loop is stuck.
const CARRIED_LATE: &[Step] = &[
    (What::CutStore, Leader, (10, 60), (250, 450)),
    (What::SlowAgents, Same, (0, 40), (150, 300)),
    (What::StickLoop, Same, (30, 120), (150, 300)),
];
/// The leader and one member on one side, the store and the rest on the other.
const SPLIT: &[Step] = &[
    (What::CutStore, Leader, (10, 60), (250, 450)),
    (What::MuteAgent, Other, (0, 100), (100, 300)),
    (What::KillNode, Leader, (100, 250), (20, 200)),
];

const OF_FAILSAFE: [&[Step]; 6] =
    [STORE_AND_ONE, ONE_AND_STORE, CUT_OFF, FORGETFUL, CARRIED_LATE, SPLIT];

/// One theme, with its times drawn.
pub fn draw(rng: &Rng, ttl: Duration, failsafe: bool) -> Vec<Fault> {
    let mut at = rng.part(ttl, 0, 200);
    let mut faults = Vec::new();
    let theme = if failsafe { rng.pick(&OF_FAILSAFE) } else { rng.pick(&THEMES) };
    for (what, target, after, lasts) in *theme {
        at += rng.part(ttl, after.0, after.1);
        let lasts = rng.part(ttl, lasts.0, lasts.1);
        faults.push(Fault { at, lasts, target: *target, what: *what });
    }
    faults
}
