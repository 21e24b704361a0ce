//! One look at the server: the process, then its answer, or else the files it left.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use super::connection::{Access, Refusal};
use super::control::ControlData;
use super::facts::{self, Answer, AskError, Facts, ancestors_from_file};
use super::files::{self, blocking};
use super::history;
use super::place::Place;
use super::port::{Control, Look, ServerError, StandbyFacts, State};
use super::process::{PidFile, Postmaster};
use super::programs::Run;
use super::server::LocalServer;
use super::spawner;
use super::watch::{ControlKey, Line};
use crate::cluster::Ancestor;
use crate::config::{EffectivePostgresql, Program};
use crate::values::{Lsn, Timeline};

impl From<State> for Look {
    fn from(state: State) -> Self {
        Look { state, started_at_micros: None, version: None, pending_restart: Vec::new() }
    }
}

impl LocalServer {
    pub(super) async fn look_within(&self, within: Duration) -> Look {
        match tokio::time::timeout(within, self.look_now()).await {
            Ok(look) => look,
            Err(_) if self.running().is_some() => {
                self.watch.has_timed_out();
                State::Silent.into()
            }
            Err(_) => State::Unusable(format!(
                "{} did not answer within {within:?}: its disk is stalled, or overloaded",
                self.place.data_dir.display()
            ))
            .into(),
        }
    }

    async fn look_now(&self) -> Look {
        match self.find_running().await {
            Ok(Some(running)) => self.ask_running(&running).await,
            Ok(None) => self.look_at_files().await.into(),
            Err(error) => State::Unusable(error.to_string()).into(),
        }
    }

    async fn ask_running(&self, running: &Postmaster) -> Look {
        match self.ask().await {
            Ok(answer) => {
                self.watch.has_answered();
                self.understand(answer, running).await
            }
            Err(error) => {
                self.watch.drop_line();
                self.without_answer(error).await.into()
            }
        }
    }

    /// Asks over the connection that is kept; over a new one when the server ended that.
    async fn ask(&self) -> Result<Answer, AskError> {
        if let Some(line) = self.watch.line() {
            match facts::ask(&line.session.client, &line.statement).await {
                Err(AskError::Query(error)) if Refusal::of(&error) == Refusal::Broken => {}
                answered => return answered,
            }
        }
        let access = self.access().map_err(|error| AskError::Odd(error.to_string()))?;
        let line = connect(&access).await.map_err(AskError::Query)?;
        self.watch.keep_line(&line);
        facts::ask(&line.session.client, &line.statement).await
    }

    async fn without_answer(&self, error: AskError) -> State {
        let refusal = match &error {
            AskError::Query(error) => Refusal::of(error),
            AskError::Odd(_) => Refusal::Answered,
        };
        let state = match refusal {
            Refusal::Starting => State::Starting,
            Refusal::Stopping => State::Stopping,
            _ if self.stops() => State::Stopping,
            Refusal::NobodyListens | Refusal::Broken => match self.pid_file_status().await.as_str()
            {
                "stopping" => State::Stopping,
                _ if !self.watch.ever_answered() => State::Starting,
                _ => State::Silent,
            },
            Refusal::Answered => State::Silent,
        };
        // It may have ended while it was asked.
        if self.running().is_none() {
            return self.look_at_files().await;
        }
        if state == State::Silent {
            let complaint = complaint(&error);
            if self.watch.is_new_complaint(&complaint) {
                tracing::warn!(error = complaint, "the server does not tell how it is");
            }
        }
        state
    }

    async fn pid_file_status(&self) -> String {
        let place = self.place.clone();
        let read = blocking(move || Ok(PidFile::read(&place.data_dir))).await;
        read.ok().flatten().map(|file| file.status).unwrap_or_default()
    }

    /// Completes an answer by what only files and the replication protocol tell.
    async fn understand(&self, answer: Answer, running: &Postmaster) -> Look {
        let state = match answer.facts {
            Facts::Primary(mut primary) => {
                primary.ancestors = self.ancestors(primary.position.timeline).await;
                State::Primary(primary)
            }
            Facts::Standby(mut standby) => {
                standby.timeline = self.timeline_of_standby(&standby).await;
                standby.ancestors = self.ancestors(standby.timeline).await;
                if standby.receiver.is_none() {
                    standby.later = self.later_timelines(standby.timeline).await;
                }
                if standby.replay_paused {
                    standby.too_small = self.what_is_too_small(standby.replayed).await;
                }
                State::Standby(standby)
            }
        };
        let mut pending_restart = overridden(&self.settings(), running);
        let is_told = |name: &String, told: &[(String, String, String)]| {
            told.iter().any(|(known, ..)| known == name)
        };
        for one in answer.pending_restart {
            if !is_told(&one.0, &pending_restart) {
                pending_restart.push(one);
            }
        }
        let (started_at_micros, version) = (Some(answer.started_at_micros), Some(answer.version));
        Look { state, started_at_micros, version, pending_restart }
    }

