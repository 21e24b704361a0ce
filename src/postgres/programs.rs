//! Runs PostgreSQL's programs to their end: as the server's owner, in C locale, without a terminal,
//! ended with the future that waits for them. The last of what they said goes into the error.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::owner::Owner;
use super::port::ServerError;
use super::spawner::{self, Spawner};

/// How much of what a program says is kept for its error.
const LINES_KEPT: usize = 8;
/// How much of its output is read at most.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

/// A program with its arguments.
#[derive(Debug)]
pub(super) struct Run {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    folder: Option<PathBuf>,
    is_group: bool,
}

impl Run {
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let environment = vec![("LC_ALL", OsString::from("C"))];
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment,
            folder: None,
            is_group: false,
        }
    }

    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub fn args<T: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Where it runs: the data directory, so that a kill of the server finds it.
    pub fn within(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Whatever it starts ends with it, also when it is given up.
    pub fn in_a_group(mut self) -> Self {
        self.is_group = true;
        self
    }

    fn name(&self) -> String {
        let name = self.program.file_name().unwrap_or(self.program.as_os_str());
        name.to_string_lossy().into_owned()
    }

    fn command(&self, owner: Option<Owner>) -> Command {
        let mut command = std::process::Command::new(&self.program);
        spawner::prepare(&mut command, owner);
        command.args(&self.arguments).envs(self.environment.iter().map(|(n, v)| (*n, v)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        } else if owner.is_some() {
            // The agent's own folder may be one that the owner cannot enter.
            command.current_dir("/");
        }
        let mut command = Command::from(command);
        command.kill_on_drop(true);
        if self.is_group {
            command.process_group(0);
        }
        command
    }
}

/// Removes the child from the list of those that are waited for, however the wait ends.
struct Waited(Option<u32>);

impl Drop for Waited {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            spawner::forget(id);
        }
    }
}

/// A program's group, which ends with the value.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let id =
            self.0.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
        }
    }
}

/// Who runs programs, and as whom.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub spawner: Spawner,
    pub owner: Option<Owner>,
}

impl Programs {
    /// Runs a program and returns what it printed.
    ///
    /// # Errors
    /// When it cannot be started or fails.
    pub async fn run(&self, run: Run) -> Result<String, ServerError> {
        self.run_telling(run, |_| ()).await
    }

    /// The same, and tells each line of its standard error, as the program ends it.
    pub async fn run_telling(&self, run: Run, tell: impl Fn(&str)) -> Result<String, ServerError> {
        let mut child = self.start(&run).await?;
        let _waited = Waited(child.id());
        let _group = Group(child.id().filter(|_| run.is_group));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (printed, said, status) =
            tokio::join!(read_all(stdout), read_lines(stderr, tell), child.wait());
        finished(run.name(), status, printed, said)
    }

    async fn start(&self, run: &Run) -> Result<Child, ServerError> {
        let mut command = run.command(self.owner);
        let runtime = tokio::runtime::Handle::current();
        let started = self
            .spawner
            .run(move || {
                let _inside = runtime.enter();
                spawner::start(|| command.spawn(), Child::id)
            })
            .await;
        let program = run.program.display().to_string();
        started.map_err(|source| ServerError::NoProgram { program, source })
    }
}

fn finished(
    program: String,
    status: std::io::Result<ExitStatus>,
    printed: String,
    said: String,
) -> Result<String, ServerError> {
    match status {
        Ok(status) if status.success() => Ok(printed),
        Ok(status) => {
            let stderr = if said.is_empty() { last_lines(&printed) } else { said };
            Err(ServerError::Program { program, status: status.to_string(), stderr })
        }
        Err(error) => {
            Err(ServerError::Program { program, status: error.to_string(), stderr: said })
        }
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_KEPT)..].join(" | ")
}

async fn read_all(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // A failed read ends the output; the exit status says whether that matters.
        let _ = (&mut pipe).take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes).await;
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads lines, which a program may also end with a carriage return to write over them.
async fn read_lines(pipe: Option<impl AsyncRead + Unpin>, tell: impl Fn(&str)) -> String {
    let mut kept = VecDeque::new();
    let Some(pipe) = pipe else { return String::new() };
    let mut reader = BufReader::new(pipe);
    let mut bytes = Vec::new();
    while let Ok(1..) = reader.read_until(b'\n', &mut bytes).await {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for line in text.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()) {
            tell(line);
            if kept.len() == LINES_KEPT {
                kept.pop_front();
            }
            kept.push_back(line.to_owned());
        }
        bytes.clear();
    }
    Vec::from(kept).join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn programs() -> Programs {
        Programs { spawner: Spawner::new().unwrap(), owner: None }
    }

    #[tokio::test]
    async fn a_failure_says_what_the_program_said() {
        let run = Run::new("sh").args(["-c", "echo printed; echo said >&2; exit 3"]);
        let error = programs().run(run).await.unwrap_err().to_string();
        assert_eq!(error, "sh failed (exit status: 3): said");
        let error = programs().run(Run::new("/no/such/initdb")).await.unwrap_err().to_string();
        assert!(error.starts_with("/no/such/initdb cannot be run"), "{error}");
    }

    #[tokio::test]
    async fn lines_are_told_as_they_come_and_output_is_returned() {
        let told = Mutex::new(Vec::new());
        let run = Run::new("sh").args(["-c", "echo $LC_ALL; printf '1/2\\r2/2\\n' >&2"]);
        let printed = programs()
            .run_telling(run, |line| told.lock().unwrap().push(line.to_owned()))
            .await
            .unwrap();
        assert_eq!(printed, "C\n");
        assert_eq!(*told.lock().unwrap(), ["1/2", "2/2"]);
    }

    #[tokio::test]
    async fn a_program_ends_with_the_future_that_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Opening the pipe to read waits for the writer; reading ends when the writer is gone.
        let script = format!("exec sleep 600 > {}", fifo.display());
        let programs = programs();
        let running = programs.run(Run::new("sh").args(["-c".to_owned(), script]));
        let opened = tokio::fs::File::open(&fifo);
        let mut read_end = tokio::select! {
            _ = running => panic!("the program ended by itself"),
            opened = opened => opened.unwrap(),
        };
        let mut rest = Vec::new();
        read_end.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
    }
}
