//! Tables of text with a title in the top border, as patronictl's users know them. Knows nothing of
//! what is in the cells.

/// Where a column's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// One column's heading.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heading<'a> {
    pub(super) text: &'a str,
    pub(super) align: Align,
}

/// A table to be drawn. A cell may have several lines.
pub(super) struct Table<'a> {
    pub(super) title: Option<String>,
    pub(super) headings: Vec<Heading<'a>>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table<'_> {
    /// Draws it; the last line ends with a line break.
    pub(super) fn draw(&self) -> String {
        let widths = self.widths();
        let rule = rule(&widths);
        let has_lines = self.rows.iter().flatten().any(|cell| cell.contains('\n'));
        let headings = self.headings.iter().map(|heading| heading.text).collect::<Vec<_>>();
        let mut lines = vec![with_title(&rule, self.title.as_deref().unwrap_or_default())];
        lines.push(self.line(&headings, &widths));
        lines.push(rule.clone());
        for row in &self.rows {
            let cells = row.iter().map(|cell| cell.split('\n').collect::<Vec<_>>());
            let cells = cells.collect::<Vec<_>>();
            let height = cells.iter().map(Vec::len).max().unwrap_or(1);
            for index in 0..height {
                let part = |cell: &Vec<_>| cell.get(index).copied().unwrap_or_default();
                lines.push(self.line(&cells.iter().map(part).collect::<Vec<_>>(), &widths));
            }
            if has_lines {
                lines.push(rule.clone());
            }
        }
        if !has_lines {
            lines.push(rule);
        }
        lines.join("\n") + "\n"
    }

    fn widths(&self) -> Vec<usize> {
        let of_column = |(index, heading): (usize, &Heading<'_>)| {
            let cells = self.rows.iter().filter_map(|row| row.get(index));
            let lines = cells.flat_map(|cell| cell.split('\n'));
            lines.map(width).fold(width(heading.text), usize::max)
        };
        self.headings.iter().enumerate().map(of_column).collect()
    }

    fn line(&self, cells: &[&str], widths: &[usize]) -> String {
        let mut line = String::from("|");
        for ((cell, heading), column) in cells.iter().zip(&self.headings).zip(widths) {
            let padding = " ".repeat(column - width(cell));
            match heading.align {
                Align::Left => line.push_str(&format!(" {cell}{padding} |")),
                Align::Right => line.push_str(&format!(" {padding}{cell} |")),
            }
        }
        line
    }
}

/// How wide a text is shown: names of members are ASCII in practice.
fn width(text: &str) -> usize {
    text.chars().count()
}

fn rule(widths: &[usize]) -> String {
    let parts = widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>();
    format!("+{}+", parts.join("+"))
}

/// The rule with the title in it, cut to what has room between its ends.
fn with_title(rule: &str, title: &str) -> String {
    let room = rule.len() - 2;
    let title: String = title.chars().take(room).collect();
    format!("+{title}{}", &rule[1 + width(&title)..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(title: &str, rows: &[[&str; 2]]) -> String {
        let headings = vec![
            Heading { text: "Name", align: Align::Left },
            Heading { text: "TL", align: Align::Right },
        ];
        let rows = rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect();
        Table { title: Some(title.to_owned()), headings, rows }.draw()
    }

    #[test]
    fn a_title_is_cut_to_the_table() {
        let expected = "\
+ A title t-+
| Name | TL |
+------+----+
| a    |  1 |
+------+----+
";
        assert_eq!(table(" A title t", &[["a", "1"]]), expected);
        let cut = table(" A title that is much too long ", &[["a", "1"]]);
        assert_eq!(cut.lines().next(), Some("+ A title th+"));
    }

    #[test]
    fn a_line_break_in_any_cell_rules_off_every_row() {
        let expected = "\
+------+----+
| Name | TL |
+------+----+
| a    |  1 |
| b    |    |
+------+----+
| c    | 22 |
+------+----+
";
        assert_eq!(table("", &[["a\nb", "1"], ["c", "22"]]), expected);
    }

    #[test]
    fn an_empty_table_is_its_headings() {
        let expected = "+------+----+\n| Name | TL |\n+------+----+\n+------+----+\n";
        assert_eq!(table("", &[]), expected);
    }

    #[test]
    fn letters_count_not_bytes() {
        let drawn = table(" é", &[["é", "1"], ["ab", "2"]]);
        let widths = drawn.lines().map(width).collect::<Vec<_>>();
        assert!(widths.iter().all(|one| *one == widths[0]), "{drawn}");
    }
}
