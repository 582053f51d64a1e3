//! The program `tidecast`: its command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidecast::cli::main()
}
