use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// Prints a line to standard output. When the reader has closed it, as `head` does, the line is dropped and the
/// command goes on.
pub fn print_line(words: Arguments<'_>) {
    let mut line = words.to_string();
    if !line.ends_with('\n') {
        line.push('\n');
    }
    let mut out = std::io::stdout().lock();
    match out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => panic!("standard output can't be written: {e}"),
        _ => {}
    }
}
