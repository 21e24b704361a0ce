//! The port, as the real server answers it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::callbacks::Event;
use super::files::bounded;
use super::port::{
    CopyProgress, Killed, Look, Promoted, Server, ServerError, Settled, StartAs, StopMode, Upstream,
};
use super::server::LocalServer;
use crate::cluster::{Role, SyncNames};
use crate::config::{EffectivePostgresql, PermanentSlot};
use crate::values::{Lsn, SystemId, Timeline, WalPosition};

/// How long another member's server may take to answer.
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// How long the archive may take, all together: a node does not stay out of the cluster for it.
const ARCHIVED_WITHIN: Duration = Duration::from_secs(60);
/// How long slots may hold up a promotion.
const DROPPED_WITHIN: Duration = Duration::from_secs(1);

impl Server for LocalServer {
    fn role_changed(&self, role: Role) {
        self.note_role(role);
        self.run_callback(Event::RoleChange, role);
    }

    fn is_guarded(&self) -> bool {
        self.running().is_none_or(|postmaster| postmaster.is_guarded())
    }

    async fn look(&self, within: Duration) -> Look {
        self.look_within(within).await
    }

    async fn exited(&self) {
        self.wait_for_exit().await;
    }

    async fn streams_changed(&self) {
        self.wait_for_other_streams().await;
    }

    async fn set_sync_names(
        &self,
        names: Option<&SyncNames>,
        raises_count: bool,
        within: Duration,
    ) -> Result<Lsn, ServerError> {
        let change = self.change_sync_names(names, raises_count);
        bounded("the change of synchronous standbys", within, change).await
    }

    async fn configure(&self, settings: &EffectivePostgresql) -> Result<bool, ServerError> {
        self.reconfigure(settings).await
    }

    async fn initialize(&self) -> Result<SystemId, ServerError> {
        self.run_initdb().await
    }

    async fn create_accounts(&self) -> Result<(), ServerError> {
        self.make_accounts().await
    }

    async fn remove_data(&self) -> Result<(), ServerError> {
        self.remove_all().await
    }

    async fn start(&self, start_as: &StartAs, within: Duration) -> Result<(), ServerError> {
        bounded("the start", within, self.start_up(start_as)).await
    }

    async fn stop(&self, mode: StopMode, within: Duration) -> Result<(), ServerError> {
        bounded("the stop", within, self.shut_down(mode)).await
    }

    async fn kill(&self) -> Killed {
        self.kill_now().await
    }

    async fn follow(&self, upstream: Option<&Upstream>) -> Result<(), ServerError> {
        self.follow_upstream(upstream).await
    }

    async fn settle(&self, within: Duration) -> Result<Settled, ServerError> {
        bounded("settling", within, self.settle_down()).await
    }

    async fn burn_timelines(
        &self,
        parent: Timeline,
        burnt: &[Timeline],
    ) -> Result<(), ServerError> {
        self.plant_histories(parent, burnt).await
    }

    async fn promote(&self, within: Duration) -> Result<Promoted, ServerError> {
        bounded("the promotion", within, self.promote_now()).await
    }

    async fn checkpoint(&self, within: Duration) -> Result<(), ServerError> {
        let work = async {
            self.session("a checkpoint").await?.execute("a checkpoint", "CHECKPOINT").await
        };
        bounded("the checkpoint", within, work).await
    }

    async fn arrange_slots(
        &self,
        wanted: &[String],
        unwanted: &[String],
    ) -> Result<(), ServerError> {
        self.make_and_drop_slots(wanted, unwanted).await
    }

    async fn make_logical_slot(
        &self,
        name: &str,
        database: &str,
        plugin: &str,
    ) -> Result<(), ServerError> {
        bounded("making a slot", ASK_WITHIN, self.make_logical(name, database, plugin)).await
    }

    async fn advance_slots(&self, to: &[(String, Lsn)]) -> Result<(), ServerError> {
        bounded("moving slots", ASK_WITHIN, self.move_slots_on(to)).await
    }

    async fn fetch_logical_slots(
        &self,
        leader: &Upstream,
        slots: &[PermanentSlot],
    ) -> Result<Vec<String>, ServerError> {
        bounded("copying slots", ASK_WITHIN, self.fetch_slots(leader, slots)).await
    }

    async fn drop_logical_slots(&self, names: &[String]) -> Result<(), ServerError> {
        bounded("dropping slots", DROPPED_WITHIN, self.end_and_drop(names)).await
    }

    async fn kept_for_slots(
        &self,
        leader: &Upstream,
        names: &[String],
    ) -> Result<BTreeMap<String, u32>, ServerError> {
        bounded("asking for slots", ASK_WITHIN, self.ask_what_is_kept(leader, names)).await
    }

    async fn advance_logical_slots(&self, to: &[(String, String, Lsn)]) -> Result<(), ServerError> {
        bounded("moving slots", ASK_WITHIN, self.move_logical_slots_on(to)).await
    }

    async fn leave_timelines(&self, left: &[Timeline]) -> Result<(), ServerError> {
        self.remove_histories(left).await
    }

    async fn archive_left(&self, before: Lsn, timelines: &[Timeline]) -> Result<(), ServerError> {
        let archive = self.archive_what_is_left(before, timelines);
        bounded("archiving what was left", ARCHIVED_WITHIN, archive).await
    }

    async fn recover_alone(&self) -> Result<(), ServerError> {
        self.recover_in_single_user_mode().await
    }

    async fn check_source(&self, source: &Upstream) -> Result<(), ServerError> {
        bounded("asking the source", ASK_WITHIN, self.ask_source(source)).await
    }

    async fn rewind(&self, source: &Upstream) -> Result<(), ServerError> {
        self.run_rewind(source).await
    }

    async fn check_aside(&self, keep: u32) -> Result<(), ServerError> {
        self.check_room_aside(keep).await
    }

    async fn set_aside(&self, stamp: &str, keep: u32) -> Result<String, ServerError> {
        self.move_aside(stamp, keep).await
    }

    async fn has_log(&self, upstream: &Upstream, from: WalPosition) -> Result<bool, ServerError> {
        bounded("asking for log", ASK_WITHIN, self.upstream_has_log(upstream, from)).await
    }

    async fn copy_from(
        &self,
        source: &Upstream,
        progress: impl Fn(CopyProgress),
    ) -> Result<(), ServerError> {
        self.run_basebackup(source, progress).await
    }
}
