//! Moving a standby: to another upstream, to a standstill, to a primary; and what others need of it,
//! slots and timelines.

use std::sync::Arc;

use super::configuration::Source;
use super::connection::Session;
use super::files;
use super::history;
use super::lifecycle::POLL;
use super::port::{Promoted, ServerError, Settled, Upstream};
use super::process::Postmaster;
use super::server::LocalServer;
use crate::values::{Lsn, Timeline, WalPosition};

/// One look at a standby that is coming to a standstill. `PostgreSQL` tells in its process list that
/// recovery has read all there is and waits for more: it pauses between two looks for log. That it waits for a
/// receiver is no such sign: it did so before, and may not have run since.
const STANDSTILL: &str = "\
SELECT current_setting('primary_conninfo') = '' AND current_setting('restore_command') = ''
    AND NOT EXISTS (SELECT FROM pg_stat_wal_receiver) AS is_cut_off,
  pg_is_in_recovery() AND pg_is_wal_replay_paused() AS is_paused,
  pg_last_wal_receive_lsn()::text AS received,
  pg_last_wal_replay_lsn()::text AS replayed,
  (SELECT wait_event = 'RecoveryRetrieveRetryInterval'
    FROM pg_stat_activity WHERE backend_type = 'startup') AS is_waiting";

/// What the statement answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Standstill {
    is_cut_off: bool,
    is_paused: bool,
    received: Option<Lsn>,
    replayed: Lsn,
    is_waiting: bool,
}

impl Standstill {
    /// A positive sign that there is nothing left to replay. That a position stays the same is none.
    fn has_sign(&self) -> bool {
        let caught_up = self.received.is_some_and(|received| received <= self.replayed);
        self.is_cut_off && !self.is_paused && (caught_up || self.is_waiting)
    }

    /// Two looks in a row with the sign, at one position.
    fn confirms(&self, before: &Standstill) -> bool {
        self.has_sign() && before.has_sign() && self.replayed == before.replayed
    }
}

impl LocalServer {
    async fn running_or_refuse(&self, what: &str) -> Result<Arc<Postmaster>, ServerError> {
        self.find_running().await?.ok_or_else(|| {
            ServerError::NotPossible(format!("{what} needs a running server, and none runs"))
        })
    }

    pub(super) async fn follow_upstream(
        &self,
        upstream: Option<&Upstream>,
    ) -> Result<(), ServerError> {
        let running = self.running_or_refuse("following another upstream").await?;
        let database = &self.settings().database;
        let source = self.place.source_at(upstream, self.major().await?, database);
        self.write_and_tell(Some(source), &running).await.map(drop)
    }

    pub(super) async fn settle_down(&self) -> Result<Settled, ServerError> {
        let running = self.running_or_refuse("settling").await?;
        let what = "the end of replay";
        let session = self.session(what).await?;
        let settled = Source { is_settled: true, ..Source::default() };
        self.write_configuration(Some(settled)).await?;
        // Also when the files said so before: the server may not have read them yet.
        self.reload(&running)?;
        let mut before = Standstill::default();
        loop {
            let now = standstill(&session, what).await?;
            if now.confirms(&before) {
                break;
            }
            before = now;
            tokio::time::sleep(POLL).await;
        }
        let timeline = self.replayed_timeline().await?;
        let position = WalPosition { timeline, lsn: before.replayed };
        let ancestors = self.ancestors(timeline).await;
        if timeline > Timeline::FIRST && ancestors.is_empty() {
            return Err(ServerError::NotPossible(format!(
                "the history of timeline {timeline} is not in pg_wal, so the position has no meaning"
            )));
        }
        Ok(Settled { position, ancestors })
    }

    pub(super) async fn plant_histories(
        &self,
        parent: Timeline,
        burnt: &[Timeline],
    ) -> Result<(), ServerError> {
        let (place, burnt) = (self.place.clone(), burnt.to_vec());
        let plant = move || {
            let of_parent = history::path(&place.data_dir, parent);
            let ancestors = history::ancestors(&place.data_dir, parent);
            let ancestors = files::at(&of_parent, "reading", ancestors)?;
            let content = history::planted(parent, &ancestors);
            for timeline in burnt {
                place.plant(&history::path(&place.data_dir, timeline), &content)?;
            }
            files::sync_folder(&place.data_dir.join("pg_wal"))
        };
        self.turns.change(plant).await
    }

