//! One effect, one function call.

use std::rc::Rc;
use std::time::Duration;

use super::context::{Context, Note};
use super::lease::LeaseError;
use super::ports::Ports;
use super::{carried, election, failsafe, promotion, records, rejoin, replaced, synchronous};
use crate::cluster::Refusal;
use crate::dcs::StoreError;
use crate::decide::{Carry, Check, Effect};
use crate::postgres::{Server, ServerError};
use crate::publish::{Event, EventKind};
use crate::values::{Clock, Monotonic};

/// Why an effect failed.
#[derive(Debug, thiserror::Error)]
pub enum EffectError {
    /// The store did not do its part.
    #[error("the store did not take the write")]
    Store(#[source] StoreError),
    /// A guarded or conditional write found something else in the store.
    #[error("{0} has changed meanwhile")]
    Conflict(&'static str),
    /// The lease's task refused.
    #[error("the lease could not be changed")]
    Lease(#[source] LeaseError),
    /// The server did not do its part.
    #[error("the server did not do it")]
    Server(#[source] ServerError),
    /// It could not be written down.
    #[error("the journal could not be written")]
    Journal(#[source] std::io::Error),
    /// It must not be done now.
    #[error("{0}")]
    Refused(String),
}

impl From<ServerError> for EffectError {
    fn from(error: ServerError) -> Self {
        EffectError::Server(error)
    }
}

impl From<StoreError> for EffectError {
    fn from(error: StoreError) -> Self {
        EffectError::Store(error)
    }
}

impl From<LeaseError> for EffectError {
    fn from(error: LeaseError) -> Self {
        EffectError::Lease(error)
    }
}

impl From<std::io::Error> for EffectError {
    fn from(error: std::io::Error) -> Self {
        EffectError::Journal(error)
    }
}

/// How much is said of each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// Each step with its duration, in the log and in the recent events.
    Steps,
    /// Only what failed, for the debug log: side work that comes again by itself.
    Quietly,
}

/// Carries the effects out, in order; stops at the first failure, but for slots: a full table of them keeps
/// nobody from being promoted.
///
/// # Errors
/// The first failure; that slots could not be arranged only where it is side work.
pub async fn carry_out<P: Ports>(
    context: Rc<Context<P>>,
    effects: Vec<Effect>,
    telling: Telling,
) -> Result<(), EffectError> {
    let mut passed_over = None;
    for effect in &effects {
        let started = context.clock.now();
        let result = run(&context, effect).await;
        if telling == Telling::Steps {
            tell(&context, effect, started, result.as_ref().err());
        }
        match result {
            Err(error) if is_no_obstacle(effect) => passed_over = passed_over.or(Some(error)),
            other => other?,
        }
    }
    match telling {
        Telling::Quietly => passed_over.map_or(Ok(()), Err),
        Telling::Steps => Ok(()),
    }
}

fn is_no_obstacle(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::ArrangeSlots { .. }
            | Effect::AdvanceSlots(_)
            | Effect::Carry(
                Carry::AskWhatIsKept { .. } | Carry::Advance(_) | Carry::KeepNoneBut(_)
            )
            | Effect::MakeLogicalSlot { .. }
            | Effect::RememberAdmitted(_)
    )
}

fn tell<P: Ports>(
    context: &Context<P>,
    effect: &Effect,
    started: Monotonic,
    error: Option<&EffectError>,
) {
    let (step, took) = (name(effect), context.clock.now().since(started));
    match error {
        None => tracing::info!(step, ?took, "done"),
        Some(error) => {
            tracing::warn!(step, ?took, error = error as &dyn std::error::Error, "failed");
        }
    }
    let event = Event::new(context.clock.wall_micros(), EventKind::Step, step).took(took);
    context.events.note(event.failed(error.map(|error| chain(error))));
}

/// An error with its causes, as one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

async fn run<P: Ports>(context: &Context<P>, effect: &Effect) -> Result<(), EffectError> {
    match effect {
        Effect::ClaimInitialize => records::claim_initialize(context).await,
        Effect::DropClaim => records::drop_claim(context).await,
        Effect::Begin(step) => Ok(context.notebook.step(Some(*step)).await?),
        Effect::Finish => Ok(context.notebook.step(None).await?),
        Effect::InitializeData => Ok(context.server.initialize().await.map(drop)?),
        Effect::RemoveData => Ok(context.server.remove_data().await?),
        Effect::CreateAccounts => Ok(context.server.create_accounts().await?),
        Effect::FinishBootstrap => records::finish_bootstrap(context).await,
        Effect::CollectVotes { term, baton, word } => {
            election::collect_votes(context, *term, *baton, *word).await
        }
        Effect::FetchLog(fetch) => election::fetch_log(context, fetch).await,
        Effect::Promise { term } => election::promise(context, *term).await,
        Effect::RefusePromise(refusal) => refused(context, refusal),
        Effect::TakeBaton { baton, term, basis } => {
            promotion::take(context, *baton, *term, *basis).await
        }
        Effect::AcceptOffer => promotion::accept(context).await,
        Effect::ResumeLease => promotion::resume(context).await,
        Effect::RaiseTerm(term) => Ok(context.lease.raise(*term).await?),
        Effect::RecordIntent { known } => promotion::record_intent(context, known).await,
        Effect::Promote => promotion::promote(context).await,
        Effect::RecordPromotion => promotion::record_done(context).await,
        Effect::Start { start_as, within } => promotion::start(context, start_as, *within).await,
        Effect::Stop { mode, within } => promotion::stop(context, *mode, *within).await,
        Effect::Kill => promotion::kill(context).await,
        Effect::Release => promotion::release(context).await,
        Effect::ReleaseUnread => promotion::release_unread(context).await,
        Effect::AwaitReceived { candidate, within } => {
            promotion::await_received(context, candidate, *within).await
        }
        Effect::Offer { to, incarnation } => promotion::offer(context, to, *incarnation).await,
        Effect::AnswerRequest(outcome) => records::answer_request(context, outcome).await,
        Effect::Follow(upstream) => rejoin::follow(context, upstream.as_ref()).await,
        Effect::CopyFrom(source) => rejoin::copy(context, source).await,
        Effect::RecoverAlone => Ok(context.server.recover_alone().await?),
        Effect::LeaveTimelines(left) => Ok(context.server.leave_timelines(left).await?),
        Effect::ArchiveLeft(left) => rejoin::archive_left(context, left).await,
        Effect::Rewind(source) => rejoin::rewind(context, source).await,
        Effect::RecordLoss(loss) => rejoin::record_loss(context, *loss).await,
        Effect::Check(what) => rejoin::check(context, what).await,
        Effect::SetAside { keep } => rejoin::set_aside(context, *keep).await,
        Effect::AskForLog { upstream, from } => rejoin::ask_for_log(context, upstream, *from).await,
        Effect::Sync(change) => synchronous::change(context, change).await,
        Effect::Checkpoint => Ok(context.server.checkpoint(A_LONG_CHECKPOINT).await?),
        Effect::ArrangeSlots { wanted, unwanted } => arrange_slots(context, wanted, unwanted).await,
        Effect::MakeLogicalSlot { name, database, plugin } => {
            Ok(context.server.make_logical_slot(name, database, plugin).await?)
        }
        Effect::AdvanceSlots(to) => Ok(context.server.advance_slots(to).await?),
        Effect::Carry(what) => carried::carry_out(context, what).await,
        Effect::WriteStatus { optime, slots, retained } => {
            records::write_status(context, *optime, slots, retained).await
        }
        Effect::WriteHistory => records::write_history(context).await,
        Effect::WriteFailsafe { list, read_at } => {
            failsafe::write(context, list.as_ref(), *read_at).await
        }
        Effect::PromiseWithoutVote { term, why } => election::abstain(context, *term, why).await,
        Effect::RememberTerm(term) => Ok(context.notebook.saw(*term).await?),
        Effect::RememberAdmitted(since) => Ok(context.notebook.admitted(*since).await?),
        Effect::Refound { term, members } => replaced::refound(context, *term, members).await,
        Effect::RepairInitialize(id) => records::repair_initialize(context, *id).await,
        Effect::RepairConfig => records::repair_config(context).await,
        Effect::Leave => leave(context, None),
        Effect::Exit(why) => leave(context, Some(why.clone())),
    }
}

/// The names are written down first: the next agent has to know what this one has made.
async fn arrange_slots<P: Ports>(
    context: &Context<P>,
    wanted: &[String],
    unwanted: &[String],
) -> Result<(), EffectError> {
    context.notebook.slots(wanted, &[]).await?;
    context.server.arrange_slots(wanted, unwanted).await?;
    Ok(context.notebook.slots(&[], unwanted).await?)
}

fn leave<P: Ports>(context: &Context<P>, why: Option<String>) -> Result<(), EffectError> {
    context.note(Note::Leave(why));
    Ok(())
}

fn refused<P: Ports>(context: &Context<P>, refusal: &Refusal) -> Result<(), EffectError> {
    election::refuse(context, refusal);
    Ok(())
}

/// A checkpoint of a large, busy server takes minutes; only a hung one takes longer than this.
const A_LONG_CHECKPOINT: Duration = Duration::from_secs(3600);

/// The effect's name, for the log and the events.
pub fn name(effect: &Effect) -> &'static str {
    match effect {
        Effect::ClaimInitialize => "claim initialize",
        Effect::DropClaim => "drop the claim",
        Effect::Begin(_) => "begin",
        Effect::Finish => "finish",
        Effect::InitializeData => "initdb",
        Effect::RemoveData => "remove data",
        Effect::CreateAccounts => "create accounts",
        Effect::FinishBootstrap => "finish bootstrap",
        Effect::CollectVotes { .. } => "collect votes",
        Effect::FetchLog(_) => "fetch the log",
        Effect::Promise { .. } => "promise",
        Effect::RefusePromise(_) => "refuse a promise",
        Effect::TakeBaton { .. } => "take the baton",
        Effect::AcceptOffer => "accept the offer",
        Effect::ResumeLease => "take up the lease",
        Effect::RaiseTerm(_) => "raise the term",
        Effect::RecordIntent { .. } => "record the intent",
        Effect::Promote => "promote",
        Effect::RecordPromotion => "record the promotion",
        Effect::Start { .. } => "start",
        Effect::Stop { .. } => "stop",
        Effect::Kill => "kill",
        Effect::Release => "release",
        Effect::ReleaseUnread => "release, its files unread",
        Effect::AwaitReceived { .. } => "await the candidate",
        Effect::Offer { .. } => "offer",
        Effect::AnswerRequest(_) => "answer the request",
        Effect::Follow(_) => "follow",
        Effect::CopyFrom(_) => "copy",
        Effect::RecoverAlone => "recover alone",
        Effect::LeaveTimelines(_) => "leave timelines",
        Effect::ArchiveLeft(_) => "archive what was left",
        Effect::Check(Check::Source(_)) => "check the source",
        Effect::Rewind(_) => "rewind",
        Effect::RecordLoss(_) => "record the loss",
        Effect::Check(Check::Aside { .. }) => "check the room aside",
        Effect::SetAside { .. } => "set aside",
        Effect::AskForLog { .. } => "ask for log",
        Effect::Sync(change) => synchronous::name(change),
        Effect::Checkpoint => "checkpoint",
        Effect::ArrangeSlots { .. } => "arrange slots",
        Effect::MakeLogicalSlot { .. } => "make a logical slot",
        Effect::AdvanceSlots(_) => "move slots on",
        Effect::Carry(what) => carried::name(what),
        Effect::WriteStatus { .. } => "write status",
        Effect::WriteHistory => "write history",
        Effect::WriteFailsafe { .. } => "write failsafe",
        Effect::PromiseWithoutVote { .. } => "promise without a vote",
        Effect::RememberTerm(_) => "remember the term",
        Effect::RememberAdmitted(_) => "remember the admission",
        Effect::Refound { .. } => "take the emptied store again",
        Effect::RepairInitialize(_) => "repair initialize",
        Effect::RepairConfig => "repair config",
        Effect::Leave => "leave",
        Effect::Exit(_) => "exit",
    }
}
