//! Starting, stopping, killing and reconfiguring the server.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use super::callbacks::Event;
use super::configuration::Source;
use super::connection::Refusal;
use super::facts;
use super::files::{self, Turn, blocking};
use super::making::refuse_beside;
use super::place::{Moment, Place};
use super::port::{Killed, ServerError, StartAs, StopMode};
use super::process::{PidFile, Postmaster};
use super::server::LocalServer;
use super::server_log::{self, Complaints, LogTail};
use super::spawner;
use super::synchronous::SETTING;
use crate::cluster::Role;
use crate::config::{EffectivePostgresql, Program};
use crate::fence::{Fenced, kill_all};

/// How often a condition is looked at that nothing announces.
pub(super) const POLL: Duration = Duration::from_millis(3);

impl LocalServer {
    pub(super) async fn start_up(&self, start_as: &StartAs) -> Result<(), ServerError> {
        if self.find_running().await?.is_some() {
            return Err(ServerError::NotPossible("the server runs already".into()));
        }
        let before = self.last_role();
        let mut kills = self.target.kills();
        if self.end_orphans().await? {
            kills += 1;
        }
        let settings = self.settings();
        let source = match start_as {
            StartAs::Standby(Some(upstream)) => {
                let major = self.major().await?;
                self.place.source_at(Some(upstream), major, &settings.database)
            }
            StartAs::Primary | StartAs::Standby(None) => Source::default(),
        };
        let is_standby = *start_as != StartAs::Primary;
        let arguments = self.postmaster_arguments(&settings, is_standby).await?;
        // Who was waited for before says nothing: until told, a server that is managed so is closed.
        self.tell_sync_names(None);
        self.set_commits_wait(settings.parameters.get(SETTING).is_some_and(|own| !own.is_empty()));
        let turn = self.prepare_files(&settings, source, is_standby).await?;
        self.reads_the_files_anew();
        let fenced = || ServerError::Ended("it was fenced while it was being started".into());
        if self.target.kills() != kills {
            return Err(fenced());
        }
        let postmaster = self.launch(arguments, kills, turn).await?;
        if self.target.kills() != kills {
            // The fence may have missed the new process.
            self.kill_now().await;
            return Err(fenced());
        }
        self.wait_until_it_answers(&postmaster).await?;
        let role = if is_standby { Role::Replica } else { Role::Primary };
        self.note_role(role);
        // In another part than before the start: the agent tells that, in the place of the start. It
        // may have done so by now, and a second command would end the first.
        if before.is_none_or(|before| before == role) {
            let event = if self.set_restarts(false) { Event::Restart } else { Event::Start };
            self.run_callback(event, role);
        }
        Ok(())
    }

    /// Backends can outlive their postmaster, and nothing can be started beside them. Returns whether
    /// there was anything to kill.
    async fn end_orphans(&self) -> Result<bool, ServerError> {
        let target = self.target.clone();
        if blocking(move || Ok(target.living().is_empty())).await? {
            return Ok(false);
        }
        let killed = self.kill_now().await;
        tracing::warn!(processes = killed.processes, "killed what an earlier server left behind");
        if killed.all_gone {
            return Ok(true);
        }
        Err(ServerError::NotPossible(
            "processes of an earlier server hang in the kernel; nothing can be started before they \
             are gone"
                .into(),
        ))
    }

    /// Returns the turn to change files, which the launch takes over: nothing comes in between.
    async fn prepare_files(
        &self,
        settings: &Arc<EffectivePostgresql>,
        source: Source,
        is_standby: bool,
    ) -> Result<Turn, ServerError> {
        let turn = self.turns.next().await;
        self.set_source(source.clone());
        let fetched = self.set_fetched(None).filter(|_| is_standby);
        let (place, settings, target) = (self.place.clone(), settings.clone(), self.target.clone());
        let prepare = move || {
            // While the turn was waited for, a start that was given up may have launched a server.
            refuse_beside(&target)?;
            // No process of the server is there, so whatever the file names, it is not the server.
            files::remove(&place.data_dir.join("postmaster.pid"))?;
            place.remove_planted_at_the_end()?;
            place.configure(&settings, &source, Moment::BeforeAStart)?;
            if let Some(fetched) = fetched {
                fetched.put(&place)?;
            }
            place.signal(is_standby)
        };
        turn.write(prepare).await.map(|((), turn)| turn)
    }

    /// The controlled settings go on the command line, where `ALTER SYSTEM` cannot reach them. A
    /// standby gets none lower than what its control file asks for.
    async fn postmaster_arguments(
        &self,
        settings: &EffectivePostgresql,
        is_standby: bool,
    ) -> Result<Vec<(String, String)>, ServerError> {
        let mut arguments = settings.command_line.clone();
        if is_standby {
            for (name, least) in self.read_control_data().await?.least_on_a_standby() {
                let Some((_, value)) = arguments.iter_mut().find(|(given, _)| given == name) else {
                    continue;
                };
                if value.parse::<i64>().is_ok_and(|wanted| wanted < least) {
                    tracing::info!(name, wanted = *value, least, "raised for a standby");
                    *value = least.to_string();
                }
            }
        }
        arguments.push(("config_file".to_owned(), self.place.conf().to_string_lossy().into()));
        Ok(arguments)
    }

