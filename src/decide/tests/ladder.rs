//! The rungs from a rewind to a fresh copy, and why each is left.

use super::*;
use crate::cluster::{Loss, LossStep};
use crate::decide::Check;
use crate::values::{Lsn, Timeline, WalPosition};

const FORKED: &str = "it is past the point 0/64 where its timeline was left";

/// A former primary, stopped cleanly, with 28 bytes that the history does not have.
fn fallen() -> View {
    view("b").down(ControlState::ShutDown, 1, 128).held_by("a").done("a", 3, 2, 100)
}

fn loss(step: LossStep) -> Loss {
    Loss {
        at_micros: 0,
        timeline: Timeline(1),
        from: Some(Lsn(100)),
        to: Lsn(128),
        is_exact: true,
        step,
    }
}

fn place(effects: &[Effect], what: &Effect) -> usize {
    effects.iter().position(|one| one == what).unwrap_or_else(|| panic!("{what:?} in {effects:?}"))
}

#[test]
fn what_a_rewind_takes_is_written_down_before_it_is_done() {
    let expected = format!("rewind: {FORKED}; 28 bytes of log of its own, up to 0/80");
    let effects = check(&fallen(), &expected);
    let recorded = place(&effects, &Effect::RecordLoss(loss(LossStep::Rewind)));
    let begun = place(&effects, &Effect::Begin(Unfinished::Rewind));
    let done = effects.iter().position(|one| matches!(one, Effect::Rewind(_))).unwrap();
    assert!(recorded < begun && begun < done);
}

#[test]
fn what_cannot_be_rewound_is_set_aside_and_nothing_is_begun_before_there_is_room() {
    let effects = check(
        &fallen().without_rewind(),
        &format!(
            "set the data directory aside, to copy the leader's anew: {FORKED}, and it cannot be \
             rewound: postgresql.use_pg_rewind is off; 28 bytes of log of its own, up to 0/80"
        ),
    );
    let expected = [
        Effect::Kill,
        Effect::Check(Check::Aside { keep: 1 }),
        Effect::RecordLoss(loss(LossStep::SetAside)),
        Effect::Begin(Unfinished::SetAside),
        Effect::SetAside { keep: 1 },
        Effect::Finish,
    ];
    assert_eq!(effects, expected);
}

#[test]
fn a_rewind_that_keeps_failing_is_left_for_the_next_rung() {
    let failed = |times| {
        fallen().unfinished(Unfinished::Rewind).lost(loss(LossStep::Rewind)).tried(|ladder| {
            ladder.rewinds_failed = times;
            ladder.last_error = "could not find previous WAL record".to_owned();
        })
    };
    let again = "repeat the rewind that broke off: could not find previous WAL record";
    let effects = check(&failed(2), again);
    assert!(matches!(effects[1], Effect::Rewind(_)));
    let expected = "set the data directory aside, to copy the leader's anew: its rewind broke off, \
                    and it cannot be rewound: pg_rewind failed, 3 times so far: could not find \
                    previous WAL record";
    let effects = check(&failed(3), expected);
    place(&effects, &Effect::RecordLoss(loss(LossStep::SetAside)));
    let stays = decide(&failed(3).diverged_data(DivergedData::StayDown));
    assert_eq!(stays.reason.label, "stay down: the data went another way");
    assert_eq!(stays.effects, []);
}

#[test]
fn patronis_switch_removes_after_the_first_rewind_that_failed() {
    let view = fallen()
        .unfinished(Unfinished::Rewind)
        .remove_after_failed_rewind()
        .tried(|ladder| ladder.rewinds_failed = 1);
    let effects = check(
        &view,
        "remove the data directory, as the settings say: its rewind broke off, and it cannot be \
         rewound: pg_rewind failed, 1 times so far: ",
    );
    assert_eq!(effects.last(), Some(&Effect::Finish));
    assert!(
        place(&effects, &Effect::Begin(Unfinished::Copy)) < place(&effects, &Effect::RemoveData)
    );
}