    /// Which setting of a standby whose replay is paused is lower than its log asks for: what the log asks for is in
    /// the control file by then.
    async fn what_is_too_small(&self, replayed: Lsn) -> Option<String> {
        if let Some(known) = self.watch.too_small_at(replayed) {
            return known;
        }
        let line = self.watch.line()?;
        let mut found = None;
        for (name, least) in self.read_control_data().await.ok()?.least_on_a_standby() {
            let shown = line.session.client.query_one("SELECT current_setting($1)", &[&name]).await;
            let shown: i64 = shown.ok()?.get::<_, String>(0).parse().ok()?;
            if shown < least && found.is_none() {
                found = Some(format!("{name} is {shown}, and its log asks for {least}"));
            }
        }
        self.watch.keep_too_small(replayed, found.clone());
        found
    }

    /// While it streams, its receiver tells the timeline. Else what was replayed may be further than
    /// the control file says, and only the replication protocol tells.
    async fn timeline_of_standby(&self, standby: &StandbyFacts) -> Timeline {
        if standby.is_streaming() {
            return standby.timeline;
        }
        if let Some(timeline) = self.watch.timeline_at(standby.replayed) {
            return standby.timeline.max(timeline);
        }
        match self.replayed_timeline().await {
            Ok(timeline) => {
                self.watch.keep_timeline_at(standby.replayed, timeline);
                standby.timeline.max(timeline)
            }
            Err(error) => {
                tracing::debug!(%error, "the standby did not tell its timeline");
                standby.timeline
            }
        }
    }

    pub(super) async fn replayed_timeline(&self) -> Result<Timeline, ServerError> {
        self.access()?.identify_timeline().await.map(Timeline)
    }

    /// How a timeline came to be, from its own file.
    /// What cannot be read is none: PostgreSQL says what it thinks of it.
    async fn later_timelines(&self, timeline: Timeline) -> Vec<Timeline> {
        let place = self.place.clone();
        let read = move || Ok(history::later_than(&place.data_dir, timeline).unwrap_or_default());
        blocking(read).await.unwrap_or_default()
    }

    pub(super) async fn ancestors(&self, timeline: Timeline) -> Vec<Ancestor> {
        if let Some(known) = self.watch.with_ancestors(|ancestors| ancestors.known(timeline)) {
            return known;
        }
        let place = self.place.clone();
        let read = blocking(move || Ok(ancestors_from_file(&place.data_dir, timeline))).await;
        let read = read.unwrap_or_default();
        self.watch.with_ancestors(|ancestors| ancestors.learn(timeline, read.clone()));
        read
    }

    async fn look_at_files(&self) -> State {
        let (place, major) = (self.place.clone(), self.major_of_programs().await);
        let program = self.program_name();
        let checked = blocking(move || {
            spawner::reap_orphans(&program);
            Ok(check(&place, major))
        })
        .await;
        let key = match checked {
            Ok(Ok(key)) => key,
            Ok(Err(state)) => return *state,
            Err(error) => return State::Unusable(error.to_string()),
        };
        match self.control(key).await {
            Ok(control) => State::Down(control),
            Err(why) => State::Unusable(why),
        }
    }

    async fn control(&self, key: ControlKey) -> Result<Control, String> {
        let data = match self.watch.control(key) {
            Some(known) => known,
            None => {
                let read = self.read_control_data().await.map_err(|error| error.to_string())?;
                self.watch.keep_control(key, &read);
                read
            }
        };
        let place = self.place.clone();
        let control = blocking(move || Ok(data.control(&place.data_dir))).await;
        control.map_err(|error| error.to_string())?
    }

