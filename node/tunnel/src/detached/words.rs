//! What a node and its tunnel's process say to each other.
//!
//! Everything but the greeting is in frames: their length in four bytes, little endian, and so many
//! bytes of [`protocol::codec`]. Both ends are of one build, or nothing but the greeting and an empty
//! frame is said.

use std::error::Error as _;
use std::io;

use protocol::codec;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::identity::Identity;
use crate::{Change, Error, State, Wanted};

/// What every greeting begins with, in all builds.
const MAGIC: [u8; 8] = *b"rsvtunnl";
/// The longest frame. The most that can be wanted, with 1024 peers and 16384 addresses, has 400 KB.
pub(super) const FRAME_MAX: usize = 1 << 20;

/// What the node says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Question {
    /// Make it so.
    Converge(Wanted),
    /// What is there?
    State,
}

/// What the process says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Answer {
    /// It is so.
    Converged(Change),
    /// This is there.
    State(Option<State>),
    /// It could not be done, and why.
    Refused(String),
}

impl Answer {
    pub(super) fn refusal(error: &Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        Self::Refused(text)
    }
}

/// What somebody who was greeted says.
#[derive(Debug)]
pub(super) enum Said {
    /// That this process should leave.
    Leave,
    /// A question.
    Question(Question),
}

/// Says who is here.
pub(super) async fn greet(to: &mut (impl AsyncWrite + Unpin), own: Identity) -> io::Result<()> {
    let mut greeting = Vec::from(MAGIC);
    greeting.extend(own.0);
    to.write_all(&greeting).await
}

/// Hears who is there.
pub(super) async fn greeted(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Identity> {
    let mut magic = [0; MAGIC.len()];
    from.read_exact(&mut magic).await?;
    if magic != MAGIC {
        return Err(nonsense("it greets as no tunnel does"));
    }
    let mut identity = Identity([0; 32]);
    from.read_exact(&mut identity.0).await?;
    Ok(identity)
}

/// Asks to leave.
pub(super) async fn dismiss(to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    write(to, &[]).await
}

/// Asks, and hears the answer.
pub(super) async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    question: &Question,
) -> io::Result<Answer> {
    write(stream, &codec::encode(question)).await?;
    decode(&read(stream).await?)
}

/// Answers.
pub(super) async fn answer(to: &mut (impl AsyncWrite + Unpin), answer: &Answer) -> io::Result<()> {
    write(to, &codec::encode(answer)).await
}

/// Hears what is asked.
pub(super) async fn hear(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Said> {
    let frame = read(from).await?;
    if frame.is_empty() { Ok(Said::Leave) } else { decode(&frame).map(Said::Question) }
}

/// What is no word of either.
pub(super) fn nonsense(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn decode<T: DeserializeOwned>(frame: &[u8]) -> io::Result<T> {
    let decoded = codec::decode(frame, FRAME_MAX);
    decoded.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

async fn write(to: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).ok().filter(|_| frame.len() <= FRAME_MAX);
    let length = length.ok_or_else(|| nonsense("a frame cannot be so long"))?;
    to.write_all(&length.to_le_bytes()).await?;
    to.write_all(frame).await
}

async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = from.read_u32_le().await?;
    let length = usize::try_from(length).ok().filter(|length| *length <= FRAME_MAX);
    let length = length.ok_or_else(|| nonsense("a frame is too long"))?;
    // Memory grows with what comes, and not with what is announced.
    let mut frame = Vec::new();
    let limit = u64::try_from(length).expect("a frame's length fits 64 bits");
    from.take(limit).read_to_end(&mut frame).await?;
    if frame.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(frame)
}