#[test]
fn a_rewind_that_does_not_help_is_not_repeated_for_ever() {
    let effects = check(
        &fallen().tried(|ladder| ladder.rewound = 3),
        &format!(
            "set the data directory aside, to copy the leader's anew: {FORKED}, and it cannot be \
             rewound: it was rewound, and does not stream all the same; 28 bytes of log of its own, \
             up to 0/80"
        ),
    );
    place(&effects, &Effect::SetAside { keep: 1 });
}

#[test]
fn setting_aside_is_finished_after_a_crash() {
    let begun = fallen().unfinished(Unfinished::SetAside);
    let effects = check(&begun, "set the data directory aside: that was begun");
    assert_eq!(effects, [Effect::Kill, Effect::SetAside { keep: 1 }, Effect::Finish]);
    let effects = check(&begun.empty(), "the old data directory is set aside");
    assert_eq!(effects, [Effect::Finish]);
}

#[test]
fn a_standby_that_does_not_come_up_over_its_data_is_copied_anew() {
    let broken = |times| {
        view("b").down(ControlState::InRecovery, 1, 90).held_by("a").tried(|ladder| {
            ladder.damaged = (times, "could not locate a valid checkpoint record".to_owned());
        })
    };
    check(&broken(2), "start as a standby: of a");
    let effects = check(
        &broken(3),
        "set the data directory aside, to copy the leader's anew: it does not come up, and 3 starts \
         failed: could not locate a valid checkpoint record",
    );
    place(&effects, &Effect::SetAside { keep: 1 });
    check(&broken(3).diverged_data(DivergedData::StayDown), "start as a standby: of a");
}

#[test]
fn only_complaints_about_data_count_as_damage() {
    let mut ladder = Ladder::default();
    ladder.start_failed("the server ended: could not bind IPv4 address: Address already in use");
    assert_eq!(ladder.damaged.0, 0);
    ladder.start_failed("the server ended: PANIC:  could not locate a valid checkpoint record");
    ladder.start_failed(
        "the server ended: FATAL:  according to history file, WAL location 0/4000000 belongs to timeline 1, \
         but previous recovered WAL file came from timeline 2",
    );
    assert_eq!(ladder.damaged.0, 2);
}

#[test]
fn a_standby_whose_log_is_gone_is_taken_down_and_copied_anew() {
    let at = WalPosition { timeline: Timeline(1), lsn: Lsn(90) };
    let stuck = |seconds| {
        view("b")
            .standby(1, 90)
            .held_by("a")
            .done("a", 3, 2, 100)
            .following("a")
            .cut_off()
            .stuck_for(seconds, at)
    };
    assert_eq!(decide(&stuck(1)).reason.to_string(), "follow: a");
    let asks = decide(&stuck(4));
    assert_eq!(asks.reason.to_string(), "watch: the standby gets no log: a");
    assert!(matches!(&asks.upkeep[..], [Effect::AskForLog { from, .. }] if *from == at));
    assert_eq!(decide(&stuck(4).with_archive()).reason.to_string(), "follow: a");
    let gone = stuck(4).tried(|ladder| ladder.log_gone = Some((at, "a".into())));
    let expected = "take the standby down: the log that it needs is gone: from 0/5A on, which a does \
                    not have any more";
    assert!(matches!(check(&gone, expected)[..], [Effect::Stop { .. }]));
    let another = stuck(4).tried(|ladder| ladder.log_gone = Some((at, "c".into())));
    assert_eq!(decide(&another).reason.to_string(), "watch: the standby gets no log: a");
    let down = gone.down(ControlState::ShutDownInRecovery, 1, 90);
    let effects = check(
        &down,
        "remove the standby's data: the log that it needs is gone: it stands at 0/5A, nothing of its \
         own is lost",
    );
    let begin = Effect::Begin(Unfinished::Copy);
    assert_eq!(effects, [Effect::Kill, begin, Effect::RemoveData, Effect::Finish]);
}
