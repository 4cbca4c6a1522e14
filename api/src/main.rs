//! The binary `linkspan`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    linkspan::cli::main()
}