    /// What `pg_controldata` prints.
    pub(super) async fn read_control_data(&self) -> Result<ControlData, ServerError> {
        let program = self.settings().program(Program::PgControldata);
        let run = Run::new(program).arg("--pgdata").arg(&self.place.data_dir);
        self.programs.run(run).await.map(|printed| ControlData::parse(&printed))
    }

    /// The major version of the installed programs; `None` when `postgres` does not tell.
    pub(super) async fn major_of_programs(&self) -> Option<u32> {
        let program = self.settings().program(Program::Postgres);
        if let Some(known) = self.watch.major_of(&program) {
            return Some(known);
        }
        let printed = self.programs.run(Run::new(&program).arg("--version")).await.ok()?;
        // `postgres (PostgreSQL) 15.18 (Debian ...)`, `postgres (PostgreSQL) 19devel`
        let version = printed.split_ascii_whitespace().nth(2)?;
        let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
        let major = digits.parse().ok()?;
        self.watch.keep_major_of(&program, major);
        Some(major)
    }
}

/// Settings of the command line that are wanted otherwise by now. The server does not know of these.
fn overridden(wanted: &EffectivePostgresql, running: &Postmaster) -> Vec<(String, String, String)> {
    let in_force = |name: &String| running.settings.iter().find(|(known, _)| known == name);
    let differ = wanted.command_line.iter().filter_map(|(name, wanted)| {
        let (_, in_force) = in_force(name)?;
        (in_force != wanted).then(|| (name.clone(), in_force.clone(), wanted.clone()))
    });
    differ.collect()
}

async fn connect(access: &Access) -> Result<Line, tokio_postgres::Error> {
    let session = access.connect().await?;
    let statement = facts::prepare(&session.client).await?;
    Ok(Line { session: session.into(), statement })
}

fn complaint(error: &AskError) -> String {
    match error {
        AskError::Odd(text) => text.clone(),
        AskError::Query(error) => match error.as_db_error() {
            Some(answer) => answer.to_string(),
            None => error.to_string(),
        },
    }
}

/// Checks a directory without a server; returns by what its control file is known.
fn check(place: &Place, programs_major: Option<u32>) -> Result<ControlKey, Box<State>> {
    let data_dir = place.data_dir.as_path();
    let unusable =
        |what: String| Box::new(State::Unusable(format!("{}: {what}", data_dir.display())));
    match files::is_empty(data_dir) {
        Ok(true) => return Err(Box::new(State::Empty)),
        Ok(false) => {}
        Err(error) => return Err(unusable(format!("it cannot be read: {error}"))),
    }
    check_owner(place, data_dir).map_err(unusable)?;
    let version = files::read(&data_dir.join("PG_VERSION")).ok().flatten();
    let version = version.and_then(|text| text.trim().parse::<u32>().ok());
    let Some(version) = version else {
        return Err(unusable(
            "it is not empty and has no PG_VERSION, so it is no data directory of PostgreSQL's; \
             set postgresql.data_dir to one, or to an empty folder"
                .to_owned(),
        ));
    };
    if let Some(major) = programs_major.filter(|major| *major != version) {
        return Err(unusable(format!(
            "it belongs to PostgreSQL {version}, and the programs are of PostgreSQL {major}; set \
             postgresql.bin_dir to those of {version}, or upgrade the data directory"
        )));
    }
    let control = data_dir.join("global/pg_control");
    match std::fs::metadata(&control) {
        Ok(found) => Ok((
            found.modified().map_err(|error| unusable(error.to_string()))?,
            found.size(),
            found.ino(),
        )),
        Err(error) => Err(unusable(format!(
            "global/pg_control cannot be read ({error}), so the data is not complete; restore it, \
             or empty the folder to have it copied again"
        ))),
    }
}

fn check_owner(place: &Place, data_dir: &Path) -> Result<(), String> {
    let found = std::fs::metadata(data_dir).map_err(|error| error.to_string())?;
    let user = place.owner.map_or_else(|| nix::unistd::geteuid().as_raw(), |owner| owner.uid);
    if found.uid() != user {
        return Err(format!(
            "it belongs to user id {}, and the server would run as {user}; change its owner, or \
             start pgbaton as that user",
            found.uid()
        ));
    }
    // PostgreSQL refuses what others can write or read; its group may read.
    if found.mode() & 0o027 != 0 {
        return Err(format!(
            "its permissions are {:o}, which PostgreSQL refuses; chmod 0700 it",
            found.mode() & 0o777
        ));
    }
    Ok(())
}
