//! A table in Markdown.

use std::fmt::Write as _;

use super::plain;

/// Writes a table; every cell is escaped.
pub(super) fn write<const N: usize>(page: &mut String, head: [&str; N], rows: &[[String; N]]) {
    let mut line = |cells: [&str; N]| {
        let cells = cells.map(plain::markdown);
        let _ = writeln!(page, "| {} |", cells.join(" | "));
    };
    line(head);
    line(["---"; N]);
    for row in rows {
        line(row.each_ref().map(String::as_str));
    }
    page.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_line_whatever_its_cells_hold() {
        let mut page = String::new();
        write(
            &mut page,
            ["a", "b"],
            &[["1\n2".to_owned(), "x|y".to_owned()]],
        );
        assert_eq!(page, "| a | b |\n| --- | --- |\n| 12 | x\\|y |\n\n");
    }
}
