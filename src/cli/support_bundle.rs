//! `crypto-proxy support-bundle`: a ticket for the exchange's support, and the evidence, in one tar.
//!
//! Guarantees: the probes of `diagnose --alone` and nothing else goes out; the history is only read; what is written was
//! searched for every secret of the sources before, and is a new file of mode 0600. Exit codes: 0 written, 1 not written,
//! 64 usage, 78 nothing at all could be read. Does not: send anything to anybody.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use uuid::Uuid;

use super::{
    check,
    diagnose::{LocalRun, SourceArguments},
    history,
};
use diagnosis::{
    bundle::{self, Bundle, BundleInput, CallerNames, HistoryExtract, PackError, System},
    history::FILE_NAME,
    probes::Scope,
};
use gateway::clock::Clock;

mod output;

use output::{OutputDirectory, OutputPath};

/// What it is told.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    sources: SourceArguments,
    /// A directory, or a new file ending in .tar [default: the current directory]
    #[arg(long, value_name = "DIR|FILE.tar")]
    out: Option<PathBuf>,
    /// The history's file [default: history.db in $STATE_DIRECTORY or /var/lib/crypto-proxy]
    #[arg(long, visible_alias = "history", value_name = "FILE")]
    db: Option<PathBuf>,
    /// The directory of history.db
    #[arg(long, value_name = "DIR", conflicts_with = "db")]
    state_dir: Option<PathBuf>,
    /// Name the callers; otherwise only their number is given
    #[arg(long)]
    with_caller_names: bool,
}

impl Arguments {
    fn history(&self) -> PathBuf {
        let in_state_dir = self
            .state_dir
            .as_ref()
            .map(|directory| directory.join(FILE_NAME));
        self.db
            .clone()
            .or(in_state_dir)
            .unwrap_or_else(history::default_file)
    }
}

/// Runs it.
pub(super) fn run(arguments: Arguments) -> ExitCode {
    let path = match OutputPath::of(arguments.out.as_deref()) {
        Ok(path) => path,
        Err(problem) => return super::fail(super::USAGE, &problem),
    };
    // Before the exchange is asked anything.
    let directory = match path.open() {
        Ok(directory) => directory,
        Err(problem) => return super::fail(1, &problem.context("no bundle is written")),
    };
    let file = arguments.history();
    let in_doubt = history::doubts_beside(&file);
    let extract = HistoryExtract::read(&file, Clock::system().now_ms(), in_doubt);
    let mut local = match LocalRun::at(arguments.sources.clone(), Scope::Full) {
        Ok(local) => local,
        Err(problem) => return super::fail(1, &problem),
    };
    // Before a word is written: the problems that the report repeats may name callers, too.
    if !arguments.with_caller_names {
        local.examined.forget_caller_names();
    }
    if local.examined.found_nothing && extract.contents.is_err() {
        let problem = anyhow::anyhow!(
            "nothing could be read: no configuration, no credentials, no history; where they are for root alone: sudo \
             crypto-proxy support-bundle"
        );
        return super::fail(super::CONFIGURATION, &problem);
    }
    match make(&arguments, &local, &extract, &directory) {
        Ok((path, bundle)) => {
            remarks(&local, &extract);
            // The bundle is written, whether or not this can be printed.
            let _ = tell(&path, &bundle, &mut io::stdout().lock());
            ExitCode::SUCCESS
        }
        Err(problem) => super::fail(1, &problem.context("no bundle is written")),
    }
}

fn make(
    arguments: &Arguments,
    local: &LocalRun,
    extract: &HistoryExtract,
    directory: &OutputDirectory,
) -> anyhow::Result<(PathBuf, Bundle)> {
    let diagnosis = local.diagnosis(bundle::without_unknown_methods(
        local.past(&arguments.history()),
    ));
    let mut configuration = Vec::new();
    check::write_report(
        &local.examined,
        &arguments.sources.env_file,
        &mut check::Page::plain(&mut configuration),
    )?;
    let input = BundleInput {
        issue: Uuid::new_v4(),
        diagnosis: &diagnosis,
        history: extract,
        caller_names: if arguments.with_caller_names {
            CallerNames::Shown
        } else {
            CallerNames::Counted
        },
        system: &System::of_this_machine(),
        configuration: &String::from_utf8(configuration)?,
    };
    let bundle = bundle::pack(&input, &local.examined.leaks).map_err(explain)?;
    let path = directory.write(&bundle.name, &bundle.tar)?;
    Ok((path, bundle))
}

fn explain(error: PackError) -> anyhow::Error {
    let hint = match error {
        PackError::Leak(_) => {
            "a path, a label, a name or a setting holds a key, a secret or a token, whole or in part: remove it there"
        }
        PackError::Archive(_) => "this is a defect",
    };
    anyhow::anyhow!("{error}: {hint}")
}

/// What should be known of a bundle that was written.
fn remarks(local: &LocalRun, extract: &HistoryExtract) {
    if let Err(why) = &extract.contents {
        anstream::eprintln!("crypto-proxy: without a history ({}: {why})", extract.file);
    }
    if let Some(why) = &extract.in_doubt_unread {
        anstream::eprintln!("crypto-proxy: without the calls in doubt ({why})");
    }
    if local.examined.config.is_none() {
        anstream::eprintln!(
            "crypto-proxy: the configuration is not usable; configuration.txt says why"
        );
    }
    if local.examined.leaks.too_short() > 0 {
        anstream::eprintln!(
            "crypto-proxy: a credential of fewer than 8 characters was not looked for in the bundle: words have it too. \
             Replace it"
        );
    }
}

fn tell(path: &Path, bundle: &Bundle, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{}, {} bytes, mode 0600, searched for every secret of the sources: none is in it",
        path.display(),
        bundle.tar.len()
    )?;
    for file in &bundle.files {
        writeln!(
            out,
            "  {:<18} {:>7}  {}",
            file.name,
            file.text.len(),
            file.about
        )?;
    }
    writeln!(
        out,
        "next step: read ticket.md, complete it, and attach the tar to a ticket at the exchange's support:"
    )?;
    writeln!(out, "  tar -xOf {} {}/ticket.md", quoted(path), bundle.name)
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |char: char| char.is_ascii_alphanumeric() || "/._-+".contains(char);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
