//! Tables as commands print them.

/// Columns as wide as their widest cell, the last one free. Columns in which no row has anything are left out.
pub(super) fn aligned(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows.collect();
    let used: Vec<usize> = (0..head.len()).filter(|&column| rows.iter().any(|row| !row[column].is_empty())).collect();
    let head = head.iter().map(ToString::to_string).collect();
    let mut text = String::new();
    let width = |column: usize| {
        let cells = std::iter::once(&head).chain(&rows).map(|row: &Vec<String>| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = used.iter().map(|&column| width(column)).collect();
    for row in std::iter::once(&head).chain(&rows) {
        let cells: Vec<String> =
            used.iter().zip(&widths).map(|(&column, &width)| format!("{:<width$}", row[column])).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
