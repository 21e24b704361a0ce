//! A figure with its samples, and the table of all of them.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

/// What one measurement gave.
pub struct Figure {
    name: String,
    unit: &'static str,
    /// What it is to reach, in words.
    goal: &'static str,
    samples: Vec<f64>,
    /// The machine's load during the last minute, when it was done.
    load: String,
}

impl Figure {
    pub fn new(name: &str, unit: &'static str, goal: &'static str, samples: Vec<f64>) -> Figure {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or("?").to_owned();
        Figure { name: name.to_owned(), unit, goal, samples, load }
    }

    /// Of times.
    pub fn of_times(name: &str, goal: &'static str, samples: &[Duration]) -> Figure {
        let samples = samples.iter().map(Duration::as_secs_f64).collect();
        Figure::new(name, "s", goal, samples)
    }

    fn cells(&self) -> [String; 8] {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let show = |value: f64| match self.unit {
            "s" => format!("{value:.3}"),
            "MB" => format!("{value:.1}"),
            _ => format!("{value:.0}"),
        };
        let at = |index: usize| sorted.get(index).map_or_else(|| "-".to_owned(), |it| show(*it));
        [
            self.name.clone(),
            self.unit.to_owned(),
            at(0),
            at(sorted.len() / 2),
            at(sorted.len().saturating_sub(1)),
            sorted.len().to_string(),
            self.goal.to_owned(),
            self.load.clone(),
        ]
    }
}

const HEAD: [&str; 8] = ["figure", "unit", "min", "median", "max", "runs", "to reach", "load"];

fn rows(figures: &[Figure]) -> Vec<[String; 8]> {
    let head = HEAD.map(str::to_owned);
    std::iter::once(head).chain(figures.iter().map(Figure::cells)).collect()
}

/// For a terminal.
pub fn table(figures: &[Figure]) -> String {
    let rows = rows(figures);
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    rows.iter().fold(String::new(), |mut text, row| {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "{cell:<width$}  ");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    })
}

/// For a document.
pub fn markdown(figures: &[Figure]) -> String {
    let mut rows = rows(figures);
    rows.insert(1, HEAD.map(|_| "---".to_owned()));
    rows.iter().fold(String::new(), |text, row| format!("{text}| {} |\n", row.join(" | ")))
}