    pub(super) async fn remove_histories(&self, of: &[Timeline]) -> Result<(), ServerError> {
        let paths: Vec<_> =
            of.iter().map(|one| history::path(&self.place.data_dir, *one)).collect();
        tracing::info!(?of, "removing the histories of timelines that the cluster has left");
        self.turns
            .change(move || paths.iter().try_for_each(|path| files::remove(path).map(drop)))
            .await
    }

    pub(super) async fn promote_now(&self) -> Result<Promoted, ServerError> {
        let running = self.running_or_refuse("a promotion").await?;
        let what = "the promotion";
        let session = self.session(what).await?;
        // A restore command would be run for segments and histories that nobody has.
        let settled = Source { is_settled: true, ..Source::default() };
        self.write_and_tell(Some(settled), &running).await?;
        session.until(what, "SELECT current_setting('restore_command') = ''", &[]).await?;
        session.execute(what, "SELECT pg_promote(false)").await?;
        session.until(what, "SELECT NOT pg_is_in_recovery()", &[]).await?;
        let row = session
            .client
            .query_one("SELECT pg_walfile_name(pg_current_wal_insert_lsn())", &[])
            .await
            .map_err(|source| ServerError::Query { what, source })?;
        let segment: String = row.get(0);
        let timeline = segment.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let timeline = Timeline(timeline.ok_or_else(|| {
            ServerError::NotPossible(format!("the new primary writes a segment named {segment:?}"))
        })?);
        self.write_and_tell(Some(Source::default()), &running).await?;
        let left = self.ancestors(timeline).await.last().copied();
        let left = left.ok_or_else(|| {
            ServerError::NotPossible(format!(
                "the promoted server has no history of its timeline {timeline}"
            ))
        })?;
        Ok(Promoted { timeline, switched_at: left.ended_at })
    }
}

async fn standstill(session: &Session, what: &'static str) -> Result<Standstill, ServerError> {
    let row = session.client.query_one(STANDSTILL, &[]).await;
    let row = row.map_err(|source| ServerError::Query { what, source })?;
    let lsn = |name| {
        row.get::<_, Option<String>>(name).and_then(|text| text.parse().ok()).and_then(Lsn::known)
    };
    Ok(Standstill {
        is_cut_off: row.get::<_, Option<bool>>("is_cut_off").unwrap_or(false),
        is_paused: row.get::<_, Option<bool>>("is_paused").unwrap_or(false),
        received: lsn("received"),
        replayed: lsn("replayed").unwrap_or_default(),
        is_waiting: row.get::<_, Option<bool>>("is_waiting").unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_the_end() -> Standstill {
        let (received, replayed) = (Some(Lsn(90)), Lsn(80));
        Standstill { is_cut_off: true, is_paused: false, received, replayed, is_waiting: true }
    }

    #[test]
    fn a_position_that_does_not_move_is_no_sign() {
        let idle = Standstill { is_waiting: false, ..at_the_end() };
        assert!(!idle.confirms(&idle));
        assert!(at_the_end().confirms(&at_the_end()));
        let caught_up = Standstill { received: Some(Lsn(80)), ..idle };
        assert!(caught_up.confirms(&caught_up));
        let unknown = Standstill { received: None, ..idle };
        assert!(!unknown.confirms(&unknown));
    }

    #[test]
    fn a_receiver_or_a_pause_or_a_single_sign_is_not_the_end() {
        let streams = Standstill { is_cut_off: false, ..at_the_end() };
        assert!(!streams.confirms(&streams));
        let paused = Standstill { is_paused: true, ..at_the_end() };
        assert!(!paused.confirms(&paused));
        assert!(!at_the_end().confirms(&Standstill::default()));
        assert!(!at_the_end().confirms(&Standstill { replayed: Lsn(79), ..at_the_end() }));
    }
}
