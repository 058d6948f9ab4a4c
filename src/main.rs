//! The door: takes the command line and hands it to the house.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use vestibule::auth::jwt;
use vestibule::cli::{Asked, Cli, Serve, environment};
use vestibule::config;
use vestibule::net::unix_s;
use vestibule::server::{self, demo};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Huge pages make every idle connection cost its share of 2 MiB.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let answered = match Cli::parse().command.answer(environment(), unix_s(), jwt::mint) {
        Ok(Asked::Print(text)) => {
            // Whoever stops reading has what it wanted: `vestibule config | head`.
            let _ = writeln!(std::io::stdout(), "{text}");
            Ok(())
        }
        Ok(Asked::Serve(asked)) => serve(asked),
        Ok(Asked::Demo(asked)) => {
            demo::show(asked.address, environment()).map_err(|error| (error.exit_code(), error.to_string()))
        }
        Ok(Asked::Errand(errand)) => errand
            .run(&mut std::io::stdin().lock(), &mut std::io::stdout().lock())
            .map_err(|failure| (failure.exit_code(), failure.to_string())),
        Err(failure) => Err((failure.exit_code(), failure.to_string())),
    };
    server::flush_logs();
    match answered {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, message)) => {
            eprintln!("{message}");
            ExitCode::from(code)
        }
    }
}

fn serve(asked: Serve) -> Result<(), (u8, String)> {
    let load = move || {
        config::load(asked.config.as_deref(), environment()).map_err(|complaints| complaints.to_string())
    };
    let config = load().map_err(|complaints| (vestibule::cli::EXIT_CONFIGURATION, complaints))?;
    server::start_logs(config.server.log_format, &environment())
        .map_err(|error| (vestibule::cli::EXIT_FAILED, format!("cannot start: {error}")))?;
    server::serve(config, None, Box::new(load), |_| ())
        .map_err(|failed| (failed.exit_code(), failed.to_string()))
}
