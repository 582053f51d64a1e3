/// Prints columns as wide as their widest word. The last one of a row may have any length.
pub fn print_columns(rows: &[Vec<String>]) {
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

/// Lines of right-aligned columns, each at least as wide as `least` says and two spaces from the one before it.
pub fn right_aligned(rows: &[Vec<String>], least: &[usize]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let words = rows.iter().filter_map(|row| row.get(column)).map(|word| word.chars().count());
            let apart = if column == 0 { 0 } else { 2 };
            (words.max().unwrap_or(0) + apart).max(least.get(column).copied().unwrap_or(0))
        })
        .collect();
    let line = |row: &Vec<String>| -> String {
        let cells: String =
            row.iter().zip(&widths).map(|(word, width)| format!("{word:>width$}", width = *width)).collect();
        cells + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_grow_with_their_words_and_never_touch() {
        let words = |words: [&str; 3]| words.map(str::to_owned).to_vec();
        let rows = [words(["", "MAE", "n"]), words(["a name", "1234567.8901", "7"])];
        assert_eq!(
            right_aligned(&rows, &[8, 8, 2]),
            "                   MAE  n\n  a name  1234567.8901  7\n"
        );
    }
}
