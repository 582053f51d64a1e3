/// Columns as wide as their widest word; the last of a row may be of any length.
pub(super) fn print(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let inner = rows.iter().filter(|row| row.len() > column + 1);
        inner.map(|row| row[column].chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let (last, others) = row.split_last().expect("no row is empty");
        let others: String = others
            .iter()
            .zip(&widths)
            .map(|(word, width)| format!("{word:<width$}  ", width = *width))
            .collect();
        say!("{others}{last}");
    }
}