    async fn launch(
        &self,
        arguments: Vec<(String, String)>,
        kills: u64,
        turn: Turn,
    ) -> Result<Arc<Postmaster>, ServerError> {
        let program = self.settings().program(Program::Postgres);
        let place = self.place.clone();
        let shown = program.display().to_string();
        let runtime = tokio::runtime::Handle::current();
        let (target, ward) = (self.target.clone(), self.ward());
        let complaints = self.complaints.clone();
        let started = self
            .programs
            .spawner
            .run(move || {
                let (_inside, _turn) = (runtime.enter(), turn);
                let postmaster = match ward {
                    Some(ward) => ward.start(&program, &place, &arguments)?,
                    None => {
                        let (child, log) =
                            spawn_postmaster(&program, &place, &arguments, complaints)?;
                        Postmaster::of_child(child, log)?
                    }
                };
                target.runs(postmaster.process, &place.real_data_dir());
                if target.kills() != kills {
                    // Whoever waited for this may be gone: a fence that fired meanwhile found nothing.
                    kill_all(&target);
                }
                Ok(postmaster)
            })
            .await;
        let postmaster = started.map_err(|source| match source.kind() {
            std::io::ErrorKind::Other => ServerError::Ended(source.to_string()),
            _ => ServerError::NoProgram { program: shown, source },
        })?;
        self.set_stops(false);
        Ok(self.has_appeared(postmaster))
    }

    async fn wait_until_it_answers(&self, postmaster: &Postmaster) -> Result<(), ServerError> {
        loop {
            tokio::select! {
                () = postmaster.ended() => {
                    return Err(ServerError::Ended(postmaster.last_words().await));
                }
                () = tokio::time::sleep(POLL) => {}
            }
            let place = self.place.clone();
            let file = blocking(move || Ok(PidFile::read(&place.data_dir))).await?;
            if file.is_none_or(|file| file.status != "ready") {
                continue;
            }
            let error = match self.access()?.connect().await {
                Ok(session) => match facts::prepare(&session.client).await {
                    Ok(_) => return Ok(()),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if Refusal::of(&error) == Refusal::Answered && postmaster.is_alive() {
                return Err(ServerError::Query { what: "a first answer", source: error });
            }
        }
    }

    pub(super) async fn shut_down(&self, mode: StopMode) -> Result<(), ServerError> {
        let Some(running) = self.find_running().await? else { return Ok(()) };
        let role = self.role_by_files().await;
        self.set_stops(true);
        let signal = match mode {
            StopMode::Fast | StopMode::Restart => Signal::INT,
            StopMode::Immediate => Signal::QUIT,
        };
        if let Err(error) = running.signal(signal)
            && running.is_alive()
        {
            self.set_stops(false);
            return Err(ServerError::NotPossible(format!("the server cannot be told: {error}")));
        }
        running.ended().await;
        self.running();
        let restarts = mode == StopMode::Restart;
        self.set_restarts(restarts);
        if !restarts {
            self.run_callback(Event::Stop, role);
        }
        Ok(())
    }

    /// On a thread of its own: it waits for nothing of the runtime's.
    pub(super) async fn kill_now(&self) -> Killed {
        let (done, result) = tokio::sync::oneshot::channel();
        let (target, program) = (self.target.clone(), self.program_name());
        let work = move || {
            let fenced = kill_all(&target);
            spawner::reap_orphans(&program);
            // Whoever asked may have gone meanwhile.
            let _ = done.send(fenced);
        };
        let fenced = match std::thread::Builder::new().name("kill".into()).spawn(work) {
            Ok(_) => result.await.expect("the kill returns"),
            // No thread to be had: then here, whatever waits for it.
            Err(_) => kill_all(&self.target),
        };
        let Fenced { processes, all_gone } = fenced;
        self.running();
        Killed { processes, all_gone }
    }

    pub(super) async fn wait_for_exit(&self) {
        loop {
            let appeared = self.appeared.notified();
            match self.running() {
                Some(postmaster) => {
                    postmaster.ended().await;
                    self.running();
                    return;
                }
                None => appeared.await,
            }
        }
    }

    pub(super) async fn reconfigure(
        &self,
        settings: &EffectivePostgresql,
    ) -> Result<bool, ServerError> {
        self.set_settings(settings.clone());
        let Some(running) = self.find_running().await? else { return Ok(false) };
        self.keep_sync_names_of_a_primary(settings).await?;
        let changed = self.write_and_tell(None, &running).await?;
        if changed {
            self.run_callback(Event::Reload, self.role_by_files().await);
        }
        Ok(changed)
    }

    /// What the server is by the files that it starts from.
    pub(super) async fn role_by_files(&self) -> Role {
        let path = self.place.data_dir.join("standby.signal");
        let is_standby = blocking(move || Ok(path.exists())).await;
        if is_standby.unwrap_or(false) { Role::Replica } else { Role::Primary }
    }

    /// Runs the configured command of an event, beside everything else. The server does so itself when
    /// it was started, stopped or reloaded; a change of its role is the agent's to tell.
    pub fn run_callback(&self, event: Event, role: Role) {
        self.callbacks.run(&self.programs, &self.settings().callbacks, event, role);
    }
}

/// The arguments of a postmaster, without its name.
pub(super) fn command_line(place: &Place, arguments: &[(String, String)]) -> Vec<OsString> {
    let mut line = vec![OsString::from("-D"), place.data_dir.clone().into()];
    line.extend(arguments.iter().map(|(name, value)| format!("--{name}={value}").into()));
    line
}

fn spawn_postmaster(
    program: &std::path::Path,
    place: &Place,
    arguments: &[(String, String)],
    complaints: Arc<Complaints>,
) -> std::io::Result<(std::process::Child, Arc<LogTail>)> {
    let mut command = Command::new(program);
    spawner::prepare(&mut command, place.owner);
    command.args(command_line(place, arguments));
    // From the first moment where a fence looks for it.
    command.current_dir(&place.data_dir);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = spawner::start(|| command.spawn(), |child| Some(child.id()))?;
    let stderr = child.stderr.take().expect("it was piped");
    Ok((child, server_log::pass_on(stderr, complaints)?))
}
