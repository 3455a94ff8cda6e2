//! `hookhold token new`: a token for the admin API that nobody guesses, and the line for relay.toml that knows only its hash.

use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::table::say;
use crate::record::Name;

/// Scanners for secrets that were published by mistake find it by this.
const PREFIX: &str = "hhk_";
/// As hard to guess as a key.
const RANDOM_BYTES: usize = 32;

/// What to do about tokens.
#[derive(ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a token. It is printed once and kept nowhere.
    New {
        /// What logs and the audit log call it.
        #[arg(long, default_value = "ops")]
        name: String,
        /// What it allows.
        #[arg(long, value_enum, default_value = "operator")]
        role: RoleWord,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum RoleWord {
    Viewer,
    Operator,
}

pub(super) fn run(args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    let What::New { name, role } = &args.command;
    let name = Name::try_new(name).map_err(|bad| anyhow::anyhow!("the name {name:?} cannot be used: {bad}"))?;
    let role = match role {
        RoleWord::Viewer => "viewer",
        RoleWord::Operator => "operator",
    };
    let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; RANDOM_BYTES]>()));
    let hash = hex::encode(Sha256::digest(token.as_bytes()));
    let line = format!("{{ name = \"{name}\", role = \"{role}\", sha256 = \"{hash}\" }}");
    if as_json {
        say(&json!({ "token": token, "sha256": hash, "line": line }));
    } else {
        say(&token);
        eprintln!("It is shown this once. For `tokens` of [admin] in relay.toml:\n{line}");
    }
    Ok(ExitCode::SUCCESS)
}
