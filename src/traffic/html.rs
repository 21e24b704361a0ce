//! The report as one page without anything beside it, with a picture of the run over time.

use std::fmt::Write as _;

use super::report::Report;
use super::svg;
use super::text::{facts, head, rows, verdict};

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2rem auto;padding:0 1rem;color:#1c2733}\
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}\
table{border-collapse:collapse;margin:1rem 0}\
td,th{padding:.25rem .75rem;border-bottom:1px solid #d8dee4;text-align:right;font-weight:normal}\
td:first-child,th:first-child,.words td{text-align:left}\
th{color:#59636e}svg{width:100%;height:auto;font:12px system-ui,sans-serif}\
.bad{color:#b3261e;font-weight:600}.good{color:#1a7f37;font-weight:600}\
.note{color:#59636e}";

/// The whole page.
pub fn page(report: &Report) -> String {
    let title = format!("pgbaton traffic, {}", report.started);
    let mut page = String::from("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n");
    // Writing to a string cannot fail.
    let _ = writeln!(page, "<title>{}</title>\n<style>{STYLE}</style>", escaped(&title));
    let _ = writeln!(page, "<h1>{}</h1>\n<p>{}</p>", escaped(&title), escaped(&head(report)));
    let class = if report.has_passed() { "good" } else { "bad" };
    for (index, line) in verdict(report).iter().enumerate() {
        let class = if index == 0 { "note" } else { class };
        let _ = writeln!(page, "<div class=\"{class}\">{}</div>", escaped(line));
    }
    page.push_str(&svg::picture(report));
    page.push_str(
        "<p class=\"note\">Lines: the median and (thin) the longest latency of the requests \
         due in each slice, on a logarithmic scale. Red: failed or unknown. The bar says who \
         acknowledged writes; it is empty while nobody did.</p>\n",
    );
    table(&mut page, report);
    page.push_str("<h2>Beside it</h2>\n<table class=\"words\">\n");
    for (label, said) in facts(report) {
        let _ = writeln!(page, "<tr><td>{}</td><td>{}</td></tr>", escaped(&label), escaped(&said));
    }
    page.push_str("</table>\n<h2>What happened to connections</h2>\n<table class=\"words\">\n");
    for news in &report.events {
        let (at, lane, text) = (news.at.as_secs_f64(), news.lane, escaped(&news.text));
        let _ = writeln!(page, "<tr><td>{at:.3} s</td><td>{lane}</td><td>{text}</td></tr>");
    }
    page.push_str("</table>\n</html>\n");
    page
}

fn table(page: &mut String, report: &Report) {
    page.push_str("<h2>Requests</h2>\n<table>\n");
    for (index, row) in rows(report).iter().enumerate() {
        let tag = if index == 0 { "th" } else { "td" };
        let cells: Vec<String> =
            row.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
        let _ = writeln!(page, "<tr>{}</tr>", cells.concat());
    }
    page.push_str("</table>\n");
}

/// Text that cannot be taken for markup: names of nodes and errors come from servers.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}
