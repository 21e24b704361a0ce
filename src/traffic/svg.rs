//! The picture of a run: who acknowledged writes, and the latency of writes and reads, over one axis of
//! time.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::html::escaped;
use super::report::Report;
use super::text::millis;
use super::timeline::Bucket;

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 15.0;
const BAR: (f64, f64) = (24.0, 20.0);
const PANEL_HEIGHT: f64 = 170.0;
const PANEL_GAP: f64 = 34.0;
/// One for each node, told apart also by who is colour blind.
const COLOURS: [&str; 6] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"];
const ERROR: &str = "#b3261e";
const GRID: &str = "#e3e8ee";

/// The axes of one panel.
struct Scale {
    seconds: f64,
    top: f64,
    /// Powers of ten of milliseconds.
    low: i32,
    high: i32,
}

impl Scale {
    fn x(&self, at: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (at / self.seconds).clamp(0.0, 1.0)
    }

    fn y(&self, millis: f64) -> f64 {
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        let share = (millis.max(1e-6).log10() - low) / (high - low);
        self.top + PANEL_HEIGHT * (1.0 - share.clamp(0.0, 1.0))
    }
}

/// The picture as an `svg` element.
pub fn picture(report: &Report) -> String {
    let panels: Vec<(&str, &[Bucket])> =
        report.buckets().into_iter().filter(|(_, buckets)| !buckets.is_empty()).collect();
    #[expect(clippy::cast_precision_loss, reason = "two at most")]
    let count = panels.len() as f64;
    let height = BAR.0 + BAR.1 + PANEL_GAP + count * (PANEL_HEIGHT + PANEL_GAP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"latency and role changes over time\">\n"
    );
    let seconds = report.seconds.max(0.001);
    writers(&mut svg, report, &Scale { seconds, top: 0.0, low: 0, high: 1 });
    let mut top = BAR.0 + BAR.1 + PANEL_GAP;
    for (name, buckets) in panels {
        let max = buckets.iter().map(|bucket| bucket.max_ms).fold(1.0, f64::max);
        let least = buckets.iter().map(|it| it.p50_ms).filter(|it| *it > 0.0);
        let least = least.fold(1.0, f64::min);
        #[expect(clippy::cast_possible_truncation, reason = "logarithms of latencies are small")]
        let (low, high) = (least.log10().floor() as i32, max.log10().ceil() as i32);
        let scale = Scale { seconds, top, low, high: high.max(low + 1) };
        panel(&mut svg, name, buckets, &scale);
        marks(&mut svg, report, name, &scale);
        top += PANEL_HEIGHT + PANEL_GAP;
    }
    svg.push_str("</svg>\n");
    svg
}

/// Who acknowledged writes, with the outages between.
fn writers(svg: &mut String, report: &Report, scale: &Scale) {
    let mut colours: BTreeMap<&str, &str> = BTreeMap::new();
    // Writing to a string cannot fail.
    let _ = writeln!(svg, "<text x=\"0\" y=\"{}\">written by</text>", BAR.0 + 14.0);
    for span in &report.writers {
        let next = COLOURS[colours.len() % COLOURS.len()];
        let colour = *colours.entry(&span.node).or_insert(next);
        let (x, to) = (scale.x(span.from_seconds), scale.x(span.to_seconds));
        let (width, node) = ((to - x).max(1.0), escaped(&span.node));
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{}\" width=\"{width:.1}\" height=\"{}\" fill=\"{colour}\">\
             <title>{node}: {:.3} s to {:.3} s</title></rect>",
            BAR.0, BAR.1, span.from_seconds, span.to_seconds
        );
        #[expect(clippy::cast_precision_loss, reason = "a short name")]
        let room = 8.0 * span.node.chars().count() as f64;
        if width > room {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" fill=\"#fff\">{node}</text>",
                x + 5.0,
                BAR.0 + 14.0
            );
        }
    }
    for gap in &report.write_outages {
        let (x, to) = (scale.x(gap.from_seconds), scale.x(gap.to_seconds()));
        let middle = f64::midpoint(x, to);
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill=\"#fff\"/>\
             <text x=\"{middle:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"{ERROR}\">{:.2} s</text>",
            BAR.0,
            to - x,
            BAR.1,
            BAR.0 - 8.0,
            gap.seconds
        );
    }
}

fn panel(svg: &mut String, name: &str, buckets: &[Bucket], scale: &Scale) {
    let bottom = scale.top + PANEL_HEIGHT;
    for power in scale.low..=scale.high {
        let (y, label) = (scale.y(10f64.powi(power)), millis(10f64.powi(power)));
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {y:.1}H{}\" stroke=\"{GRID}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 4.0
        );
    }
    let (x, y) = (LEFT + 6.0, scale.top + 14.0);
    let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y:.1}\" font-weight=\"600\">{name}</text>");
    let step = tick(scale.seconds);
    let mut at = 0.0;
    while at <= scale.seconds {
        let (x, y) = (scale.x(at), bottom + 15.0);
        let _ =
            writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{at} s</text>");
        at += step;
    }
    for bucket in buckets.iter().filter(|bucket| bucket.failed + bucket.unknown > 0) {
        let x = scale.x(bucket.at_seconds);
        let _ = writeln!(
            svg,
            "<path d=\"M{x:.1} {:.1}v-10\" stroke=\"{ERROR}\" stroke-width=\"2\"><title>{:.1} s: {} \
             failed, {} unknown</title></path>",
            bottom, bucket.at_seconds, bucket.failed, bucket.unknown
        );
    }
    line(svg, buckets, scale, ("#7a8794", 1.0), |bucket| bucket.max_ms);
    line(svg, buckets, scale, (COLOURS[0], 1.8), |bucket| bucket.p50_ms);
}

/// A line that is broken where nothing was answered.
fn line(
    svg: &mut String,
    buckets: &[Bucket],
    scale: &Scale,
    (colour, width): (&str, f64),
    value: fn(&Bucket) -> f64,
) {
    let mut path = String::new();
    let mut is_drawing = false;
    for bucket in buckets {
        if bucket.answered == 0 {
            is_drawing = false;
            continue;
        }
        let letter = if is_drawing { 'L' } else { 'M' };
        let (x, y) = (scale.x(bucket.at_seconds), scale.y(value(bucket)));
        let _ = write!(path, "{letter}{x:.1} {y:.1}");
        is_drawing = true;
    }
    let _ = writeln!(
        svg,
        "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" \
         stroke-linejoin=\"round\"/>"
    );
}

/// Where connections were lost and came back.
fn marks(svg: &mut String, report: &Report, name: &str, scale: &Scale) {
    let ours = report.events.iter().filter(|news| news.lane.to_string() == name);
    for news in ours.filter(|news| matches!(news.kind, "lost" | "back")) {
        let colour = if news.kind == "lost" { ERROR } else { "#1a7f37" };
        let (at, text) = (news.at.as_secs_f64(), escaped(&news.text));
        let _ = writeln!(
            svg,
            "<path d=\"M{:.1} {:.1}v{PANEL_HEIGHT}\" stroke=\"{colour}\" stroke-dasharray=\"3 3\">\
             <title>{at:.3} s: {text}</title></path>",
            scale.x(at),
            scale.top
        );
    }
}

/// Seconds between two labels: some ten of them.
fn tick(seconds: f64) -> f64 {
    let steps = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
    steps.into_iter().find(|step| seconds / step <= 12.0).unwrap_or(seconds / 10.0)
}
