use std::process::ExitCode;

fn main() -> ExitCode {
    tidecast::cli::main()
}
