//! What comes with a request, read with its limits: bodies, queries, ids, the client's own number.

use axum::body::Body;
use axum::extract::{FromRequestParts, Query};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use futures::StreamExt as _;
use protocol::ids::RequestId;
use serde::de::DeserializeOwned;

use super::error::{Code, Error};
use crate::chance;

/// The most bytes of a JSON body: the longest is an image with a kernel's command line, of some
/// kilobytes.
pub const JSON_MAX: usize = 64 << 10;

/// The header in which a client names its request, so that a retry is the same request.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The client's own name for its request, or a fresh one that nobody will repeat.
pub(super) fn request_id(headers: &HeaderMap) -> Result<RequestId, Error> {
    let Some(header) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(RequestId::from_uuid(chance::uuid()));
    };
    header.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
        Error::new(Code::Malformed, "the Idempotency-Key is not a UUID")
            .hint("draw a UUID for each new request, and repeat it only with the same request")
    })
}

/// A body of at most `limit` bytes.
pub(super) async fn bytes(body: Body, limit: usize) -> Result<Vec<u8>, Error> {
    let mut stream = body.into_data_stream();
    let mut taken = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk =
            chunk.map_err(|_| Error::new(Code::Malformed, "the body did not arrive whole"))?;
        if taken.len() + chunk.len() > limit {
            let message = format!("the body has more than {limit} bytes");
            return Err(Error::new(Code::TooLarge, message));
        }
        taken.extend_from_slice(&chunk);
    }
    Ok(taken)
}

/// A JSON body.
pub(super) async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Error> {
    media_type(headers, &["application/json"])?;
    let bytes = bytes(body, JSON_MAX).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Error::new(Code::Malformed, format!("the body is not understood: {error}"))
    })
}

/// Checks the kind of a body.
pub(super) fn media_type(headers: &HeaderMap, known: &[&str]) -> Result<(), Error> {
    let header = headers.get(CONTENT_TYPE).and_then(|header| header.to_str().ok()).unwrap_or("");
    let essence = header.split(';').next().unwrap_or("").trim();
    if known.iter().any(|kind| essence.eq_ignore_ascii_case(kind)) {
        return Ok(());
    }
    let message = format!("the body must be {}", known[0]);
    Err(Error::new(Code::UnsupportedMediaType, message)
        .hint(format!("send the header 'Content-Type: {}'", known[0])))
}

/// An id in a path.
pub(super) fn id<T>(text: &str) -> Result<T, Error>
where
    T: std::str::FromStr<Err: ToString>,
{
    text.parse().map_err(|error: T::Err| Error::new(Code::Malformed, error.to_string()))
}

/// The parameters after the question mark.
#[derive(Debug)]
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(asked)| Self(asked)).map_err(|rejection| {
            Error::new(Code::Malformed, format!("the query is not understood: {rejection}"))
        })
    }
}
