//! Bringing a data directory back into the cluster: recovery without letting anybody in, and
//! `pg_rewind`.

use super::configuration::Source;
use super::files::blocking;
use super::making::refuse_beside;
use super::place::Moment;
use super::port::{ControlState, ServerError, Upstream};
use super::programs::Run;
use super::server::LocalServer;
use crate::config::Program;

/// The first version whose `pg_rewind` can be told where the configuration file is.
const MAJOR_WITH_CONFIG_FILE: u32 = 15;

impl LocalServer {
    pub(super) async fn recover_in_single_user_mode(&self) -> Result<(), ServerError> {
        self.ready_for_repair(false).await?;
        let conf = format!("config_file={}", self.place.conf().to_string_lossy());
        let run = Run::new(self.settings().program(Program::Postgres))
            .arg("--single")
            .arg("-D")
            .arg(&self.place.data_dir)
            .args(["-c", &conf])
            // What is archived now could be of a history that the others have left.
            .args(["-c", "archive_command=false"])
            .args(["-c", "synchronous_standby_names=", "-c", "restore_command="])
            .arg("template1")
            .within(&self.place.data_dir);
        self.programs.run(run).await?;
        self.watch.forget();
        let data = self.read_control_data().await?;
        let place = self.place.clone();
        let control = blocking(move || Ok(data.control(&place.data_dir))).await?;
        match control.map_err(ServerError::NotPossible)?.state {
            ControlState::ShutDown => Ok(()),
            other => Err(ServerError::NotPossible(format!(
                "after recovery the control file says {other:?} where a clean end was expected"
            ))),
        }
    }

    pub(super) async fn run_rewind(&self, source: &Upstream) -> Result<(), ServerError> {
        self.ready_for_repair(false).await?;
        self.watch.forget();
        let program = self.rewind_program(source, self.major().await?);
        let tell = |line: &str| {
            if is_news(line) {
                tracing::info!("{line}");
            }
        };
        self.programs.run_telling(program, tell).await?;
        // The source's configuration came along, and must not be what a server comes up with.
        self.ready_for_repair(true).await
    }

    fn rewind_program(&self, source: &Upstream, major: u32) -> Run {
        let settings = self.settings();
        let account = self.place.accounts.for_rewind();
        let conninfo = self
            .place
            .conninfo_to(source, account, major)
            .with("dbname", &settings.database)
            .with("options", "-c statement_timeout=0")
            .into_text();
        let mut run = Run::new(settings.program(Program::PgRewind))
            .arg("--target-pgdata")
            .arg(&self.place.data_dir)
            .arg(format!("--source-server={conninfo}"))
            .args(["--progress", "--no-ensure-shutdown"])
            .env("PGPASSFILE", &self.place.pgpass);
        let is_elsewhere = self.place.config_dir != self.place.data_dir;
        let has_restore = settings.parameters.get("restore_command").is_some_and(|c| !c.is_empty());
        if has_restore && (!is_elsewhere || major >= MAJOR_WITH_CONFIG_FILE) {
            run = run.arg("--restore-target-wal");
        }
        if is_elsewhere && major >= MAJOR_WITH_CONFIG_FILE {
            run = run.arg("--config-file").arg(self.place.conf());
        }
        run
    }

    /// Nothing runs, the configuration is this server's own, and no signal file makes recovery wait.
    async fn ready_for_repair(&self, as_standby: bool) -> Result<(), ServerError> {
        self.refuse_while_it_runs().await?;
        let (place, settings) = (self.place.clone(), self.settings());
        let target = self.target.clone();
        self.set_source(Source::default());
        let make_ready = move || {
            refuse_beside(&target)?;
            super::files::remove(&place.data_dir.join("postmaster.pid"))?;
            place.configure(&settings, &Source::default(), Moment::BeforeAStart)?;
            place.signal(as_standby)
        };
        self.turns.change(make_ready).await
    }
}

fn is_news(line: &str) -> bool {
    line.starts_with("pg_rewind:") && !line.contains("reading ")
}
