//! What a request is answered with. Nothing here waits, remembers or looks at a clock.

use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName};
use hyper::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use protocol::kpi::Kpi;
use protocol::time::{Span, Timestamp};

use crate::catalogue;
use crate::instance::{HopLimit, Instance, Tokens};
use crate::token::Key;
use crate::tree::Entry;
use crate::version::{VERSIONS, Version};

/// The header in which a token is shown.
const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");

/// The header that says for how many seconds a token is wanted, or is still valid.
pub(crate) const TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");

/// The header that a proxy puts onto what it forwards.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The longest life of a token in seconds: EC2's six hours.
const TTL_MAX: u32 = 21_600;

/// The longest path: the longest that there is, a tag of 128 characters each written as three.
const PATH_MAX: usize = 512;

/// What a caller asks.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// How.
    pub method: &'a Method,
    /// For what, as it stands in the request, without what follows a `?`.
    pub path: &'a str,
    /// With which headers.
    pub headers: &'a HeaderMap,
    /// With which body.
    pub body: &'a [u8],
}

/// What is to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decision {
    /// To answer.
    Answer(Answer),
    /// To take what the machine says of itself, and to answer as that goes.
    Push(Kpi),
}

/// What a body is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Content {
    /// Text: values and listings.
    Text,
    /// A page for people: errors.
    Page,
    /// Bytes of which nothing is known: user data.
    Bytes,
}

impl Content {
    /// Its media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Page => "text/html",
            Self::Bytes => "application/octet-stream",
        }
    }
}

/// An answer, as far as it is ours to say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// How it went.
    pub status: StatusCode,
    /// What the body is.
    pub content: Content,
    /// The body. HTTP leaves it out of the answer to a HEAD.
    pub body: Bytes,
    /// For how many seconds the token that was given or shown is still valid.
    pub token_ttl: Option<u32>,
    /// The methods that are allowed instead.
    pub allow: Option<&'static str>,
    /// How far the packets of the answer may travel, if not as far as any.
    pub hops: Option<HopLimit>,
}

impl Answer {
    /// A text.
    pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        let (content, body) = (Content::Text, text.into());
        Self { status, content, body, token_ttl: None, allow: None, hops: None }
    }

    /// The page of an error. EC2's are pages, too; no client is known to read them.
    pub(crate) fn error(status: StatusCode) -> Self {
        let title = status.to_string().replacen(' ', " - ", 1);
        let page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n <head>\n  <title>{title}</title>\n </head>\n \
             <body>\n  <h1>{title}</h1>\n </body>\n</html>\n"
        );
        Self { content: Content::Page, ..Self::text(status, page) }
    }

    fn not_allowed(allow: &'static str) -> Self {
        Self { allow: Some(allow), ..Self::error(StatusCode::METHOD_NOT_ALLOWED) }
    }
}

/// Decides about a request of an instance.
#[must_use]
pub fn decide(instance: &Instance, key: &Key, ask: &Ask<'_>, now: Timestamp) -> Decision {
    match follow(instance, key, ask, now) {
        Ok(decision) => decision,
        Err(refusal) => Decision::Answer(refusal),
    }
}

/// As [`decide`], with refusals apart so that they can be passed on.
fn follow(
    instance: &Instance,
    key: &Key,
    ask: &Ask<'_>,
    now: Timestamp,
) -> Result<Decision, Answer> {
    let path = split(ask.path)?;
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    if let ["latest", "api", "token"] = names[..] {
        return give_token(instance, key, ask, now).map(Decision::Answer);
    }
    // Who may not ask is not told what there is.
    let token_ttl = admit(instance, key, ask.headers, now)?;
    if let ["latest", "kpi", name] = names[..] {
        return push(name, ask).map(Decision::Push);
    }
    if ask.method != Method::GET && ask.method != Method::HEAD {
        return Err(Answer::not_allowed("GET, HEAD"));
    }
    let answer = look_up(instance, &path)?;
    Ok(Decision::Answer(Answer { token_ttl, ..answer }))
}

