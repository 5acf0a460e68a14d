//! The settings of a server as flags: made from the same list that the file's keys are read by, so that none is missing.

use std::path::PathBuf;
use std::sync::OnceLock;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};
use manager::config::{Config, Key, Sources, keys, variable_of};

use crate::report::Result;

/// Where settings come from, as far as flags say it. What each may be is checked when they are read together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// The file, if one is named.
    pub(crate) file: Option<PathBuf>,
    flags: Vec<(String, String)>,
}

/// A setting that has a flag, with texts that live as long as clap asks for.
struct Flag {
    key: Key,
    name: String,
    help: String,
}

/// What follows from the list, made once.
fn flags() -> &'static [Flag] {
    static FLAGS: OnceLock<Vec<Flag>> = OnceLock::new();
    FLAGS.get_or_init(|| {
        let flag = |key: Key| {
            let name = key.flag()?;
            let default = if key.default == "-" || key.default == "[]" {
                String::new()
            } else {
                format!(" [default: {}]", key.default)
            };
            let help = format!("{}{default} [env: {}]", key.meaning, variable_of(&name));
            Some(Flag { key, name, help })
        };
        keys().into_iter().filter_map(flag).collect()
    })
}

/// The heading that a key's flag stands under.
fn heading(key: &str) -> &'static str {
    match key.split('.').next() {
        Some("memory") => "Memory",
        Some("performance") => "Performance",
        Some("fallback") => "Fallback",
        Some("logging") => "Logging",
        _ => "Server",
    }
}

impl Args for Settings {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("Read settings from this file [default: folio.toml, folio.yaml or mlx_config.yaml here, then in the user's configuration folder] [env: FOLIO_CONFIG]");
        let model = Arg::new("model")
            .long("model")
            .value_name("MODEL")
            .action(ArgAction::Append)
            .help("Offer this model: a folder, a name that `folio list` shows, or ORG/NAME of the hub; may be given several times [env: FOLIO_MODEL]");
        let set = Arg::new("set")
            .long("set")
            .value_name("KEY=VALUE")
            .action(ArgAction::Append)
            .help("Set what has no flag of its own, such as 'models.\"org/a\".pinned=true'; may be given several times [env: FOLIO_SET]");
        let mut command = command.args([file, model, set]);
        for flag in flags() {
            let mut arg = Arg::new(flag.key.key.as_str())
                .long(flag.name.as_str())
                .help(flag.help.as_str())
                .value_name(if flag.key.is_switch() { "true|false" } else { "VALUE" })
                .help_heading(heading(&flag.key.key));
            if flag.key.is_list() {
                arg = arg.action(ArgAction::Append);
            }
            if flag.key.is_switch() {
                arg = arg.num_args(0..=1).require_equals(true).default_missing_value("true");
            }
            command = command.arg(arg);
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut settings = Self::default();
        settings.update_from_arg_matches(matches)?;
        Ok(settings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.file = matches.get_one::<PathBuf>("config").cloned();
        self.flags.clear();
        let known = flags().iter().map(|flag| flag.key.key.as_str());
        for key in ["model", "set"].into_iter().chain(known) {
            for value in matches.get_many::<String>(key).into_iter().flatten() {
                self.flags.push((key.to_owned(), value.clone()));
            }
        }
        Ok(())
    }
}

impl Settings {
    /// Those of `file`, and of keys with their values, as flags give them.
    pub(crate) fn of(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Self {
        Self { file, flags }
    }

    /// Reads the file, the variables and the flags.
    pub(crate) fn load(&self) -> Result<Config> {
        let mut sources = Sources::from_process();
        let named = || sources.variables.get("FOLIO_CONFIG").map(PathBuf::from);
        sources.file = self.file.clone().or_else(named);
        sources.flags.clone_from(&self.flags);
        Ok(Config::load(&sources)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_with_a_flag_can_be_given() {
        let command = Settings::augment_args(Command::new("test"));
        command.clone().debug_assert();
        let given = [
            "test",
            "--port",
            "5",
            "--allow-origin",
            "a",
            "--allow-origin",
            "b",
            "--fallback=false",
            "--set",
            "x=1",
            "--find-ollama",
        ];
        let matches = command.try_get_matches_from(given).unwrap();
        let settings = Settings::from_arg_matches(&matches).unwrap();
        let flags: Vec<_> = settings.flags.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let expected = [
            "set=x=1",
            "server.port=5",
            "server.origins=a",
            "server.origins=b",
            "fallback.allow=false",
            "fallback.find_ollama=true",
        ];
        assert_eq!(flags, expected);
    }
}
