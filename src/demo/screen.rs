//! Where the demo writes: lines, and on a terminal a table below them that is drawn anew in its place.

use std::io::{self, IsTerminal, Stdout, Write};
use std::time::Instant;

/// Standard output. What cannot be written (nobody reads any more) is dropped: the demo goes on.
#[derive(Debug)]
pub struct Screen {
    out: Stdout,
    is_terminal: bool,
    started: Instant,
    /// What stands below the last line now.
    table: Vec<String>,
}

impl Screen {
    /// Begins to count the time.
    pub fn new() -> Self {
        let out = io::stdout();
        let is_terminal = out.is_terminal();
        Self { out, is_terminal, started: Instant::now(), table: Vec::new() }
    }

    /// Writes lines, above the table if there is one.
    pub fn say(&mut self, lines: &[String]) {
        let table = std::mem::take(&mut self.table);
        let mut text = erase(table.len());
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.put(&text);
        self.draw(table);
    }

    /// Writes what has just happened, with the time since the start.
    pub fn event(&mut self, what: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.say(&[format!("{seconds:7.1} s  {what}")]);
    }

    /// Shows the table in the place of the one before. Without a terminal there is none: the events
    /// tell everything.
    pub fn draw(&mut self, table: Vec<String>) {
        if !self.is_terminal || table == self.table {
            return;
        }
        let mut text = erase(self.table.len());
        for line in &table {
            text.push_str(line);
            text.push('\n');
        }
        self.put(&text);
        self.table = table;
    }

    fn put(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

/// Moves up over that many lines and clears everything below.
fn erase(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\x1b[J") }
}