/// The names in a path. A slash at its end says nothing: some clients put one behind a value.
fn split(path: &str) -> Result<Vec<String>, Answer> {
    if path.len() > PATH_MAX {
        return Err(Answer::error(StatusCode::URI_TOO_LONG));
    }
    let unknown = || Answer::error(StatusCode::NOT_FOUND);
    let path = path.strip_prefix('/').ok_or_else(unknown)?;
    if path.is_empty() {
        return Ok(vec![]);
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    let decode = |name| percent_decode_str(name).decode_utf8().ok().map(String::from);
    let names: Option<Vec<String>> = path.split('/').map(decode).collect();
    names.ok_or_else(unknown)
}

/// What is at a path.
fn look_up(instance: &Instance, path: &[String]) -> Result<Answer, Answer> {
    let unknown = || Answer::error(StatusCode::NOT_FOUND);
    let Some((version, rest)) = path.split_first() else {
        let names: Vec<&str> = VERSIONS.iter().map(|version| version.0).collect();
        return Ok(Answer::text(StatusCode::OK, names.join("\n")));
    };
    let version = Version::named(version).ok_or_else(unknown)?;
    match catalogue::root(instance, version).find(rest).ok_or_else(unknown)? {
        Entry::Directory(directory) => Ok(Answer::text(StatusCode::OK, directory.listing())),
        Entry::Value(content, body) => Ok(Answer { content, ..Answer::text(StatusCode::OK, body) }),
    }
}

/// The one value of a header; nothing if there is none or are several.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none()).map(hyper::header::HeaderValue::as_bytes)
}

/// Whether a request may be answered: says for how many seconds its token still holds, if it
/// showed one.
fn admit(
    instance: &Instance,
    key: &Key,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Option<u32>, Answer> {
    let refused = || Answer::error(StatusCode::UNAUTHORIZED);
    if !headers.contains_key(&TOKEN) {
        return match instance.tokens {
            Tokens::Optional => Ok(None),
            Tokens::Required => Err(refused()),
        };
    }
    let token = only(headers, &TOKEN).ok_or_else(refused)?;
    let remaining = key.remaining(instance.machine, token, now).ok_or_else(refused)?;
    Ok(u32::try_from(remaining.as_millis() / 1_000).ok())
}

fn give_token(
    instance: &Instance,
    key: &Key,
    ask: &Ask<'_>,
    now: Timestamp,
) -> Result<Answer, Answer> {
    if ask.method != Method::PUT {
        return Err(Answer::not_allowed("PUT"));
    }
    if ask.headers.contains_key(&FORWARDED_FOR) {
        return Err(Answer::error(StatusCode::FORBIDDEN));
    }
    let seconds = only(ask.headers, &TTL)
        .filter(|text| !text.is_empty() && text.iter().all(u8::is_ascii_digit))
        .and_then(|text| std::str::from_utf8(text).ok()?.parse::<u32>().ok())
        .filter(|seconds| (1..=TTL_MAX).contains(seconds))
        .ok_or_else(|| Answer::error(StatusCode::BAD_REQUEST))?;
    let token = key.issue(instance.machine, now + Span::from_secs(seconds.into()));
    Ok(Answer {
        token_ttl: Some(seconds),
        hops: Some(instance.hop_limit),
        ..Answer::text(StatusCode::OK, token)
    })
}

fn push(name: &str, ask: &Ask<'_>) -> Result<Kpi, Answer> {
    if ask.method != Method::PUT {
        return Err(Answer::not_allowed("PUT"));
    }
    let refused = |why: String| Answer::text(StatusCode::BAD_REQUEST, why);
    let name = name.parse().map_err(|error| refused(format!("{error}\n")))?;
    // What a shell wrote ends in a line break.
    let body = std::str::from_utf8(ask.body.trim_ascii());
    let text = body.map_err(|_| refused("not a decimal number: not even text\n".to_owned()))?;
    let value = text.parse().map_err(|error| refused(format!("{error}\n")))?;
    Ok(Kpi { name, value })
}
