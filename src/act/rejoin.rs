//! The steps of a node's way back that destroy something, or ask before they do.

use std::io::ErrorKind;

use jiff::Timestamp;

use super::context::{Context, Note};
use super::effects::{EffectError, chain};
use super::ports::Ports;
use crate::cluster::{Loss, Upstream};
use crate::decide::{Check, LeftToArchive};
use crate::postgres::{Server, ServerError};
use crate::publish::{Event, EventKind};
use crate::values::{Clock, WalPosition};

/// Streams from another upstream; a vote is worth nothing from then on.
pub async fn follow<P: Ports>(
    context: &Context<P>,
    upstream: Option<&Upstream>,
) -> Result<(), EffectError> {
    context.kept.standing_vote.replace(None);
    Ok(context.server.follow(upstream).await?)
}

/// Copies another member's data, and tells how far it is.
pub async fn copy<P: Ports>(context: &Context<P>, source: &Upstream) -> Result<(), EffectError> {
    let notes = context.notes.clone();
    let tell = move |progress| {
        let _ = notes.send(Note::Copy(progress));
    };
    Ok(context.server.copy_from(source, tell).await?)
}

/// Rewinds, and remembers how that went.
pub async fn rewind<P: Ports>(context: &Context<P>, source: &Upstream) -> Result<(), EffectError> {
    let result = context.server.rewind(source).await;
    match &result {
        Ok(()) => context.note(Note::Rewound(Ok(()))),
        Err(error) => match blame(error) {
            Blame::Way => {}
            Blame::Source => context.note(Note::RewindRefused(chain(error))),
            Blame::Data => context.note(Note::Rewound(Err(chain(error)))),
        },
    }
    Ok(result?)
}

/// Makes sure of something.
pub async fn check<P: Ports>(context: &Context<P>, what: &Check) -> Result<(), EffectError> {
    match what {
        Check::Source(source) => check_source(context, source).await,
        Check::Aside { keep } => Ok(context.server.check_aside(*keep).await?),
    }
}

/// Asks the source of a rewind, as the rewind would. One that refuses is left to the next rung after a while.
async fn check_source<P: Ports>(
    context: &Context<P>,
    source: &Upstream,
) -> Result<(), EffectError> {
    let asked = context.server.check_source(source).await;
    if let Err(error) = &asked
        && blame(error) == Blame::Source
    {
        context.note(Note::RewindRefused(chain(error)));
    }
    Ok(asked?)
}

/// Archives what is left, once: well or not, the node goes on afterwards.
pub async fn archive_left<P: Ports>(
    context: &Context<P>,
    left: &LeftToArchive,
) -> Result<(), EffectError> {
    let archived = context.server.archive_left(left.before, &left.timelines).await;
    context.note(Note::Archived(left.end));
    Ok(archived?)
}

/// What a rewind that failed says something about.
#[derive(Debug, PartialEq, Eq)]
enum Blame {
    /// The source cannot be reached now, or nothing is known.
    Way,
    /// It was reached, and will say the same next time; or there is no program to ask with.
    Source,
    /// What is here, or there.
    Data,
}

fn blame(error: &ServerError) -> Blame {
    let stderr = match error {
        ServerError::Program { stderr, .. } => stderr,
        ServerError::NoProgram { source, .. } if source.kind() == ErrorKind::NotFound => {
            return Blame::Source;
        }
        _ => return Blame::Way,
    };
    let says = |words: &[&str]| words.iter().any(|said| stderr.contains(said));
    let lost = [
        "connection to server",
        "could not connect",
        "server closed the connection",
        "no connection",
    ];
    if !says(&lost) {
        return Blame::Data;
    }
    let passes = [
        "starting up",
        "shutting down",
        "not yet accepting",
        "recovery mode",
        "too many",
        "reserved",
    ];
    if says(&["FATAL"]) && !says(&passes) { Blame::Source } else { Blame::Way }
}

/// Writes down what is about to be given up: on this disk first, then in the log. The store gets it with
/// the member's record.
pub async fn record_loss<P: Ports>(context: &Context<P>, loss: Loss) -> Result<(), EffectError> {
    let loss = Loss { at_micros: context.clock.wall_micros(), ..loss };
    context.notebook.lose(loss).await?;
    tracing::warn!(
        timeline = %loss.timeline,
        from = loss.from.map(|from| from.to_string()),
        to = %loss.to,
        bytes = loss.bytes(),
        exact = loss.is_exact,
        step = loss.step.as_str(),
        "this node gives up log that the cluster does not have"
    );
    let event = Event::new(loss.at_micros, EventKind::Loss, "given up")
        .fact("timeline", loss.timeline.0)
        .fact("from", loss.from.map(|from| from.to_string()))
        .fact("to", loss.to.to_string())
        .fact("bytes", loss.bytes())
        .fact("exact", loss.is_exact)
        .fact("step", loss.step.as_str());
    context.events.note(event);
    Ok(())
}

/// Sets the data directory aside. It is moved as a whole or not at all: when it was not, nothing was begun.
pub async fn set_aside<P: Ports>(context: &Context<P>, keep: u32) -> Result<(), EffectError> {
    let now = Timestamp::from_microsecond(context.clock.wall_micros()).unwrap_or_default();
    let stamp = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    match context.server.set_aside(&stamp, keep).await {
        Ok(kept) => {
            tracing::warn!(
                kept,
                "the data directory is kept aside; remove it when it is not needed"
            );
            Ok(())
        }
        Err(error) => {
            context.notebook.step(None).await?;
            Err(error.into())
        }
    }
}

/// Asks whether a member still has the log from a position on. No answer is not "gone".
pub async fn ask_for_log<P: Ports>(
    context: &Context<P>,
    upstream: &Upstream,
    from: WalPosition,
) -> Result<(), EffectError> {
    let answer = context.server.has_log(upstream, from).await;
    let is_gone = matches!(answer, Ok(false));
    if is_gone {
        tracing::warn!(%from.lsn, upstream = %upstream.name, "the log that this standby needs is gone");
    }
    context.note(Note::LogAsked(from, is_gone.then(|| upstream.name.clone())));
    answer.map(drop).map_err(EffectError::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_refuses_was_reached() {
        let said = |text: &str| {
            let (program, stderr) = ("pg_rewind".to_owned(), text.to_owned());
            blame(&ServerError::Program { program, status: "1".to_owned(), stderr })
        };
        let failed =
            |why: &str| said(&format!("connection to server at \"b\", port 5432 failed: {why}"));
        assert_eq!(failed("Connection refused"), Blame::Way);
        assert_eq!(failed("FATAL:  the database system is starting up"), Blame::Way);
        assert_eq!(failed("FATAL:  sorry, too many clients already"), Blame::Way);
        assert_eq!(failed("FATAL:  password authentication failed for user"), Blame::Source);
        assert_eq!(failed("FATAL:  no pg_hba.conf entry for host"), Blame::Source);
        assert_eq!(said("could not find previous WAL record at 0/2000028"), Blame::Data);
        let missing = |kind: ErrorKind| {
            let (program, source) = ("pg_rewind".to_owned(), kind.into());
            blame(&ServerError::NoProgram { program, source })
        };
        assert_eq!(missing(ErrorKind::NotFound), Blame::Source);
        assert_eq!(missing(ErrorKind::WouldBlock), Blame::Way);
    }
}
