//! A wall clock of its own for a node's processes, which can be stepped while they run. The machine's clock is
//! everybody's, and stays as it is.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::machine::{give_away, make_dir, runs};

/// The clock of one node.
#[derive(Debug)]
pub struct WallClock {
    library: PathBuf,
    /// Holds the seconds that it is ahead.
    file: PathBuf,
}

impl WallClock {
    /// A clock that is right, with its files in a new folder.
    pub fn make(folder: &Path) -> WallClock {
        assert!(runs("cc"), "`cc` is missing: install it (Debian: build-essential)");
        make_dir(folder);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/wall_clock.c");
        let library = folder.join("wall_clock.so");
        let mut command = Command::new("cc");
        command.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(source);
        let output = command.output().expect("cc can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the clock cannot be built: {said}");
        let clock = WallClock { library, file: folder.join("seconds_ahead") };
        clock.set_ahead(0);
        give_away(&clock.file);
        clock
    }

    /// What a process needs in its environment to go by it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let text = |path: &Path| path.display().to_string();
        vec![("LD_PRELOAD", text(&self.library)), ("WALL_CLOCK_FILE", text(&self.file))]
    }

    /// Steps it to so many seconds ahead of the right time, or behind.
    pub fn set_ahead(&self, seconds: i64) {
        // Written in place: those who go by it have it mapped.
        let file = File::options().create(true).truncate(false).write(true).open(&self.file);
        let file = file.expect("a file of ours");
        file.write_all_at(&seconds.to_ne_bytes(), 0).expect("a file of ours");
    }
}
