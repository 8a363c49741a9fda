//! `/v1/blobs`: the files of images, streamed to disk while they arrive.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use futures::StreamExt as _;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::error::Error;
use super::gate::Server;
use super::shapes::image::Blob;
use crate::blobs;

/// How long a sender may be silent in the middle of a file.
const SILENCE_TIME: Duration = Duration::from_secs(30);

/// `SendBlob`
pub(super) async fn send(
    State(server): State<Server>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Blob>), Error> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > blobs::BYTES_MAX) {
        return Err(blobs::Error::TooLong.into());
    }
    let blob = server.desk.blobs().receive(Arriving::new(body)).await?;
    Ok((StatusCode::CREATED, Json(blob.into())))
}

/// A body that arrives, as a stream of bytes which does not wait for ever.
struct Arriving {
    stream: BodyDataStream,
    chunk: Bytes,
    silence: Pin<Box<Sleep>>,
}

impl Arriving {
    fn new(body: Body) -> Self {
        let silence = Box::pin(sleep(SILENCE_TIME));
        Self { stream: body.into_data_stream(), chunk: Bytes::new(), silence }
    }
}

impl AsyncRead for Arriving {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.chunk.is_empty() {
            match self.stream.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    self.chunk = chunk;
                    self.silence.as_mut().reset(Instant::now() + SILENCE_TIME);
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(io::Error::other(error)));
                }
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    ready!(self.silence.as_mut().poll(cx));
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        let length = self.chunk.len().min(buffer.remaining());
        buffer.put_slice(&self.chunk.split_to(length));
        Poll::Ready(Ok(()))
    }
}
