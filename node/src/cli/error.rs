//! Why a command failed: what a person reads, and what a script sees as the exit code.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use axum::http::StatusCode;

use super::context;
use crate::api::shapes::problem::Problem;
use crate::api::tls::Pin;
use crate::{config, daemon, keys};

/// How a command ended, as scripts see it. The numbers stand in `--help`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Exit {
    /// What was asked is done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The site refuses it, or what was started failed.
    Refused = 3,
    /// There is no such thing.
    NotFound = 4,
    /// The site cannot be reached, or cannot answer now.
    Unreachable = 5,
    /// The key does not allow it.
    NotAllowed = 6,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The context cannot be used.
    #[error(transparent)]
    Context(#[from] context::Error),
    /// The context's values cannot be used.
    #[error("the {what} of the site in use is not usable: run 'reservoir site use' again")]
    Unusable {
        /// Which value.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something given on the command line cannot be used.
    #[error("{what} '{given}' cannot be used")]
    Argument {
        /// Which argument.
        what: &'static str,
        /// What was given.
        given: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The fence's program cannot be run.
    #[error("the fence cannot be run: 'reservoir-fence' has to lie beside this program")]
    Fence(#[source] io::Error),
    /// Arguments do not go together.
    #[error("{0}; see --help")]
    Usage(&'static str),
    /// The site does not answer.
    #[error("the site at {url} cannot be reached: see that its node runs")]
    Unreachable {
        /// Where it should be.
        url: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Somebody answers, with another certificate.
    #[error(
        "what answers at {url} shows the certificate {shown}, which is not the one that was \
         pinned: if the site's operators confirm it, run 'reservoir site use {url} --pin {shown}'"
    )]
    OtherCertificate {
        /// Where.
        url: String,
        /// What is shown.
        shown: Pin,
    },
    /// It is not known yet whose certificate is the site's.
    #[error(
        "{url} shows the certificate {shown}: compare it with what the site's operators say, then \
         repeat the command with --pin {shown}"
    )]
    Unpinned {
        /// Where.
        url: String,
        /// What is shown.
        shown: Pin,
    },
    /// The answer is none of this interface.
    #[error("{url} answered with {status} and something that is no answer of a site")]
    Garbled {
        /// Where.
        url: String,
        /// With which status.
        status: StatusCode,
    },
    /// The site says why not.
    #[error("{}", problem.message)]
    Site {
        /// With which status.
        status: StatusCode,
        /// Why not.
        problem: Box<Problem>,
    },
    /// A manifest has faults.
    #[error("the manifest cannot be used")]
    Manifest {
        /// The faults, each with its place in the file.
        shown: String,
        /// The same for programs.
        problem: Box<Problem>,
    },
    /// There is nothing of that name.
    #[error("there is no {kind} '{name}'; 'reservoir {kind} ls' lists those there are")]
    NotFound {
        /// Of what kind.
        kind: &'static str,
        /// Which.
        name: String,
    },
    /// More than one thing is meant.
    #[error("'{name}' can be any of {count} {kind}s: write more of the id, or the name in full")]
    Ambiguous {
        /// Of what kind.
        kind: &'static str,
        /// What was given.
        name: String,
        /// How many it fits.
        count: usize,
    },
    /// What was started came to a bad end.
    #[error("{what}: {reason}")]
    Ended {
        /// What.
        what: String,
        /// How it ended.
        reason: String,
    },
    /// A check has found something.
    #[error("{count} broken: see above")]
    Broken {
        /// How many things are.
        count: usize,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The output cannot be written.
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
    /// The output cannot be put into JSON.
    #[error("the output cannot be put into JSON")]
    Json(#[from] serde_json::Error),
    /// The terminal cannot be used.
    #[error("the terminal cannot be used")]
    Terminal(#[source] io::Error),
    /// A console broke off.
    #[error("the console broke off")]
    Console(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// A node cannot join.
    #[error(transparent)]
    Join(#[from] crate::membership::join::Error),
    /// A site's keys cannot be read or made.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// The node cannot run.
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
}

impl Error {
    /// How it ends the process.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Argument { .. } | Self::Ambiguous { .. } => Exit::Usage,
            Self::Manifest { .. } | Self::Ended { .. } => Exit::Refused,
            Self::NotFound { .. } => Exit::NotFound,
            Self::Unreachable { .. } | Self::OtherCertificate { .. } | Self::Unpinned { .. } => {
                Exit::Unreachable
            }
            Self::Site { status, .. } => of_status(*status),
            // A reader that has seen enough, such as head(1), is no failure.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Context(_)
            | Self::Unusable { .. }
            | Self::Garbled { .. }
            | Self::Broken { .. }
            | Self::File { .. }
            | Self::Output(_)
            | Self::Json(_)
            | Self::Terminal(_)
            | Self::Console(_)
            | Self::Config(_)
            | Self::Keys(_)
            | Self::Join(_)
            | Self::Fence(_)
            | Self::Daemon(_) => Exit::Failed,
        }
    }

    /// What a person reads: the failure, its causes, what to do.
    #[must_use]
    pub fn for_people(&self) -> String {
        if let Self::Manifest { shown, .. } = self {
            return shown.clone();
        }
        let mut text = format!("error: {self}\n");
        let mut cause = self.source();
        while let Some(at) = cause {
            text.push_str(&format!("  because: {at}\n"));
            cause = at.source();
        }
        if let Self::Site { problem, .. } = self {
            if let Some(hint) = &problem.hint {
                text.push_str(&format!("  hint: {hint}\n"));
            }
            text.push_str(&format!("  (code {}, request {})\n", problem.code, problem.request_id));
        }
        text
    }

    /// What a program reads: the site's own words, or ours in their shape.
    #[must_use]
    pub fn for_programs(&self) -> Problem {
        match self {
            Self::Site { problem, .. } | Self::Manifest { problem, .. } => (**problem).clone(),
            _ => Problem {
                code: self.code().to_owned(),
                message: crate::observe::chain(self),
                ..Problem::default()
            },
        }
    }

    fn code(&self) -> &'static str {
        match self.exit() {
            Exit::Done | Exit::Failed => "failed",
            Exit::Usage => "usage",
            Exit::Refused => "refused",
            Exit::NotFound => "not_found",
            Exit::Unreachable => "unreachable",
            Exit::NotAllowed => "not_allowed",
        }
    }
}

fn of_status(status: StatusCode) -> Exit {
    match status {
        StatusCode::NOT_FOUND => Exit::NotFound,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::NotAllowed,
        StatusCode::SERVICE_UNAVAILABLE => Exit::Unreachable,
        StatusCode::INSUFFICIENT_STORAGE => Exit::Refused,
        status if status.is_client_error() => Exit::Refused,
        _ => Exit::Failed,
    }
}
