use crate::config;
use crate::console::{Failure, say};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Print the reference of every key, in Markdown.
    #[command(after_help = "Example:\n  tidecast config reference > docs/config.md")]
    Reference,
    /// Print the JSON Schema of a config, for editors: they complete keys, show their effects and mark mistakes.
    #[command(
        after_help = "Example:\n  tidecast config schema > tidecast.schema.json\n\nIn a TOML file, for Taplo and Even Better TOML:\n  #:schema tidecast.schema.json\nIn a YAML file, for the YAML language server:\n  # yaml-language-server: $schema=tidecast.schema.json"
    )]
    Schema,
}

/// Prints what the declarations of the keys say.
pub(super) fn config(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Reference => say!("{}", config::reference().trim_end()),
        Verb::Schema => say!("{:#}", config::schema()),
    }
    Ok(())
}
